// SPDX-License-Identifier: GPL-2.0

//! The module's files, as an administrator uses them.

use crate::process::{gettid, syscall, until};
use anyhow::{ensure, Context, Result};
use std::{
    ffi::CString,
    fs,
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

pub const SYSFS: &str = "/sys/kernel/slowpath";
pub const CONFIGFS: &str = "/sys/kernel/config/slowpath";
pub const POLICIES: &str = "/sys/kernel/config/slowpath/policies";
pub const GROUPS: &str = "/sys/kernel/config/slowpath/groups";

/// Writes with one write(2), as the interface wants it.
pub fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> io::Result<()> {
    let text = text.as_ref();
    let written = fs::OpenOptions::new().write(true).open(path)?.write(text)?;
    if written == text.len() {
        Ok(())
    } else {
        Err(io::Error::other("a short write"))
    }
}

/// Reads a value, without its newline.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_string())
}

/// Writes a file of the root directory.
pub fn set(name: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
    write(format!("{SYSFS}/{name}"), text)
}

pub fn attach(tid: i32) -> Result<Task> {
    set("attach", tid.to_string()).with_context(|| format!("attaching {tid}"))?;
    Ok(Task { tid })
}

/// Attaches a task whose exits are to be counted, too.
pub fn attach_counted(tid: i32) -> Result<Task> {
    let task = attach(tid)?;
    task.set("count_exits", "1")?;
    Ok(task)
}

pub fn detach(tid: i32) -> Result<()> {
    set("detach", tid.to_string()).with_context(|| format!("detaching {tid}"))
}

/// The TIDs that name directories.
pub fn tasks() -> Result<Vec<i32>> {
    let mut tids = Vec::new();
    for entry in fs::read_dir(format!("{SYSFS}/tasks"))? {
        tids.push(entry?.file_name().to_string_lossy().parse()?);
    }
    tids.sort_unstable();
    Ok(tids)
}

/// Waits until no directory is left: that of a task that has exited is removed a little later.
pub fn until_none_attached() -> Result<()> {
    until("no attachment is left", || Ok(tasks()?.is_empty()))
}

/// A counter of a `stats` file.
fn counter(path: impl AsRef<Path>, name: &str) -> Result<u64> {
    let stats = read(path)?;
    let counters = stats.lines().filter_map(|line| line.split_once(' '));
    let found = counters.into_iter().find(|(key, _)| *key == name);
    Ok(found.context("no such counter")?.1.parse()?)
}

/// An attachment's directory.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub tid: i32,
}

impl Task {
    pub fn path(self, name: &str) -> PathBuf {
        format!("{SYSFS}/tasks/{}/{name}", self.tid).into()
    }

    pub fn exists(self) -> bool {
        self.path("").exists()
    }

    pub fn get(self, name: &str) -> Result<String> {
        read(self.path(name))
    }

    pub fn set(self, name: &str, text: &str) -> Result<()> {
        write(self.path(name), text).with_context(|| format!("{name} {text}"))
    }

    /// A counter.
    pub fn stat(self, name: &str) -> Result<u64> {
        counter(self.path("stats"), name)
    }
}

/// A counter of all groups.
pub fn total(name: &str) -> Result<u64> {
    counter(format!("{SYSFS}/stats"), name)
}

/// A group's directory, which lasts until it is removed: [`reset()`] does that, too.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
}

impl Group {
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        fs::create_dir(format!("{GROUPS}/{name}")).with_context(|| format!("mkdir {name}"))?;
        Ok(Self { name })
    }

    /// One of this task, and of all that it makes from now on.
    pub fn of(tid: i32) -> Result<Self> {
        let group = Self::new(format!("of-{tid}"))?;
        group.join_task(tid)?;
        Ok(group)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        format!("{GROUPS}/{}/{name}", self.name).into()
    }

    pub fn get(&self, name: &str) -> Result<String> {
        read(self.path(name))
    }

    pub fn set(&self, name: &str, text: &str) -> Result<()> {
        write(self.path(name), text).with_context(|| format!("{name} {text}"))
    }

    pub fn join(&self, pid: i32) -> Result<()> {
        self.set("join", &format!("process {pid}"))
    }

    pub fn join_task(&self, tid: i32) -> Result<()> {
        self.set("join", &format!("task {tid}"))
    }

    pub fn leave(&self, pid: i32) -> Result<()> {
        self.set("leave", &format!("process {pid}"))
    }

    /// A counter.
    pub fn stat(&self, name: &str) -> Result<u64> {
        counter(self.path("stats"), name)
    }

    /// The TIDs of those in it, in order.
    pub fn members(&self) -> Result<Vec<i32>> {
        let mut tids = Vec::new();
        for line in self.get("members")?.lines() {
            tids.push(line.parse()?);
        }
        tids.sort_unstable();
        Ok(tids)
    }

    /// Lets all go, and removes it.
    pub fn end(self) -> Result<()> {
        self.set("leave", "all")?;
        fs::remove_dir(self.path("")).context("rmdir")
    }
}

/// A policy, removed when dropped.
pub struct Policy {
    pub name: &'static str,
}

impl Policy {
    pub fn new(name: &'static str, rules: &str) -> Result<Self> {
        fs::create_dir(format!("{POLICIES}/{name}")).with_context(|| format!("mkdir {name}"))?;
        let policy = Self { name };
        // A write of nothing is none.
        if !rules.is_empty() {
            policy.set("rules", rules)?;
        }
        Ok(policy)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        format!("{POLICIES}/{}/{file}", self.name).into()
    }

    pub fn set(&self, file: &str, text: &str) -> Result<()> {
        write(self.path(file), text).with_context(|| format!("{file} {text:?}"))
    }

    pub fn get(&self, file: &str) -> Result<String> {
        read(self.path(file))
    }

    /// How often a line of the rules has decided.
    pub fn hits(&self, line: usize) -> Result<u64> {
        let hits = self.get("hits")?;
        let line = hits.lines().nth(line).context("no such line")?;
        Ok(line.split(' ').next().unwrap_or_default().parse()?)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // A task that has just exited has it a little longer. Who keeps it has it until `reset()`.
        for _ in 0..100 {
            match fs::remove_dir(self.path("")) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && !self.is_kept() => {
                    sleep(Duration::from_millis(10))
                }
                _ => break,
            }
        }
    }
}

impl Policy {
    /// Whether this task, or a group, is under it.
    fn is_kept(&self) -> bool {
        let is_under = |folder: PathBuf| {
            let name = fs::read_to_string(folder.join("policy"));
            name.is_ok_and(|name| name.trim_end() == self.name)
        };
        let mut groups = fs::read_dir(GROUPS).into_iter().flatten().flatten();
        let own = format!("{SYSFS}/tasks/{}", gettid());
        is_under(own.into()) || groups.any(|group| is_under(group.path()))
    }
}

/// Loads a module, with parameters.
pub fn insmod(path: impl AsRef<Path>, parameters: &str) -> Result<()> {
    let file = fs::File::open(path)?;
    let parameters = CString::new(parameters)?;
    let (fd, parameters) = (file.as_raw_fd() as u64, parameters.as_ptr() as u64);
    match syscall(libc::SYS_finit_module, [fd, parameters, 0, 0, 0, 0]) {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(-e as i32)).context("finit_module"),
    }
}

pub fn rmmod(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    let (name, flags) = (name.as_ptr() as u64, libc::O_NONBLOCK as u64);
    match syscall(libc::SYS_delete_module, [name, flags, 0, 0, 0, 0]) {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(-e as i32)),
    }
}

/// The file of our module.
pub fn module() -> Result<String> {
    std::env::var("SLOWPATH_KO").context("SLOWPATH_KO must name slowpath.ko")
}

pub fn load() -> Result<()> {
    insmod(module()?, "")?;
    ensure!(is_loaded());
    Ok(())
}

pub fn is_loaded() -> bool {
    Path::new(SYSFS).exists()
}

fn knobs(dir: &Path, text: &mut String) -> Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|e| e.map(|e| e.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            knobs(&path, text)?;
        } else if !["hits", "error", "stats"]
            .iter()
            .any(|name| path.ends_with(name))
        {
            // Some can only be written.
            let value = fs::read_to_string(&path).unwrap_or_default();
            *text += &format!("{}: {value:?}\n", path.display());
        }
    }
    Ok(())
}

/// Every knob and its value, to show that nothing has changed.
pub fn state() -> Result<String> {
    let mut text = String::new();
    knobs(Path::new(SYSFS), &mut text)?;
    knobs(Path::new(CONFIGFS), &mut text)?;
    Ok(text)
}

/// Lets all tasks of groups go, and removes those.
pub fn remove_groups() -> Result<()> {
    for entry in fs::read_dir(GROUPS)? {
        let path = entry?.path();
        // Cgroups that a test has made may be going still.
        until("the group is free", || {
            write(path.join("leave"), "all")?;
            match fs::remove_dir(&path) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(false),
                result => Ok(result.map(|()| true)?),
            }
        })?;
    }
    Ok(())
}

/// Brings the module into the state in which it is after it was loaded.
pub fn reset() -> Result<()> {
    // A test may have died between the two.
    if !is_loaded() {
        load()?;
    }
    set("detach", "all")?;
    set("force_all", "0")?;
    set("enabled", "1")?;
    remove_groups()?;
    for entry in fs::read_dir(POLICIES)? {
        let path = entry?.path();
        // A task that is just leaving has it a little longer than its directory.
        until("the policy is free", || match fs::remove_dir(&path) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(false),
            result => Ok(result.map(|()| true)?),
        })?;
    }
    until_none_attached()
}
