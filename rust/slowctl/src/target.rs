// SPDX-License-Identifier: GPL-2.0

//! Whom a command is about.

use crate::{
    cgroup::{self, Cgroup},
    error::{Error, Kind, Result},
    lookup,
    module::{self, Group, NONE},
    task::{self, Task},
};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fd::OwnedFd,
    io::Errno,
    process::{pidfd_open, Pid, PidfdFlags},
};
use std::{fmt, io, os::fd::AsFd, path::PathBuf};

/// Whom: any number of these together.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(id = "targets", multiple = true)]
pub struct TargetArgs {
    /// A process, with all of its threads
    #[arg(
        short,
        long = "pid",
        value_name = "PID",
        value_delimiter = ',',
        group = "targets",
        help_heading = "Targets"
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub pids: Vec<i32>,
    /// One thread
    #[arg(
        short,
        long = "tid",
        value_name = "TID",
        value_delimiter = ',',
        group = "targets",
        help_heading = "Targets"
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub tids: Vec<i32>,
    /// All that is in a cgroup, and comes into it
    #[arg(
        long = "cgroup",
        value_name = "PATH",
        group = "targets",
        help_heading = "Targets"
    )]
    pub cgroups: Vec<PathBuf>,
    /// A systemd unit, by its cgroup
    #[arg(
        long = "unit",
        value_name = "NAME",
        group = "targets",
        help_heading = "Targets"
    )]
    pub units: Vec<String>,
    /// A container of docker, podman, containerd, crio, crun or runc, by its cgroup
    #[arg(
        long = "container",
        value_name = "ID|NAME",
        group = "targets",
        help_heading = "Targets"
    )]
    pub containers: Vec<String>,
    /// All processes of this name
    #[arg(
        long = "name",
        value_name = "COMM",
        group = "targets",
        help_heading = "Targets"
    )]
    pub names: Vec<String>,
    /// Even if it is PID 1, this command, or what it descends from
    #[arg(long, help_heading = "Targets")]
    pub force: bool,
}

/// A process or a thread that is held by a descriptor: whoever gets its number is not meant.
#[derive(Debug)]
pub struct Held {
    pub id: i32,
    pub name: String,
    pub fd: OwnedFd,
}

#[derive(Debug)]
pub enum Target {
    Process(Held),
    Thread(Held),
    Cgroup(Cgroup),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(held) => write!(f, "process {} ({})", held.id, held.name),
            Self::Thread(held) => write!(f, "thread {} ({})", held.id, held.name),
            Self::Cgroup(cgroup) => write!(f, "cgroup {}", cgroup.name),
        }
    }
}

impl Target {
    /// The words by which the same target is named.
    pub fn as_option(&self) -> String {
        match self {
            Self::Process(held) => format!("-p {}", held.id),
            Self::Thread(held) => format!("-t {}", held.id),
            Self::Cgroup(cgroup) => format!("--cgroup {}", cgroup.name),
        }
    }

    /// What a group may be called that is made for it.
    pub fn short_name(&self) -> String {
        let name = match self {
            Self::Process(held) | Self::Thread(held) => format!("{}-{}", held.name, held.id),
            Self::Cgroup(cgroup) => cgroup.short_name(),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:+".contains(c);
        let name = name.replace(|c: char| !is_plain(c), "_");
        let name = name.trim_start_matches('.');
        name.get(..48).unwrap_or(name).into()
    }

    /// The group that it is in: of a process, that of its first thread that is in one.
    pub fn group(&self) -> Result<Option<Group>> {
        let tids = match self {
            Self::Cgroup(cgroup) => {
                cgroup::require(cgroup)?;
                return Ok(cgroup.group()?.map(Group));
            }
            Self::Process(held) => task::threads_of(held.id),
            Self::Thread(held) => vec![held.id],
        };
        let mut groups = tids.into_iter().filter_map(|tid| Task::new(tid)?.group);
        let name = groups.find(|group| group != NONE);
        if self.is_gone() {
            return Err(Error::not_found(format!("{self} is gone")));
        }
        Ok(name.map(Group))
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Process(held) | Self::Thread(held) => held.is_gone(),
            Self::Cgroup(cgroup) => !cgroup.path.exists(),
        }
    }

    /// Has it join a group.
    pub fn join(&self, group: &Group) -> Result<()> {
        match self {
            Self::Process(held) | Self::Thread(held) => {
                let joined = group.join(held.fd.as_fd());
                joined.map_err(|e| self.join_error(group, &e))
            }
            Self::Cgroup(cgroup) => match self.group()? {
                Some(other) if other != *group => Err(self.in_another(&other)),
                _ => cgroup::set(cgroup, &group.0),
            },
        }
    }

    fn in_another(&self, other: &Group) -> Error {
        Error::new(
            Kind::Busy,
            format!("{self} is in the group {} already", other.0),
        )
        .help(format!(
            "let it go first: slowctl detach {}",
            self.as_option()
        ))
    }

    fn join_error(&self, group: &Group, error: &io::Error) -> Error {
        let other = || self.group().ok().flatten();
        match Errno::from_io_error(error) {
            Some(Errno::BUSY) => match other() {
                Some(other) if other != *group => self.in_another(&other),
                _ => Error::new(
                    Kind::Busy,
                    format!("a thread of {self} is in another group"),
                )
                .help("the kernel log has which one: dmesg | grep slowpath"),
            },
            Some(Errno::SRCH) => Error::not_found(format!("{self} is gone")),
            Some(Errno::PERM) => Error::new(
                Kind::NotPermitted,
                format!("{self} may not be traced from here, or is of the kernel"),
            )
            .help("Yama, a security module, or a missing CAP_SYS_PTRACE: slowctl doctor"),
            _ => Error::io(format!("{self}"), error),
        }
    }

    /// Has it leave what it is in; returns which group that was.
    pub fn leave(&self) -> Result<Group> {
        let group = self.group()?.ok_or_else(|| {
            Error::not_found(format!("{self} is in no group"))
                .help("see what is in which: slowctl ls")
        })?;
        match self {
            Self::Process(held) | Self::Thread(held) => {
                let left = if group.exists() {
                    group.leave(held.fd.as_fd())
                } else if module::tasks()?.contains(&held.id) {
                    module::detach_task(held.id)
                } else {
                    let what = format!("{self} is in the group {} of another handler", group.0);
                    return Err(Error::new(Kind::Busy, what));
                };
                left.map_err(|e| self.leave_error(&group, &e))?;
            }
            Self::Cgroup(cgroup) => cgroup::set(cgroup, NONE)?,
        }
        Ok(group)
    }

    fn leave_error(&self, group: &Group, error: &io::Error) -> Error {
        match Errno::from_io_error(error) {
            Some(Errno::BUSY) => {
                let error = Error::new(
                    Kind::Busy,
                    format!("{self} is in {} because its cgroup is", group.0),
                );
                let cgroups = cgroup::with_groups().unwrap_or_default();
                let (Self::Process(held) | Self::Thread(held)) = self else {
                    return error;
                };
                let cgroup = cgroups.iter().rfind(|(cgroup, _)| cgroup.contains(held.id));
                match cgroup {
                    Some((cgroup, _)) => error.help(format!(
                        "let that go: slowctl detach --cgroup {}",
                        cgroup.name
                    )),
                    None => error,
                }
            }
            _ => Error::io(format!("{self}"), error),
        }
    }

    /// Whether one of these is in it.
    fn touched(&self, tids: &[i32]) -> Option<i32> {
        let is_in = |tid: &&i32| match self {
            Self::Process(held) | Self::Thread(held) => held.id == **tid,
            Self::Cgroup(cgroup) => cgroup.contains(**tid),
        };
        tids.iter().find(is_in).copied()
    }
}

/// A pidfd of a thread.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(rustix::fs::OFlags::EXCL.bits());

impl Held {
    fn open(id: i32, flags: PidfdFlags) -> std::result::Result<Self, Errno> {
        let pid = Pid::from_raw(id).ok_or(Errno::SRCH)?;
        let fd = pidfd_open(pid, flags)?;
        Ok(Self {
            id,
            // Looked at later than it was opened: it is that of whom the descriptor is for, or
            // that one is gone.
            name: task::comm(id).ok_or(Errno::SRCH)?,
            fd,
        })
    }

    /// Whether it has ended: its number may be another one's then.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    fn process(pid: i32) -> Result<Self> {
        Self::open(pid, PidfdFlags::empty()).map_err(|errno| {
            let leader = Task::new(pid).map(|task| task.pid);
            match leader {
                Some(leader) if leader != pid => {
                    Error::not_found(format!("{pid} is a thread of process {leader}"))
                        .help(format!("say -p {leader}, or -t {pid} for it alone"))
                }
                None => Error::not_found(format!("there is no process {pid}")),
                _ => Error::io(format!("process {pid}"), &errno.into()),
            }
        })
    }

    fn thread(tid: i32) -> Result<Self> {
        Self::open(tid, PIDFD_THREAD).map_err(|errno| match errno {
            Errno::SRCH => Error::not_found(format!("there is no thread {tid}")),
            _ => Error::io(format!("thread {tid}"), &errno.into()),
        })
    }
}

impl TargetArgs {
    pub fn is_empty(&self) -> bool {
        let Self {
            pids,
            tids,
            cgroups,
            units,
            containers,
            names,
            force: _,
        } = self;
        pids.is_empty()
            && tids.is_empty()
            && cgroups.is_empty()
            && units.is_empty()
            && containers.is_empty()
            && names.is_empty()
    }

    /// Makes sure that somebody is meant.
    pub fn require(&self) -> Result<()> {
        if self.is_empty() {
            let options = "say -p, -t, --cgroup, --unit, --container or --name";
            return Err(Error::usage("whom?").help(options));
        }
        Ok(())
    }

    /// Looks for all of them. If one is not there, nothing is to be done for the others.
    pub fn find(&self) -> Result<Vec<Target>> {
        let mut found = Vec::new();
        for &pid in &self.pids {
            found.push(Target::Process(Held::process(pid)?));
        }
        for &tid in &self.tids {
            found.push(Target::Thread(Held::thread(tid)?));
        }
        for path in &self.cgroups {
            found.push(Target::Cgroup(Cgroup::at(path)?));
        }
        for unit in &self.units {
            found.push(Target::Cgroup(lookup::of_unit(unit)?));
        }
        for container in &self.containers {
            found.push(Target::Cgroup(lookup::of_container(container)?));
        }
        for name in &self.names {
            let held = task::processes_named(name)
                .into_iter()
                // Those that have gone meanwhile, or have another name, are not meant.
                .filter_map(|pid| Held::open(pid, PidfdFlags::empty()).ok())
                .filter(|held| held.name.as_bytes() == &name.as_bytes()[..name.len().min(15)]);
            let before = found.len();
            found.extend(held.map(Target::Process));
            if found.len() == before {
                return Err(Error::not_found(format!("no process is called '{name}'")));
            }
        }
        Ok(found)
    }

    /// The same, but not whom the system or this command needs, unless that is forced.
    pub fn find_unneeded(&self) -> Result<Vec<Target>> {
        let found = self.find()?;
        if self.force {
            return Ok(found);
        }
        let needed = task::needed();
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        for target in &found {
            if let Some(pid) = target.touched(&needed) {
                let who = match pid {
                    1 => "PID 1".into(),
                    pid if pid == own => "this command itself".into(),
                    pid => format!("process {pid}, from which this command was started"),
                };
                let what = match target {
                    Target::Cgroup(_) => format!("{target} has {who} in it"),
                    _ => format!("{target} is {who}"),
                };
                return Err(Error::new(Kind::Guarded, what)
                    .help("if it cannot make calls any more, neither can you: --force does it"));
            }
        }
        Ok(found)
    }
}
