// SPDX-License-Identifier: GPL-2.0

//! Cgroups: where they are, and which one is a unit's or a container's.

use crate::{
    error::{Error, Kind, Result, Trying},
    module, task,
};
use procfs::process::Process;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the default hierarchy is mounted.
pub fn mount() -> Result<PathBuf> {
    let mounts = Process::myself().and_then(|me| me.mountinfo());
    let mounts = mounts.map_err(|e| Error::new(Kind::Failed, format!("the mounts: {e}")))?;
    let mut all = mounts.into_iter();
    let cgroup2 = all.find(|mount| mount.fs_type == "cgroup2");
    cgroup2.map(|mount| mount.mount_point).ok_or_else(|| {
        Error::new(Kind::NotLoaded, "no cgroup2 is mounted")
            .help("mount it: mount -t cgroup2 none /sys/fs/cgroup")
    })
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub path: PathBuf,
    /// Its path from the root of the hierarchy, as /proc/PID/cgroup has it.
    pub name: String,
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

    fn new(path: PathBuf, mount: &Path) -> Self {
        let below = path.strip_prefix(mount).unwrap_or(&path);
        let name = format!("/{}", below.display());
        Self { path, name }
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
        task::cgroup_of(tid).is_some_and(|cgroup| Path::new(&cgroup).starts_with(&self.name))
    }

    /// What it is called, without what says that it is a unit or a container of some runtime.
    pub fn short_name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let name = container_id(&name).unwrap_or(&name);
        let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let name = if is_id { &name[..12] } else { name };
        let suffixes = [".service", ".scope", ".slice"];
        let short = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        short.unwrap_or(name).into()
    }
}

/// All cgroups, those above before those below; those that go meanwhile are left out.
pub fn all() -> Result<Vec<Cgroup>> {
    let mount = mount()?;
    let mut found = Vec::new();
    let mut folders = vec![mount.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        let mut below: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        folders.extend(below.into_iter().rev());
        if folder != mount {
            found.push(Cgroup::new(folder, &mount));
        }
    }
    Ok(found)
}

/// The cgroups that name a group, with its name.
pub fn with_groups() -> Result<Vec<(Cgroup, String)>> {
    let mut found = Vec::new();
    for cgroup in all()? {
        // It may have gone, or the kernel may have no such file.
        if let Ok(Some(group)) = cgroup.group() {
            found.push((cgroup, group));
        }
    }
    Ok(found)
}

/// The cgroup of a systemd unit.
pub fn of_unit(name: &str) -> Result<Cgroup> {
    let has_kind = [".service", ".scope", ".slice", ".socket", ".mount"]
        .iter()
        .any(|kind| name.ends_with(kind));
    let unit = if has_kind {
        name.to_string()
    } else {
        format!("{name}.service")
    };
    if let Some(path) = output_of(
        "systemctl",
        &["show", "-p", "ControlGroup", "--value", &unit],
    ) {
        let path = path.trim();
        if !path.is_empty() && path != "/" {
            return Cgroup::at(Path::new(path));
        }
    }
    let is_unit = |cgroup: &Cgroup| cgroup.path.file_name().is_some_and(|n| n == unit.as_str());
    let found = all()?.into_iter().filter(is_unit).collect();
    only(found, &format!("unit '{unit}'"))?.ok_or_else(|| {
        Error::not_found(format!("no unit '{unit}' has a cgroup"))
            .help(format!("does it run? systemctl status {unit}"))
    })
}

/// The ID in the name of a cgroup that a container runtime has made.
fn container_id(name: &str) -> Option<&str> {
    let prefixes = ["docker-", "libpod-", "cri-containerd-", "crio-"];
    let id = prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let id = id.strip_suffix(".scope").unwrap_or(id);
    // What watches the container has a cgroup, too.
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

/// Whether a cgroup is that of a container: by its ID or the beginning of it, or by its name.
fn is_container(cgroup: &str, wanted: &str) -> bool {
    let is_hex = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let begins = |id: &str| wanted.len() >= 4 && id.starts_with(wanted);
    match container_id(cgroup) {
        Some(id) => id == wanted || begins(id),
        None => cgroup == wanted || (cgroup.len() == 64 && is_hex(cgroup) && begins(cgroup)),
    }
}

/// The cgroup of a container.
pub fn of_container(wanted: &str) -> Result<Cgroup> {
    let mut found: Vec<Cgroup> = Vec::new();
    for cgroup in all()? {
        let name = cgroup.path.file_name().unwrap_or_default();
        // What a container makes inside of its own is not another one.
        let is_below = found.iter().any(|f| cgroup.path.starts_with(&f.path));
        if !is_below && is_container(&name.to_string_lossy(), wanted) {
            found.push(cgroup);
        }
    }
    if let Some(cgroup) = only(found, &format!("container '{wanted}'"))? {
        return Ok(cgroup);
    }
    let pid = pid_of_container(wanted);
    let cgroup = pid.and_then(task::cgroup_of).filter(|path| path != "/");
    match cgroup {
        Some(path) => Cgroup::at(Path::new(&path)),
        None => Err(
            Error::not_found(format!("no container '{wanted}' runs here"))
                .help("neither a cgroup has its name, nor docker, podman, crun or runc know it"),
        ),
    }
}

/// The first process of a container, as a runtime says it.
fn pid_of_container(wanted: &str) -> Option<i32> {
    let inspected = |runtime| {
        let out = output_of(runtime, &["inspect", "--format", "{{.State.Pid}}", wanted])?;
        out.trim().parse().ok()
    };
    let state = |runtime| {
        let out = output_of(runtime, &["state", wanted])?;
        let state: serde_json::Value = serde_json::from_str(&out).ok()?;
        i32::try_from(state.get("pid")?.as_i64()?).ok()
    };
    let mut pids = ["docker", "podman"]
        .into_iter()
        .filter_map(inspected)
        .chain(["crun", "runc"].into_iter().filter_map(state));
    // One that does not run has none.
    pids.find(|pid| *pid > 0)
}

/// What a command prints, if there is such a command and it succeeds.
fn output_of(command: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then_some(text)
}

/// The only one of some cgroups, if there is any.
fn only(mut found: Vec<Cgroup>, what: &str) -> Result<Option<Cgroup>> {
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|cgroup| cgroup.name.as_str()).collect();
        return Err(
            Error::usage(format!("{what} may be any of {}", names.join(", ")))
                .help("say which one by --cgroup"),
        );
    }
    Ok(found.pop())
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

    #[test]
    fn cgroups_of_containers() {
        for name in [
            format!("docker-{ID}.scope"),
            format!("libpod-{ID}.scope"),
            format!("cri-containerd-{ID}.scope"),
            format!("crio-{ID}.scope"),
            format!("crio-{ID}"),
            ID.to_string(),
        ] {
            assert!(is_container(&name, ID), "{name}");
            assert!(is_container(&name, &ID[..12]), "{name}");
            assert!(!is_container(&name, &ID[..3]), "{name}");
            assert!(!is_container(&name, &ID[1..]), "{name}");
            let cgroup = Cgroup::new(Path::new("/m/a").join(&name), Path::new("/m"));
            assert!(cgroup.short_name().starts_with(&ID[..12]), "{name}");
            assert_eq!(cgroup.name, format!("/a/{name}"));
        }
    }

    #[test]
    fn cgroups_of_no_container() {
        assert!(!is_container(&format!("libpod-conmon-{ID}.scope"), ID));
        assert!(!is_container("box-2", "box"));
        assert!(!is_container("docker-.scope", ""));
        assert!(is_container("box", "box"));
    }

    #[test]
    fn short_names() {
        let short =
            |name: &str| Cgroup::new(Path::new("/m").join(name), Path::new("/m")).short_name();
        assert_eq!(short("nginx.service"), "nginx");
        assert_eq!(short(&format!("docker-{ID}.scope")), &ID[..12]);
        assert_eq!(short("box"), "box");
    }
}
