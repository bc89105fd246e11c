// SPDX-License-Identifier: GPL-2.0

//! Waiting until a command is interrupted, its time is over, or nobody is left that it is about.

use crate::{
    cgroup,
    error::{Kind, Result, Trying},
    module::Group,
    restarts, task,
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

/// The signals by which others end a command, but for those that it has been started to ignore, as
/// by nohup.
pub fn heeded() -> Vec<i32> {
    let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM];
    all.into_iter().filter(|s| !task::ignores(*s)).collect()
}

/// These signals, held back from now on: nothing is interrupted in the middle.
pub struct Signals(UnixStream);

/// How often it is looked whether somebody is left.
const LOOK: Duration = Duration::from_secs(1);

impl Signals {
    pub fn new() -> Result<Self> {
        let (read, write) = UnixStream::pair().trying("signals")?;
        for signal in heeded() {
            let write = write.try_clone().trying("signals")?;
            signal_hook::low_level::pipe::register(signal, write).trying("signals")?;
        }
        Ok(Self(read))
    }

    /// Waits so long, or without end; for a signal; or until nobody is in the groups that could come
    /// back.
    pub fn wait(&self, duration: Option<Duration>, groups: &[Group]) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = duration.map(|duration| duration.saturating_sub(start.elapsed()));
            let step = left.unwrap_or(LOOK).min(LOOK);
            if self.is_there(step)? || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            if groups.iter().all(is_over) {
                return Ok(());
            }
        }
    }

    /// Waits for one so long; returns whether there is one.
    pub fn is_there(&self, timeout: Duration) -> Result<bool> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => return Ok(ready.trying("waiting")? > 0),
            }
        }
    }
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time is over.
    Time,
    /// A signal that ends the command, or its terminal is gone.
    End,
    /// There may be something to be read, or another signal has come.
    Input,
}

impl Signals {
    /// Waits so long for a signal, or for input.
    pub fn or_input(&self, input: impl AsFd, timeout: Duration) -> Result<Woken> {
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        let mut fds = [
            PollFd::new(&self.0, PollFlags::IN),
            PollFd::new(&input, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(Woken::Input),
            Ok(0) => return Ok(Woken::Time),
            ready => ready.trying("waiting")?,
        };
        let is_gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let is_over = !fds[0].revents().is_empty() || fds[1].revents().intersects(is_gone);
        Ok(match is_over {
            true => Woken::End,
            false => Woken::Input,
        })
    }
}

/// Whether nobody is in a group, and nobody can come by a cgroup or when a service is started. Not, if
/// that cannot be said.
fn is_over(group: &Group) -> bool {
    match group.members() {
        Ok(members) if members.is_empty() => {
            let names_it = |(_, name): &(_, String)| *name == group.0;
            restarts::covered_by(group).is_empty()
                && cgroup::with_groups().is_ok_and(|all| !all.iter().any(names_it))
        }
        Ok(_) => false,
        Err(error) => error.kind == Kind::NotFound,
    }
}
