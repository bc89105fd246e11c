// SPDX-License-Identifier: GPL-2.0

//! The module's files.

use crate::{
    error::{Error, Kind, Result, Trying},
    task,
    text::Place,
};
use rustix::io::Errno;
use std::{
    fs,
    io::{self, Write},
    os::fd::{AsRawFd, BorrowedFd},
    path::{Path, PathBuf},
};

pub const SYSFS: &str = "/sys/kernel/slowpath";
pub const CONFIGFS: &str = "/sys/kernel/config/slowpath";

/// What stands for no group and no policy.
pub const NONE: &str = "none";

/// Writes with one write(2), as the files want it.
pub fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> io::Result<()> {
    write_to(fs::OpenOptions::new().write(true).open(path)?, text)
}

fn append(path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> io::Result<()> {
    write_to(fs::OpenOptions::new().append(true).open(path)?, text)
}

fn write_to(mut file: fs::File, text: impl AsRef<[u8]>) -> io::Result<()> {
    let text = text.as_ref();
    if file.write(text)? == text.len() {
        Ok(())
    } else {
        Err(io::Error::other("not all of it was written"))
    }
}

/// Reads a value, without its newline.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let mut text = fs::read_to_string(path).trying(path.display().to_string())?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// A counter and its value.
pub type Counter = (String, u64);

fn counters(path: impl AsRef<Path>) -> Result<Vec<Counter>> {
    let text = read(path)?;
    let counter = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.into(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(counter).collect())
}

fn names_in(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).trying(folder)? {
        let entry = entry.trying(folder)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub fn is_loaded() -> bool {
    Path::new(SYSFS).exists()
}

/// Makes sure that there is something to talk to, and that it will listen.
pub fn require() -> Result<()> {
    if !is_loaded() {
        let error = Error::new(Kind::NotLoaded, "the module slowpath is not loaded");
        return Err(if task::own_group().is_none() {
            error.help("and cannot be: this kernel has no CONFIG_SYSCALL_SLOWPATH")
        } else {
            error.help("load it: modprobe slowpath")
        });
    }
    if !Path::new(CONFIGFS).exists() {
        return Err(Error::new(
            Kind::NotLoaded,
            "configfs is not mounted at /sys/kernel/config",
        )
        .help("mount it: mount -t configfs none /sys/kernel/config"));
    }
    if !task::has_capability(task::CAP_SYS_ADMIN) {
        return Err(Error::new(Kind::NotPermitted, "this needs CAP_SYS_ADMIN")
            .help("run it as root, or with sudo"));
    }
    Ok(())
}

/// A file of `/sys/kernel/slowpath`.
pub fn get(name: &str) -> Result<String> {
    read(format!("{SYSFS}/{name}"))
}

pub fn totals() -> Result<Vec<Counter>> {
    counters(format!("{SYSFS}/stats"))
}

/// The tasks that were attached one by one.
pub fn tasks() -> Result<Vec<i32>> {
    let names = names_in(&format!("{SYSFS}/tasks"))?;
    Ok(names.iter().filter_map(|tid| tid.parse().ok()).collect())
}

/// A file of a task that was attached by itself.
pub fn get_of_task(tid: i32, name: &str) -> Result<String> {
    read(format!("{SYSFS}/tasks/{tid}/{name}"))
}

pub fn counters_of_task(tid: i32) -> Result<Vec<Counter>> {
    counters(format!("{SYSFS}/tasks/{tid}/stats"))
}

/// Has all tasks leave what they are in by themselves.
pub fn detach_all() -> Result<()> {
    write(format!("{SYSFS}/detach"), "all").trying("detaching all")
}

pub fn detach_task(tid: i32) -> io::Result<()> {
    write(format!("{SYSFS}/detach"), tid.to_string())
}

/// Whether something may be called this.
fn check_name(what: &str, name: &str) -> Result<()> {
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || name == NONE || name.starts_with('.') || !is_visible || name.contains('/')
    {
        return Err(
            Error::usage(format!("'{name}' cannot be the name of a {what}"))
                .help("names are of visible ASCII characters without '/', and not 'none'"),
        );
    }
    Ok(())
}

/// A group, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(pub String);

impl Group {
    pub fn all() -> Result<Vec<Self>> {
        Ok(names_in(&format!("{CONFIGFS}/groups"))?
            .into_iter()
            .map(Self)
            .collect())
    }

    pub fn path(&self, file: &str) -> PathBuf {
        format!("{CONFIGFS}/groups/{}/{file}", self.0).into()
    }

    pub fn exists(&self) -> bool {
        check_name("group", &self.0).is_ok() && self.path("").is_dir()
    }

    /// Makes it; another error than that there is one already is not expected.
    pub fn create(&self) -> Result<()> {
        check_name("group", &self.0)?;
        fs::create_dir(self.path("")).trying(format!("making the group {}", self.0))
    }

    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir(self.path(""))
    }

    pub fn get(&self, file: &str) -> Result<String> {
        read(self.path(file))
    }

    /// The policy that it is under.
    pub fn policy(&self) -> Result<Option<Policy>> {
        let name = self.get("policy")?;
        Ok((name != NONE).then_some(Policy(name)))
    }

    pub fn set_policy(&self, policy: &Policy) -> Result<()> {
        write(self.path("policy"), &policy.0)
            .trying(format!("putting {} under the policy {}", self.0, policy.0))
    }

    pub fn members(&self) -> Result<Vec<i32>> {
        let text = self.get("members")?;
        let mut tids: Vec<i32> = text.lines().filter_map(|tid| tid.parse().ok()).collect();
        tids.sort_unstable();
        Ok(tids)
    }

    pub fn counters(&self) -> Result<Vec<Counter>> {
        counters(self.path("stats"))
    }

    /// Has whom the descriptor is for join.
    pub fn join(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        write(self.path("join"), format!("pidfd {}", fd.as_raw_fd()))
    }

    pub fn leave(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        write(self.path("leave"), format!("pidfd {}", fd.as_raw_fd()))
    }

    pub fn leave_all(&self) -> io::Result<()> {
        write(self.path("leave"), "all")
    }
}

/// A policy, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(pub String);

/// Rules that the kernel does not take, or else.
pub enum Refusal {
    Rules(Vec<Place>),
    Other(Error),
}

impl Policy {
    pub fn all() -> Result<Vec<Self>> {
        Ok(names_in(&format!("{CONFIGFS}/policies"))?
            .into_iter()
            .map(Self)
            .collect())
    }

    /// One that there is.
    pub fn named(name: &str) -> Result<Self> {
        let policy = Self(name.into());
        if policy.exists() {
            Ok(policy)
        } else {
            Err(Error::not_found(format!("there is no policy '{name}'"))
                .help("see what there is: slowctl policy ls"))
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        format!("{CONFIGFS}/policies/{}/{file}", self.0).into()
    }

    pub fn exists(&self) -> bool {
        check_name("policy", &self.0).is_ok() && self.path("").is_dir()
    }

    pub fn create(&self) -> Result<()> {
        check_name("policy", &self.0)?;
        fs::create_dir(self.path("")).trying(format!("making the policy {}", self.0))
    }

    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir(self.path(""))
    }

    pub fn get(&self, file: &str) -> Result<String> {
        read(self.path(file))
    }

    pub fn set_mode(&self, mode: &str) -> Result<()> {
        write(self.path("mode"), mode).trying(format!("the mode of {}", self.0))
    }

    /// Replaces all rules. `file` is what they are called; an empty text is that there are none.
    pub fn set_rules(&self, file: &str, text: &[u8]) -> std::result::Result<Vec<Place>, Refusal> {
        let text = if text.is_empty() { b"\n" } else { text };
        self.written(file, write(self.path("rules"), text))
    }

    /// Adds rules to those that there are.
    pub fn add_rules(&self, file: &str, text: &[u8]) -> std::result::Result<Vec<Place>, Refusal> {
        self.written(file, append(self.path("rules"), text))
    }

    /// What comes of a write; the warnings, if it was taken.
    fn written(
        &self,
        file: &str,
        result: io::Result<()>,
    ) -> std::result::Result<Vec<Place>, Refusal> {
        let places = || {
            let said = self.get("error").unwrap_or_default();
            let places = said.lines().filter_map(|l| Place::from_kernel(file, l));
            Vec::from_iter(places)
        };
        match result {
            Ok(()) => Ok(places()
                .into_iter()
                .filter(|place| place.reason.starts_with("warning: "))
                .collect()),
            Err(e) => {
                let errno = Errno::from_io_error(&e);
                Err(if matches!(errno, Some(Errno::INVAL | Errno::TOOBIG)) {
                    Refusal::Rules(places())
                } else {
                    Refusal::Other(Error::io(format!("the rules of {}", self.0), &e))
                })
            }
        }
    }
}
