// SPDX-License-Identifier: GPL-2.0

//! Runs a command that is in a group from its first instruction on.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    guard::ForceArgs,
    module::{self, Group, NONE},
    output::Output,
    setup::{Setup, SetupArgs},
    signals::heeded,
    task,
};
use rustix::process::{getpid, pidfd_open, pidfd_send_signal, Pid, PidfdFlags, Signal};
use signal_hook::iterator::{exfiltrator::WithRawSiginfo, SignalsInfo};
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
    #[command(flatten)]
    force: ForceArgs,
    /// Even if this command's cgroup is in another group, whose policy does not apply then
    #[arg(long)]
    replace: bool,
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
        let is_other = |own: &String| *own != NONE && self.setup.group.as_ref() != Some(own);
        let own = task::own_group().filter(is_other);
        if let (Some(own), false) = (&own, self.replace) {
            let what =
                format!("this command is in the group {own} already, and so would be what it runs");
            return Err(Error::new(Kind::Busy, what)
                .help("--replace runs it in the other one, if it is by its cgroup"));
        }
        // From here on it is not to be interrupted in the middle.
        let signals = SignalsInfo::<WithRawSiginfo>::new(heeded()).trying("signals")?;
        let setup = Setup::new(&self.setup, &name, self.force)?;
        let before = match setup.is_of_others() {
            true => setup.group.members()?,
            false => Vec::new(),
        };
        for warning in &setup.warnings {
            out.note(&warning.to_string());
        }
        if let Some(why) = module::why_not_judged(&setup.group).ok().flatten() {
            out.note(&format!("nothing is judged: {why}"));
        }
        if let Ok(follow) = setup.group.get("follow") {
            if follow != "all" {
                out.note(&format!(
                    "what it makes is not in the group: follow is {follow}"
                ));
            }
        }
        let end = self.spawn(&setup.group, signals, out);
        // What it has started may be there still: that stays in the group, and under its policy.
        let group = &setup.group.0;
        let left = match setup.group.members() {
            Err(e) if e.kind != Kind::NotFound => e.message,
            members => {
                let members = members.unwrap_or_default();
                let left = members.iter().filter(|tid| !before.contains(tid)).count();
                if left == 0 {
                    if let Some(error) = setup.undo() {
                        out.note(&error.message);
                    }
                    return end;
                }
                format!("{left} tasks are in {group} still")
            }
        };
        out.note(&format!("{left}: slowctl detach --group {group}"));
        end
    }

    /// Runs the command, and waits for it; it gets the signals that are meant for it.
    fn spawn(
        &self,
        group: &Group,
        mut signals: SignalsInfo<WithRawSiginfo>,
        out: Output,
    ) -> Result<End> {
        let itself = env::current_exe().trying("this command")?;
        let mut child = Command::new(itself)
            .args(out.json.then_some("--json"))
            .args(["join-and-exec", &group.0, "--"])
            .args(&self.command)
            .spawn()
            .trying("a process for the command")?;
        let fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).trying("the command")?;
        let handle = signals.handle();
        let forwarding = thread::spawn(move || {
            for info in signals.forever() {
                // A terminal sends its own to the command as well.
                let is_from_kernel = info.si_code > 0;
                let signal = match Signal::from_named_raw(info.si_signo) {
                    Some(Signal::INT | Signal::QUIT) if is_from_kernel => continue,
                    Some(signal) => signal,
                    None => continue,
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
    pub fn run(self, out: Output) -> Result<End> {
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
        out.error(&said);
        Ok(End::Status(if said.kind == Kind::NotFound {
            127
        } else {
            126
        }))
    }
}
