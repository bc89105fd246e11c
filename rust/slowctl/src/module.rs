// SPDX-License-Identifier: GPL-2.0

//! The module's files.

use crate::{
    error::{Error, Kind, Result, Trying},
    task,
    text::{Place, Text},
};
use rustix::{
    fs::{flock, FlockOperation},
    io::Errno,
};
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

/// The longest name of a group, and of what a file system has.
const MAX_GROUP_NAME: usize = 63;
const MAX_NAME: usize = 255;

/// Whether something may be called this.
fn check_name(what: &str, name: &str, max: usize) -> Result<()> {
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    let is_name = !name.is_empty() && name != NONE && name.len() <= max;
    if !is_name || name.starts_with('.') || !is_visible || name.contains('/') {
        return Err(
            Error::usage(format!("'{name}' cannot be the name of a {what}")).help(format!(
                "names are of visible ASCII characters without '/', {max} at most, and not 'none'"
            )),
        );
    }
    Ok(())
}

/// Why nothing judges the calls of a group's tasks, if it is so, and what mends it.
pub fn why_not_judged(group: &Group) -> Result<Option<String>> {
    let switches = [
        ("all groups are", PathBuf::from(SYSFS).join("enabled")),
        ("its group is", group.setting_path("enabled")),
    ];
    for (which, switch) in switches {
        if read(&switch)? == "0" {
            let switch = switch.display();
            return Ok(Some(format!("{which} switched off: echo 1 > {switch}")));
        }
    }
    Ok(None)
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
        self.check_name().is_ok() && self.path("").is_dir()
    }

    fn check_name(&self) -> Result<()> {
        check_name("group", &self.0, MAX_GROUP_NAME)
    }

    /// The TID that it has its name from, if it is that of a task that was attached by itself.
    pub fn attached(&self) -> Option<i32> {
        self.0.strip_prefix("task/")?.parse().ok()
    }

    /// A file that all groups have, those of attached tasks as well.
    fn setting_path(&self, file: &str) -> PathBuf {
        match self.attached() {
            Some(tid) => format!("{SYSFS}/tasks/{tid}/{file}").into(),
            None => self.path(file),
        }
    }

    pub fn setting(&self, file: &str) -> Result<String> {
        read(self.setting_path(file))
    }

    /// Whether it is of this module, and not of another handler.
    pub fn is_ours(&self) -> bool {
        match self.attached() {
            Some(_) => self.setting_path("").is_dir(),
            None => self.exists(),
        }
    }

    /// Makes it; another error than that there is one already is not expected.
    pub fn create(&self) -> Result<()> {
        self.check_name()?;
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
        let name = self.setting("policy")?;
        Ok((name != NONE).then_some(Policy(name)))
    }

    pub fn set_policy(&self, policy: Option<&Policy>) -> Result<()> {
        let name = policy.map_or(NONE, |policy| policy.0.as_str());
        write(self.path("policy"), name)
            .trying(format!("putting {} under the policy {name}", self.0))
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
        check_name("policy", &self.0, MAX_NAME).is_ok() && self.path("").is_dir()
    }

    pub fn create(&self) -> Result<()> {
        check_name("policy", &self.0, MAX_NAME)?;
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

    /// Keeps others from writing rules by slowctl until what is returned is dropped: nothing gets
    /// lost of what they have written since the rules were read.
    pub fn lock(&self) -> Result<fs::File> {
        let what = || format!("the rules of {}", self.0);
        let file = fs::File::open(self.path("rules")).trying(what())?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => continue,
                locked => return locked.trying(what()).map(|()| file),
            }
        }
    }

    /// Replaces all rules. `file` is what they are called.
    pub fn set_rules(&self, file: &str, text: &[u8]) -> std::result::Result<Vec<Place>, Refusal> {
        // The kernel is not told of a write of nothing, and no rules may be a mistake.
        if text.is_empty() {
            return Err(Refusal::Other(no_rules(file)));
        }
        let said = self.get("error").map_err(Refusal::Other)?;
        let result = write(self.path("rules"), text);
        self.written(file, &said, result, text, 0)
    }

    /// Adds rules to those that there are.
    pub fn add_rules(&self, file: &str, text: &[u8]) -> std::result::Result<Vec<Place>, Refusal> {
        let said = self.get("error").map_err(Refusal::Other)?;
        let before = self.get("rules").map_err(Refusal::Other)? + "\n";
        let result = append(self.path("rules"), text);
        let all = [before.as_bytes(), text].concat();
        self.written(file, &said, result, &all, before.lines().count())
    }

    /// What comes of a write; the warnings, if it was taken. `before` is what the file `error` had
    /// said until then; the first lines of the text, `skipped`, were there.
    fn written(
        &self,
        file: &str,
        before: &str,
        result: io::Result<()>,
        text: &[u8],
        skipped: usize,
    ) -> std::result::Result<Vec<Place>, Refusal> {
        let said = self.get("error").unwrap_or_default();
        let from_kernel = || {
            let places = said.lines().filter_map(|l| Place::from_kernel(file, l));
            Vec::from_iter(places)
        };
        // The file is as it was where there is nothing to say, where it is said again, and where the
        // text does not come to the module. It is of other rules then, maybe.
        let is_new = said != before;
        let own = Text::parse(file, text).map(|text| text.warnings);
        match result {
            Ok(()) => Ok(match own {
                Ok(warnings) => warnings
                    .into_iter()
                    .filter_map(|place| place.skip_lines(skipped))
                    .collect(),
                // This kernel has rules that are not known here.
                Err(_) if is_new => from_kernel(),
                Err(_) => Vec::new(),
            }),
            Err(e) => {
                let errno = Errno::from_io_error(&e);
                Err(if matches!(errno, Some(Errno::INVAL | Errno::TOOBIG)) {
                    let skip = |places: Vec<Place>| {
                        let places = places.into_iter().filter_map(|p| p.skip_lines(skipped));
                        Vec::from_iter(places)
                    };
                    Refusal::Rules(match own {
                        Err(places) if !is_new => skip(places),
                        _ => from_kernel(),
                    })
                } else {
                    Refusal::Other(Error::io(format!("the rules of {}", self.0), &e))
                })
            }
        }
    }
}

/// What is said of a file of rules that has nothing in it, not even a newline.
fn no_rules(file: &str) -> Error {
    Error::new(Kind::Rules, format!("{file} is empty"))
        .help("to remove all rules, have it be an empty line")
}
