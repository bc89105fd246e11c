// SPDX-License-Identifier: GPL-2.0

//! Cgroups: where they are, and which one is a unit's or a container's.

use crate::{
    error::{Error, Kind, Result, Trying},
    lookup, module, task,
};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Where the default hierarchy is mounted.
pub fn mount() -> Result<PathBuf> {
    mount_of("cgroup2")?.ok_or_else(|| {
        Error::new(Kind::NotLoaded, "no cgroup2 is mounted")
            .help("mount it: mount -t cgroup2 none /sys/fs/cgroup")
    })
}

/// Where the root of a file system of some kind is mounted.
pub fn mount_of(kind: &str) -> Result<Option<PathBuf>> {
    let mounts = fs::read("/proc/self/mountinfo").trying("the mounts")?;
    let mut lines = mounts.split(|byte| *byte == b'\n');
    Ok(lines.find_map(|line| mounted_at(line, kind)))
}

/// Where a line of mountinfo has that. Others may have mounted something at a path that is no UTF-8.
fn mounted_at(line: &[u8], kind: &str) -> Option<PathBuf> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let end = words.iter().position(|word| word == b"-")?;
    let is_wanted =
        words.get(end + 1) == Some(&kind.as_bytes()) && words.get(3) == Some(&&b"/"[..]);
    is_wanted.then(|| unescaped(words[4]).into())
}

/// A path of mountinfo, which has some bytes as a backslash and three octal digits.
fn unescaped(mut word: &[u8]) -> OsString {
    let mut path = Vec::new();
    while let [byte, rest @ ..] = word {
        let digits = rest
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| *byte == b'\\') {
            Some(escaped) => {
                path.push(escaped);
                word = &rest[3..];
            }
            None => {
                path.push(*byte);
                word = rest;
            }
        }
    }
    OsString::from_vec(path)
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub path: PathBuf,
    /// Its path from the root of the hierarchy, as /proc/PID/cgroup has it.
    pub name: String,
    /// The same, where it is no text.
    below: PathBuf,
}

impl Cgroup {
    /// The one at a path: in the file system, or from the root of the hierarchy.
    pub fn at(path: &Path) -> Result<Self> {
        let mount = mount()?;
        let below = path.strip_prefix("/").unwrap_or(path);
        let found = [path.to_path_buf(), mount.join(below)]
            .into_iter()
            .filter_map(|path| path.canonicalize().ok())
            .find(|path| path.starts_with(&mount) && path.join("cgroup.procs").exists());
        let path = found.ok_or_else(|| {
            Error::not_found(format!("there is no cgroup '{}'", path.display()))
                .help("see what there is: systemd-cgls, or find /sys/fs/cgroup -type d")
        })?;
        if path == mount {
            return Err(Error::usage("the root cgroup cannot be in a group"));
        }
        Ok(Self::new(path, &mount))
    }

    pub fn new(path: PathBuf, mount: &Path) -> Self {
        let below = Path::new("/").join(path.strip_prefix(mount).unwrap_or(&path));
        let name = below.display().to_string();
        Self { path, name, below }
    }

    /// Itself and those above it, but for the root, the nearest first.
    pub fn with_those_above(&self) -> Vec<Self> {
        let root = self.path.components().count() - (self.below.components().count() - 1);
        let above = self.path.ancestors();
        let above = above.take_while(|path| path.components().count() > root);
        let mount: PathBuf = self.path.components().take(root).collect();
        above.map(|path| Self::new(path.into(), &mount)).collect()
    }

    /// The group of its tasks, which it names itself or one above it does; and which one that is.
    pub fn effective_group(&self) -> Result<Option<(Self, String)>> {
        for cgroup in self.with_those_above() {
            if let Some(group) = cgroup.group()? {
                return Ok(Some((cgroup, group)));
            }
        }
        Ok(None)
    }

    /// The group that it names, if it names one.
    pub fn group(&self) -> Result<Option<String>> {
        let name = module::read(self.path.join("slowpath.group"))?;
        Ok((name != module::NONE).then_some(name))
    }

    pub fn set_group(&self, group: &str) -> io::Result<()> {
        module::write(self.path.join("slowpath.group"), group)
    }

    /// How often tasks were kept out of the group that it names.
    pub fn kept_out(&self) -> Option<u64> {
        let events = fs::read_to_string(self.path.join("slowpath.events")).ok()?;
        let mut lines = events.lines();
        lines.find_map(|line| line.strip_prefix("kept_out ")?.parse().ok())
    }

    /// Whether a task is in it, or below it.
    pub fn contains(&self, tid: i32) -> bool {
        task::cgroup_path_of(tid).is_some_and(|cgroup| cgroup.starts_with(&self.below))
    }

    /// The TIDs of the tasks that are in it, and not below.
    pub fn tasks(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.threads")).unwrap_or_default();
        text.lines().filter_map(|tid| tid.parse().ok()).collect()
    }

    /// It and those below it, those above first.
    pub fn with_those_below(&self) -> Vec<Self> {
        let mut found = vec![self.clone()];
        let mount = &self.path;
        let below = walk(&self.path, |_| true).into_iter();
        found.extend(below.map(|path| {
            let below = self.below.join(path.strip_prefix(mount).unwrap_or(&path));
            let name = below.display().to_string();
            Self { path, name, below }
        }));
        found
    }

    /// The cgroup of a task.
    pub fn of_task(tid: i32) -> Result<Option<Self>> {
        let mount = mount()?;
        let path = task::cgroup_path_of(tid).filter(|path| path.as_os_str() != "/");
        let path = path.and_then(|path| Some(mount.join(path.strip_prefix("/").ok()?)));
        Ok(path.map(|path| Self::new(path, &mount)))
    }

    /// What it is called, without what says that it is a unit or a container of some runtime.
    pub fn short_name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let name = lookup::container_id(&name).unwrap_or(&name);
        let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let name = if is_id { &name[..12] } else { name };
        let suffixes = [".service", ".scope", ".slice"];
        let short = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        short.unwrap_or(name).into()
    }
}

/// The folders below one, those above before those below; those that go meanwhile are left out.
/// `enters` says whether to look into one of them, or the first one.
fn walk(start: &Path, enters: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![start.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = enters(&folder).then(|| fs::read_dir(&folder).ok());
        let mut below: Vec<PathBuf> = entries
            .flatten()
            .into_iter()
            .flat_map(Iterator::flatten)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        folders.extend(below.into_iter().rev());
        if folder != start {
            found.push(folder);
        }
    }
    found
}

/// All cgroups, those above before those below; those that go meanwhile are left out.
pub fn all() -> Result<Vec<Cgroup>> {
    let mount = mount()?;
    let found = walk(&mount, |_| true).into_iter();
    Ok(found.map(|path| Cgroup::new(path, &mount)).collect())
}

/// The cgroups whose names say what they are: those that root has made, not within containers, nor
/// of what a user's own systemd runs.
pub fn all_of_the_system() -> Result<Vec<Cgroup>> {
    let mount = mount()?;
    let found = walk(&mount, |folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_users = name.starts_with("user@") && name.ends_with(".service");
        // Whoever may make cgroups there, calls them as they like.
        let is_roots = fs::metadata(folder).is_ok_and(|data| data.uid() == 0);
        is_roots && !is_users && lookup::any_container_id(&name).is_none()
    });
    let found = found.into_iter();
    Ok(found.map(|path| Cgroup::new(path, &mount)).collect())
}

/// The cgroups that name a group, with its name.
pub fn with_groups() -> Result<Vec<(Cgroup, String)>> {
    let mut found = Vec::new();
    let all = match all() {
        Err(e) if e.kind == Kind::NotLoaded => Vec::new(),
        all => all?,
    };
    for cgroup in all {
        // It may have gone, or the kernel may have no such file.
        if let Ok(Some(group)) = cgroup.group() {
            found.push((cgroup, group));
        }
    }
    Ok(found)
}

/// Says that the kernel has no groups of cgroups, if it has none.
pub fn require(cgroup: &Cgroup) -> Result<()> {
    if cgroup.path.join("slowpath.group").exists() {
        return Ok(());
    }
    let what = format!("{} has no slowpath.group", cgroup.name);
    Err(Error::new(Kind::NotLoaded, what).help("this kernel has no CONFIG_CGROUP_SLOWPATH"))
}

/// Names the group in a cgroup.
pub fn set(cgroup: &Cgroup, group: &str) -> Result<()> {
    require(cgroup)?;
    cgroup
        .set_group(group)
        .trying(format!("the group of the cgroup {}", cgroup.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c2b3a4f1c2b3a4f1c2b3a4f1c2b3a4f1c2b3a4f1c2b3a4f1c2b3a4f1c2b3a";

    fn cgroup(name: &str) -> Cgroup {
        Cgroup::new(Path::new("/m/n").join(name), Path::new("/m/n"))
    }

    #[test]
    fn short_names() {
        let short = |name: &str| cgroup(name).short_name();
        assert_eq!(short("nginx.service"), "nginx");
        assert_eq!(short(&format!("docker-{ID}.scope")), &ID[..12]);
        assert_eq!(short("box"), "box");
    }

    #[test]
    fn those_above() {
        let all = cgroup("a/b.slice/c").with_those_above();
        let names: Vec<&str> = all.iter().map(|cgroup| cgroup.name.as_str()).collect();
        assert_eq!(names, ["/a/b.slice/c", "/a/b.slice", "/a"]);
        assert_eq!(all[2], cgroup("a"));
    }

    #[test]
    fn mounts() {
        let cgroup2_at = |line| mounted_at(line, "cgroup2");
        let line = b"30 1 0:26 / /sys/fs/cg\\040roup rw - cgroup2 none rw";
        assert_eq!(cgroup2_at(line), Some("/sys/fs/cg roup".into()));
        // Of a part of it, or at what is no text.
        assert_eq!(cgroup2_at(b"30 1 0:26 /a /b rw - cgroup2 none rw"), None);
        assert_eq!(
            cgroup2_at(b"31 1 0:27 / /tmp/\xff rw shared:1 - fuse a rw"),
            None
        );
        assert_eq!(cgroup2_at(b"junk"), None);
    }
}
