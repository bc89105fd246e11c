// SPDX-License-Identifier: GPL-2.0

//! Runs a command that is in a group from its first instruction on.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    module::{self, Group},
    output::Output,
    setup::{Setup, SetupArgs},
};
use rustix::process::{getpid, pidfd_open, pidfd_send_signal, Pid, PidfdFlags, Signal};
use std::{
    env,
    ffi::OsString,
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::Command,
    thread,
};

/// Run a command that is in a group, and under a policy, from the start
#[derive(clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Join a group and become a command
#[derive(clap::Args)]
pub struct JoinAndExecArgs {
    group: String,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl RunArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let name = Path::new(&self.command[0]).file_name();
        let name = name.map_or("command".into(), |name| name.to_string_lossy());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = name.replace(|c: char| !is_plain(c), "_");
        let setup = Setup::new(&self.setup, name.trim_start_matches('.'))?;
        for warning in &setup.warnings {
            out.note(&warning.to_string());
        }
        let end = self.spawn(&setup.group);
        // What it has started may be there still: that stays in the group.
        if let Ok(members) = setup.group.members() {
            if !members.is_empty() {
                let (number, group) = (members.len(), &setup.group.0);
                out.note(&format!(
                    "{number} tasks are in {group} still: slowctl detach --group {group}"
                ));
            }
        }
        setup.undo();
        end
    }

    /// Runs the command, and waits for it; it gets the signals that are meant for it.
    fn spawn(&self, group: &Group) -> Result<End> {
        let itself = env::current_exe().trying("this command")?;
        let mut signals = signal_hook::iterator::Signals::new([
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGQUIT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ])
        .trying("signals")?;
        let mut child = Command::new(itself)
            .args(["join-and-exec", &group.0, "--"])
            .args(&self.command)
            .spawn()
            .trying("a process for the command")?;
        let fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).trying("the command")?;
        let handle = signals.handle();
        let forwarding = thread::spawn(move || {
            for signal in signals.forever() {
                // A terminal sends the first two to the command as well.
                let signal = match signal {
                    signal_hook::consts::SIGTERM => Signal::TERM,
                    signal_hook::consts::SIGHUP => Signal::HUP,
                    _ => continue,
                };
                let _ = pidfd_send_signal(&fd, signal);
            }
        });
        let status = child.wait().trying("the command");
        handle.close();
        let _ = forwarding.join();
        let status = status?;
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        Ok(End::Status(
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255),
        ))
    }
}

impl JoinAndExecArgs {
    /// Returns only if it fails.
    pub fn run(self) -> Result<End> {
        let group = Group(self.group);
        let itself = pidfd_open(getpid(), PidfdFlags::empty()).trying("this process")?;
        group
            .join(itself.as_fd())
            .trying(format!("joining the group {}", group.0))?;
        let command = &self.command[0];
        let error = Command::new(command).args(&self.command[1..]).exec();
        let mut said = Error::io(command.to_string_lossy(), &error);
        if said.kind == Kind::NotPermitted {
            said = said.help("is it the policy that does not let it execute programs?");
        }
        // As a shell and env(1) have it.
        Output { json: false }.error(&said);
        Ok(End::Status(if said.kind == Kind::NotFound {
            127
        } else {
            126
        }))
    }
}
