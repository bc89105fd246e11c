// SPDX-License-Identifier: GPL-2.0

//! Which cgroup is that of a unit or of a container.
//!
//! Whoever may make cgroups somewhere, such as a user or a container, chooses their names: systemd and
//! the container runtimes are asked first, and names are believed only where root gives them.

use crate::{
    cgroup::{self, Cgroup},
    error::{Error, Kind, Result},
};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use std::{io, path::Path, process::Command};

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
    let what = || format!("no unit '{unit}' has a cgroup");
    let help = || format!("does it run? systemctl status {unit}");
    let arguments = ["show", "-p", "ControlGroup", "--value", "--", &unit];
    match output_of("systemctl", &arguments) {
        Said::Text(path) => {
            let path = path.trim();
            // A unit that there is not, or that does not run, has none.
            if path.is_empty() || path == "/" {
                return Err(Error::not_found(what()).help(help()));
            }
            return Cgroup::at(Path::new(path));
        }
        Said::Error(why) if Path::new("/run/systemd/system").is_dir() => {
            let what = format!("systemctl does not say which cgroup '{unit}' has: {why}");
            return Err(Error::new(Kind::Failed, what).help("say which one by --cgroup"));
        }
        // There is no systemd here.
        Said::Error(_) | Said::Nothing => {}
    }
    let found = cgroups_named(|name| name == unit)?;
    only(found, &format!("unit '{unit}'"))?.ok_or_else(|| Error::not_found(what()).help(help()))
}

/// What the names of the cgroups begin with that container runtimes make.
const PREFIXES: [&str; 7] = [
    "docker-",
    "libpod-",
    "cri-containerd-",
    "crio-",
    "crun-",
    "runc-",
    "nerdctl-",
];

/// The ID in the name of a cgroup that a container runtime has made.
pub fn container_id(name: &str) -> Option<&str> {
    let id = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let id = id.strip_suffix(".scope").unwrap_or(id);
    // What watches the container has a cgroup, too.
    (!id.is_empty() && is_hex(id)).then_some(id)
}

/// The same, or of one that is called by its ID alone.
pub fn any_container_id(name: &str) -> Option<&str> {
    let is_id = name.len() == ID_LEN && is_hex(name);
    container_id(name).or(is_id.then_some(name))
}

const ID_LEN: usize = 64;

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a cgroup of this name is that of the container with an ID, which may be any word.
fn is_of(name: &str, id: &str) -> bool {
    let with_prefix = |prefix: &str| {
        let rest = name
            .strip_prefix(prefix)
            .map(|n| n.strip_suffix(".scope").unwrap_or(n));
        rest == Some(id)
    };
    name == id || PREFIXES.into_iter().any(with_prefix)
}

/// The cgroups of the system whose name is such.
fn cgroups_named(is_meant: impl Fn(&str) -> bool) -> Result<Vec<Cgroup>> {
    let mut found = cgroup::all_of_the_system()?;
    found.retain(|cgroup| {
        let name = cgroup.path.file_name().unwrap_or_default();
        is_meant(&name.to_string_lossy())
    });
    Ok(found)
}

/// The cgroup of a container: that with its full ID; what a runtime calls by this name; the only one
/// whose ID begins so; or one of this very name.
pub fn of_container(wanted: &str) -> Result<Cgroup> {
    let what = format!("container '{wanted}'");
    if wanted.starts_with('-') {
        return Err(Error::usage(format!(
            "no {what} can be: it would be an option"
        )));
    }
    if wanted.len() == ID_LEN && is_hex(wanted) {
        let found = cgroups_named(|name| any_container_id(name) == Some(wanted))?;
        if let Some(cgroup) = only(found, &what)? {
            return Ok(cgroup);
        }
    }
    let mut of_runtimes = Vec::new();
    let mut refused = None;
    for container in known_to_runtimes(wanted) {
        match container.cgroup() {
            Ok(cgroup) if of_runtimes.contains(&cgroup) => {}
            Ok(cgroup) => of_runtimes.push(cgroup),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if let Some(cgroup) = only(of_runtimes, &what)? {
        return Ok(cgroup);
    }
    // It is known which one is meant: no other one is.
    if let Some(error) = refused {
        return Err(error);
    }
    let begins = |name: &str| any_container_id(name).is_some_and(|id| id.starts_with(wanted));
    if wanted.len() >= 4 && is_hex(wanted) {
        if let Some(cgroup) = only(cgroups_named(begins)?, &what)? {
            return Ok(cgroup);
        }
    }
    only(cgroups_named(|name| name == wanted)?, &what)?.ok_or_else(|| {
        Error::not_found(format!("no container '{wanted}' runs here"))
            .help("neither docker, podman, crun or runc know it, nor has a cgroup its name")
    })
}

/// A container, as a runtime has it.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    runtime: &'static str,
    id: String,
    /// Its first process; 0, if it does not run.
    pid: i32,
}

impl Container {
    /// Its cgroup: the process may be in one below, as systemd in a container is. And it may be
    /// another one's by now, or be on another machine, as docker's contexts are.
    fn cgroup(&self) -> Result<Cgroup> {
        let Self { runtime, id, pid } = self;
        let who = format!("{runtime}'s container {id}");
        if *pid <= 0 {
            return Err(Error::not_found(format!("{who} does not run")));
        }
        let pidfd = Pid::from_raw(*pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let cgroup = Cgroup::of_task(*pid)?;
        let (Some(Ok(_held)), Some(cgroup)) = (pidfd, cgroup) else {
            let what = format!("{who} is process {pid}, which is not here");
            return Err(Error::not_found(what).help("does it run on this machine?"));
        };
        let above = cgroup.with_those_above();
        let mut from_root = above.iter().rev();
        let found = from_root.find(|cgroup| {
            let name = cgroup.path.file_name().unwrap_or_default();
            is_of(&name.to_string_lossy(), id)
        });
        found.cloned().ok_or_else(|| {
            let what = format!(
                "{who} is in the cgroup {}, which has not its name",
                cgroup.name
            );
            Error::not_found(what)
                .help("say which cgroup it is by --cgroup: that one, or one above")
        })
    }
}

/// What runtimes say about a container.
fn known_to_runtimes(wanted: &str) -> Vec<Container> {
    let inspected = |runtime| {
        let format = "{{.State.Pid}} {{.Id}}";
        let arguments = ["inspect", "--type", "container", "--format", format, wanted];
        let Said::Text(out) = output_of(runtime, &arguments) else {
            return None;
        };
        let (pid, id) = out.trim().split_once(' ')?;
        Some(Container {
            runtime,
            id: id.into(),
            pid: pid.parse().ok()?,
        })
    };
    let state = |runtime| {
        let Said::Text(out) = output_of(runtime, &["state", wanted]) else {
            return None;
        };
        let state: serde_json::Value = serde_json::from_str(&out).ok()?;
        Some(Container {
            runtime,
            id: state.get("id")?.as_str()?.into(),
            pid: i32::try_from(state.get("pid")?.as_i64()?).ok()?,
        })
    };
    let inspected = ["docker", "podman"].into_iter().filter_map(inspected);
    let state = ["crun", "runc"].into_iter().filter_map(state);
    inspected.chain(state).collect()
}

/// What a command says.
pub enum Said {
    Text(String),
    /// It has failed.
    Error(String),
    /// There is no such command.
    Nothing,
}

pub fn output_of(command: &str, arguments: &[&str]) -> Said {
    match Command::new(command).args(arguments).output() {
        Ok(out) if out.status.success() => {
            Said::Text(String::from_utf8_lossy(&out.stdout).into_owned())
        }
        Ok(out) => Said::Error(String::from_utf8_lossy(&out.stderr).trim().into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Said::Nothing,
        Err(e) => Said::Error(e.to_string()),
    }
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
            assert_eq!(any_container_id(&name), Some(ID), "{name}");
            assert!(is_of(&name, ID), "{name}");
            assert!(!is_of(&name, &ID[1..]), "{name}");
            assert!(!is_of(&name, &ID[..12]), "{name}");
        }
    }

    #[test]
    fn cgroups_of_no_container() {
        assert_eq!(any_container_id(&format!("libpod-conmon-{ID}.scope")), None);
        assert!(!is_of(&format!("libpod-conmon-{ID}.scope"), ID));
        assert_eq!(any_container_id("docker-.scope"), None);
        assert_eq!(any_container_id("cafe"), None);
    }

    #[test]
    fn containers_that_are_called_something() {
        assert!(is_of("crun-box.scope", "box"));
        assert!(is_of("box", "box"));
        assert!(!is_of("box-2", "box"));
        assert!(!is_of("init.scope", "box"));
    }
}
