// SPDX-License-Identifier: GPL-2.0

//! Whom a command is about.

use crate::{
    cgroup::{self, Cgroup},
    error::{Error, Result, Trying},
    guard::{self, ForceArgs},
    lookup,
    module::{Group, NONE},
    output::plain,
    setup,
    task::{self, Task},
};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fd::OwnedFd,
    io::Errno,
    process::{pidfd_open, Pid, PidfdFlags},
};
use std::{fmt, path::PathBuf};

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
            Self::Process(held) => write!(f, "process {} ({})", held.id, plain(&held.name)),
            Self::Thread(held) => write!(f, "thread {} ({})", held.id, plain(&held.name)),
            Self::Cgroup(cgroup) => write!(f, "cgroup {}", plain(&cgroup.name)),
        }
    }
}

impl Target {
    /// The same, held once more.
    pub fn try_clone(&self) -> Result<Self> {
        let clone = |held: &Held| {
            let fd = held.fd.try_clone().trying(self.to_string())?;
            Ok::<_, Error>(Held {
                id: held.id,
                name: held.name.clone(),
                fd,
            })
        };
        Ok(match self {
            Self::Process(held) => Self::Process(clone(held)?),
            Self::Thread(held) => Self::Thread(clone(held)?),
            Self::Cgroup(cgroup) => Self::Cgroup(cgroup.clone()),
        })
    }

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
        setup::short_name(&name)
    }

    /// The groups that its threads are in, each once; that of a cgroup, which may be from one above.
    pub fn groups(&self) -> Result<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for (_, group) in self.parts()? {
            groups.extend(group.filter(|group| !groups.contains(group)));
        }
        Ok(groups)
    }

    /// The first of them.
    pub fn group(&self) -> Result<Option<Group>> {
        Ok(self.groups()?.into_iter().next())
    }

    /// The same, and those that are in none, with who is in which.
    pub fn parts(&self) -> Result<Vec<(String, Option<Group>)>> {
        let held = match self {
            Self::Cgroup(cgroup) => {
                cgroup::require(cgroup)?;
                let group = cgroup.effective_group()?.map(|(_, name)| Group(name));
                return Ok(vec![(self.to_string(), group)]);
            }
            Self::Process(held) | Self::Thread(held) => held,
        };
        let tids = || match self {
            Self::Process(_) => task::threads_of(held.id),
            _ => vec![held.id],
        };
        let mut parts = by_group(tids());
        // A thread that is being made is there a moment before it is in the group.
        for _ in 0..task::LOOKS {
            if parts.len() < 2 || parts.iter().all(|part| part.1.is_some()) {
                break;
            }
            std::thread::sleep(task::LOOK);
            parts = by_group(tids());
        }
        if self.is_gone() {
            return Err(Error::not_found(format!("{self} is gone")));
        }
        let is_whole = parts.len() < 2;
        let parts = parts.into_iter().map(|(tids, group)| match is_whole {
            true => (self.to_string(), group),
            false => (format!("{self}, threads {}", tids.join(" ")), group),
        });
        Ok(parts.collect())
    }

    pub fn is_gone(&self) -> bool {
        match self {
            Self::Process(held) | Self::Thread(held) => held.is_gone(),
            Self::Cgroup(cgroup) => !cgroup.path.exists(),
        }
    }
}

/// Tasks by the groups that they are in, as far as they make calls.
fn by_group(tids: Vec<i32>) -> Vec<(Vec<String>, Option<Group>)> {
    let mut parts: Vec<(Vec<String>, Option<Group>)> = Vec::new();
    for tid in tids {
        let Some(name) = Task::new(tid).and_then(|task| task.group) else {
            continue;
        };
        let group = (name != NONE).then_some(Group(name));
        if group.is_none() && task::makes_no_calls(tid) {
            continue;
        }
        match parts.iter_mut().find(|part| part.1 == group) {
            Some(part) => part.0.push(tid.to_string()),
            None => parts.push((vec![tid.to_string()], group)),
        }
    }
    parts
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
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// A thread, whatever it is of.
    pub fn of_thread(tid: i32) -> Option<Self> {
        Self::open(tid, PIDFD_THREAD).ok()
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
            let before = found.len();
            found.extend(named(name).map(Target::Process));
            if found.len() == before {
                return Err(Error::not_found(format!("no process is called '{name}'")));
            }
        }
        Ok(found)
    }

    /// The same, but not whom the system or this command needs, unless that is forced.
    pub fn find_unneeded(&self, force: ForceArgs) -> Result<Vec<Target>> {
        let found = self.find()?;
        if !force.force {
            guard::targets(&found)?;
        }
        Ok(found)
    }

    /// Those that are called as is said, and were not there when they were looked for first.
    pub fn find_more(&self, found: &[Target]) -> Vec<Target> {
        let is_known = |held: &Held| {
            let is_it =
                |t: &Target| matches!(t, Target::Process(h) if h.id == held.id && !h.is_gone());
            found.iter().any(is_it)
        };
        let all = self.names.iter().flat_map(|name| named(name));
        all.filter(|held| !is_known(held))
            .map(Target::Process)
            .collect()
    }
}

/// The processes of this name.
fn named(name: &str) -> impl Iterator<Item = Held> + '_ {
    let pids = task::processes_named(name).into_iter();
    // Those that have gone meanwhile, or have another name, are not meant.
    let held = pids.filter_map(|pid| Held::open(pid, PidfdFlags::empty()).ok());
    held.filter(|held| task::is_called(held.id, name) && !held.is_gone())
}
