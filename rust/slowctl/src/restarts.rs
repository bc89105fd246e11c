// SPDX-License-Identifier: GPL-2.0

//! What a systemd service starts anew.
//!
//! A restarted service has another cgroup, and would be in no group: nobody would be told. A drop-in has systemd put
//! the new cgroup into the group before the service's programs are started there; if that fails, so does the
//! start. It is in `/run`, and ends with the boot, as groups do.

use crate::{
    cgroup::Cgroup,
    error::{Error, Kind, Result, Trying},
    lookup::{output_of, Said},
    module::Group,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where drop-ins are that end with the boot.
const FOLDER: &str = "/run/systemd/system";
const FILE: &str = "50-slowpath.conf";
/// Behind it is the group.
const MARK: &str = "# Slowpath group: ";

/// The service whose cgroup this is, if systemd starts services here.
pub fn service_of(cgroup: &Cgroup) -> Option<&str> {
    let name = cgroup.path.file_name()?.to_str()?;
    (name.ends_with(".service") && Path::new(FOLDER).is_dir()).then_some(name)
}

/// Has what systemd starts of a service come into a group.
pub fn cover(service: &str, group: &Group) -> Result<()> {
    let program = std::env::current_exe().trying("the path of slowctl")?;
    let program = program.to_str().ok_or_else(|| {
        Error::new(Kind::Failed, "the path of slowctl is no text").help("install it elsewhere")
    })?;
    let text = text_of(service, group, program);
    let file = file_of(service);
    if fs::read_to_string(&file).is_ok_and(|old| old == text) {
        // It is this that runs slowctl now.
        return Ok(());
    }
    let what = || file.display().to_string();
    fs::create_dir_all(file.parent().unwrap_or(Path::new(FOLDER))).trying(what())?;
    fs::write(&file, text).trying(what())?;
    reload().inspect_err(|_| {
        let _ = remove(&file);
    })
}

/// Which services come into a group when they are started.
pub fn covered() -> Vec<(String, Group)> {
    let folders = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let services = folders.filter_map(|folder| {
        let name = folder.file_name().into_string().ok()?;
        Some(name.strip_suffix(".d")?.to_string())
    });
    services
        .filter_map(|service| {
            let text = fs::read_to_string(file_of(&service)).ok()?;
            let group = text.lines().find_map(|line| line.strip_prefix(MARK))?;
            let group = Group(group.into());
            Some((service, group))
        })
        .collect()
}

/// Has services come into a group no longer, of those that are chosen.
pub fn uncover(is_chosen: impl Fn(&str, &Group) -> bool) -> Result<Vec<(String, Group)>> {
    let mut chosen = covered();
    chosen.retain(|(service, group)| is_chosen(service, group));
    for (service, _) in &chosen {
        let file = file_of(service);
        remove(&file).trying(file.display().to_string())?;
    }
    if !chosen.is_empty() {
        reload()?;
    }
    Ok(chosen)
}

fn file_of(service: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{service}.d")).join(FILE)
}

fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    // Others may have a drop-in there.
    if let Some(folder) = file.parent() {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn reload() -> Result<()> {
    match output_of("systemctl", &["daemon-reload"]) {
        Said::Text(_) => Ok(()),
        Said::Error(why) => Err(Error::new(
            Kind::Failed,
            format!("systemctl daemon-reload fails: {why}"),
        )),
        Said::Nothing => Err(Error::new(Kind::Failed, "there is no systemctl")),
    }
}

/// The command has all privileges, whatever the service's are, and forces what it is in itself.
fn text_of(service: &str, group: &Group, program: &str) -> String {
    format!(
        "{MARK}{0}\n# Until: slowctl detach --group {0}\n[Service]\nExecStartPre=+{1} attach --force --unit {2} --no-create --group {3}\n",
        group.0,
        quoted(program),
        quoted(service),
        quoted(&group.0),
    )
}

/// As a word of a command line of systemd's.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Specifiers, and variables.
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_themselves_to_systemd() {
        assert_eq!(quoted("a b"), r#""a b""#);
        assert_eq!(quoted(r#"50%$x"\"#), r#""50%%$$x\"\\""#);
    }

    #[test]
    fn drop_in_names_its_group() {
        let text = text_of("a@b.service", &Group("c d".into()), "/usr/bin/slowctl");
        assert!(text.starts_with("# Slowpath group: c d\n"));
        assert!(text.contains("\nExecStartPre=+\"/usr/bin/slowctl\" attach --force --unit \"a@b.service\" --no-create --group \"c d\"\n"));
    }
}
