// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::{
    amend::{AllowArgs, DenyArgs},
    attach::AttachArgs,
    check::{CheckArgs, SimArgs},
    detach::DetachArgs,
    doctor::DoctorArgs,
    error::{End, Error, Kind, Result, Trying},
    events::EventsArgs,
    explain::ExplainArgs,
    import::{ExportArgs, ImportArgs},
    inject::InjectArgs,
    latency::LatencyArgs,
    list::{LsArgs, StatusArgs},
    merge::{DiffArgs, MergeArgs},
    output::Output,
    policy::{ModeArgs, PolicyCommand},
    record::RecordArgs,
    restarts::RejoinArgs,
    run::{JoinAndExecArgs, RunArgs},
    show::ShowArgs,
    stat::StatArgs,
    top::TopArgs,
};
use anstream::ColorChoice;
use clap::{error::ErrorKind, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::{fs, io, path::PathBuf, process::ExitCode};

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  it failed; something is missing (doctor); there is a difference (diff, policy diff)
  2  the command line makes no sense
  3  not permitted: not root, or a security module is against it
  4  the module is not loaded, or the kernel or a file system is missing
  5  there is no such task, cgroup, group, policy or file
  6  rules have mistakes
  7  done for some of the targets, and not for others, or not for all that is in a cgroup
  8  not done without --force
  9  in use, in another group already, or there already
run ends with the status of its command, or 128 and the signal that ended it; with 126 if it cannot
be executed, and 127 if it is not found.";

/// Put live processes, services and containers under syscall policies
#[derive(Parser)]
#[command(name = "slowctl", version, after_help = EXIT_STATUS, max_term_width = 100)]
struct Cli {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours: auto is on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    Attach(AttachArgs),
    Detach(DetachArgs),
    Run(RunArgs),
    Ls(LsArgs),
    Show(ShowArgs),
    Status(StatusArgs),
    Doctor(DoctorArgs),
    /// Look at policies, and change them
    #[command(subcommand)]
    Policy(PolicyCommand),
    Mode(ModeArgs),
    Allow(AllowArgs),
    Deny(DenyArgs),
    Explain(ExplainArgs),
    Record(RecordArgs),
    Inject(InjectArgs),
    Stat(StatArgs),
    Top(TopArgs),
    Latency(LatencyArgs),
    Events(EventsArgs),
    Merge(MergeArgs),
    Diff(DiffArgs),
    Check(CheckArgs),
    Sim(SimArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    /// Print a script by which a shell completes commands
    Completions {
        shell: Shell,
    },
    /// Write man pages
    Man {
        /// The folder for them
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    #[command(hide = true)]
    JoinAndExec(JoinAndExecArgs),
    #[command(hide = true)]
    Rejoin(RejoinArgs),
}

impl Command {
    fn run(self, out: Output) -> Result<End> {
        match self {
            Self::Attach(args) => args.run(out),
            Self::Detach(args) => args.run(out),
            Self::Run(args) => args.run(out),
            Self::Ls(args) => args.run(out),
            Self::Show(args) => args.run(out),
            Self::Status(args) => args.run(out),
            Self::Doctor(args) => args.run(out),
            Self::Policy(command) => command.run(out),
            Self::Mode(args) => args.run(out),
            Self::Allow(args) => args.run(out),
            Self::Deny(args) => args.run(out),
            Self::Explain(args) => args.run(out),
            Self::Record(args) => args.run(out),
            Self::Inject(args) => args.run(out),
            Self::Stat(args) => args.run(out),
            Self::Top(args) => args.run(out),
            Self::Latency(args) => args.run(out),
            Self::Events(args) => args.run(out),
            Self::Merge(args) => args.run(out),
            Self::Diff(args) => args.run(out),
            Self::Check(args) => args.run(out),
            Self::Sim(args) => args.run(out),
            Self::Import(args) => args.run(out),
            Self::Export(args) => args.run(out),
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "slowctl", &mut script);
                io::Write::write_all(&mut io::stdout(), &script).trying("the script")?;
                Ok(End::Good)
            }
            Self::Man { folder } => {
                let what = folder.display().to_string();
                fs::create_dir_all(&folder).trying(what.as_str())?;
                clap_mangen::generate_to(Cli::command(), &folder).trying(what.as_str())?;
                Ok(End::Good)
            }
            Self::JoinAndExec(args) => args.run(out),
            Self::Rejoin(args) => args.run(out),
        }
    }
}

/// Whether JSON is wanted by a command line that makes no sense.
fn is_json_wanted() -> bool {
    let mut words = std::env::args_os().take_while(|word| word != "--");
    words.any(|word| word == "--json")
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_wanted = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            if !is_wanted && is_json_wanted() {
                let said = error.to_string();
                let said = said.trim_start_matches("error: ").trim_end();
                Output { json: true }.error(&Error::usage(said));
                return Kind::Usage.into();
            }
            // Nobody may be there to read it.
            let _ = error.print();
            return if is_wanted {
                ExitCode::SUCCESS
            } else {
                Kind::Usage.into()
            };
        }
    };
    match cli.color {
        // Looks at NO_COLOR.
        Color::Auto => {}
        Color::Always => ColorChoice::Always.write_global(),
        Color::Never => ColorChoice::Never.write_global(),
    }
    let out = Output { json: cli.json };
    match cli.command.run(out) {
        Ok(end) => end.into(),
        Err(error) => {
            out.error(&error);
            error.kind.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_each_exit_status() {
        let statuses = [
            Kind::Failed,
            Kind::Usage,
            Kind::NotPermitted,
            Kind::NotLoaded,
            Kind::NotFound,
            Kind::Rules,
            Kind::Partial,
            Kind::Guarded,
            Kind::Busy,
        ];
        for (index, kind) in statuses.into_iter().enumerate() {
            assert_eq!(kind as usize, index + 1);
            assert!(EXIT_STATUS.contains(&format!("\n  {}  ", index + 1)));
        }
    }
}
