// SPDX-License-Identifier: GPL-2.0

//! What a systemd service starts anew.
//!
//! A restarted service has another cgroup, and would be in no group: nobody would be told. A drop-in has systemd put
//! the new cgroup into the group, by `slowctl rejoin`, before anything of the service is started there but its own
//! `ExecCondition=`; if that fails, so does the start. It is in `/run`, and ends with the boot, as groups do.

use crate::{
    cgroup::{self, Cgroup},
    error::{End, Error, Kind, Result, Trying},
    lookup::{output_of, Said},
    module::{self, Group},
    output::Output,
    task,
};
use std::{
    collections::HashMap,
    fs, io,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Where drop-ins are that end with the boot.
const FOLDER: &str = "/run/systemd/system";
/// Read last: what others reset is ours no more.
const FILE: &str = "zzzz-slowpath.conf";
/// What is behind these.
const GROUP_MARK: &str = "# Slowpath group: ";
const CGROUP_MARK: &str = "# Cgroup: ";

/// What may show the command of the drop-in other files than ours, and is in effect for it, too.
const OTHER_ROOTS: [&str; 9] = [
    "RootDirectory",
    "RootImage",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
    "MountImages",
    "ExtensionImages",
    "ExtensionDirectories",
    "RootEphemeral",
];

/// A service that comes into a group when it is started.
#[derive(Clone, Debug)]
pub struct Covered {
    pub service: String,
    pub group: Group,
    /// That of the service, when this was arranged.
    pub cgroup: String,
}

/// What was arranged, and what was there before it.
pub struct Arranged {
    pub service: String,
    text: String,
    before: Option<String>,
}

/// What systemd says of a unit.
fn properties(unit: &str, names: &[&str]) -> Result<HashMap<String, String>> {
    let names = names.join(",");
    match output_of("systemctl", &["show", "-p", &names, "--", unit]) {
        Said::Text(text) => Ok(text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect()),
        Said::Error(why) => Err(Error::new(
            Kind::Failed,
            format!("systemctl does not say what '{unit}' is: {why}"),
        )),
        Said::Nothing => Err(Error::new(Kind::Failed, "there is no systemctl")),
    }
}

fn systemd_runs() -> bool {
    Path::new(FOLDER).is_dir()
}

/// The service that somebody calls by this name, if systemd starts it.
pub fn service_of(unit: &str) -> Result<Option<String>> {
    if !systemd_runs() {
        return Ok(None);
    }
    let unit = match unit.contains('.') {
        true => unit.to_string(),
        false => format!("{unit}.service"),
    };
    let mut said = properties(&unit, &["Id", "LoadState"])?;
    let is_loaded = said.get("LoadState").is_some_and(|state| state == "loaded");
    let id = said.remove("Id").filter(|id| id.ends_with(".service"));
    Ok(id.filter(|_| is_loaded))
}

/// Has what systemd starts of a service come into a group.
pub fn cover(service: &str, group: &Group) -> Result<Arranged> {
    let mut wanted = vec!["ControlGroup"];
    wanted.extend(OTHER_ROOTS);
    let said = properties(service, &wanted)?;
    let is_set = |name: &&str| {
        let value = said.get(*name).map_or("", String::as_str);
        !["", "no", "/"].contains(&value)
    };
    if let Some(other) = OTHER_ROOTS.iter().copied().find(is_set) {
        return Err(Error::new(
            Kind::Failed,
            format!("{service} has {other}=, where slowctl may be another program"),
        )
        .help(format!(
            "attach it again when it was restarted: slowctl attach --unit {service} --group {}",
            group.0
        )));
    }
    let cgroup = said.get("ControlGroup").map_or("", String::as_str);
    let text = text_of(group, cgroup, &program()?);
    let file = file_of(service);
    let arranged = Arranged {
        service: service.into(),
        before: fs::read_to_string(&file).ok(),
        text,
    };
    write(&file, &arranged.text)?;
    let is_loaded = || {
        let said = properties(service, &["ExecCondition"])?;
        let is_there = said
            .get("ExecCondition")
            .is_some_and(|said| said.contains(" rejoin "));
        is_there.then_some(()).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                format!("systemd does not take {} up", file.display()),
            )
            .help(format!("see why: systemctl cat {service}"))
        })
    };
    match reload().and_then(|()| is_loaded()) {
        Ok(()) => Ok(arranged),
        Err(error) => {
            let _ = take_back(&arranged);
            Err(error)
        }
    }
}

/// Has it be as it was before it was arranged, unless somebody has arranged something else.
pub fn take_back(arranged: &Arranged) -> Result<()> {
    let file = file_of(&arranged.service);
    if fs::read_to_string(&file).ok().as_ref() != Some(&arranged.text) {
        return Ok(());
    }
    match &arranged.before {
        Some(before) => write(&file, before)?,
        None => remove(&file).trying(file.display().to_string())?,
    }
    reload()
}

/// Which services come into a group when they are started.
pub fn covered() -> Vec<Covered> {
    let folders = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let services = folders.filter_map(|folder| {
        let name = folder.file_name().into_string().ok()?;
        Some(name.strip_suffix(".d")?.to_string())
    });
    services
        .filter_map(|service| {
            let text = fs::read_to_string(file_of(&service)).ok()?;
            let value = |mark| {
                Some(
                    text.lines()
                        .find_map(|line| line.strip_prefix(mark))?
                        .to_string(),
                )
            };
            Some(Covered {
                group: Group(value(GROUP_MARK)?),
                cgroup: value(CGROUP_MARK)?,
                service,
            })
        })
        .collect()
}

/// Those of them that come into this group.
pub fn covered_by(group: &Group) -> Vec<String> {
    let of_group = covered().into_iter().filter(|one| one.group == *group);
    of_group.map(|one| one.service).collect()
}

/// Has services come into a group no longer, of those that are chosen; returns which these were. If systemd
/// cannot be told, they still do.
pub fn uncover(is_chosen: impl Fn(&Covered) -> bool) -> Result<Vec<Covered>> {
    let mut chosen = covered();
    chosen.retain(is_chosen);
    let mut removed = Vec::new();
    for one in &chosen {
        let file = file_of(&one.service);
        let text = fs::read_to_string(&file);
        match remove(&file) {
            Ok(()) => removed.extend(text.ok().map(|text| (file, text))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(file.display().to_string(), &e)),
        }
    }
    if removed.is_empty() {
        return Ok(chosen);
    }
    reload().inspect_err(|_| {
        for (file, text) in &removed {
            let _ = write(file, text);
        }
    })?;
    Ok(chosen)
}

fn file_of(service: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{service}.d")).join(FILE)
}

/// Nobody sees half of it.
fn write(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(FOLDER));
    let what = || file.display().to_string();
    fs::create_dir_all(folder).trying(what())?;
    let mut new = tempfile::NamedTempFile::new_in(folder).trying(what())?;
    new.write_all(text.as_bytes()).trying(what())?;
    let permissions = fs::Permissions::from_mode(0o644);
    new.as_file().set_permissions(permissions).trying(what())?;
    new.persist(file).map_err(|e| e.error).trying(what())?;
    Ok(())
}

fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    // Others may have a drop-in there.
    if let Some(folder) = file.parent() {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Has systemd read the drop-ins. A terminal's signals are for slowctl alone.
fn reload() -> Result<()> {
    let mut command = Command::new("systemctl");
    let out = command.arg("daemon-reload").process_group(0).output();
    let out = out.trying("systemctl daemon-reload")?;
    if out.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&out.stderr).trim().to_string();
    Err(Error::new(
        Kind::Failed,
        format!("systemctl daemon-reload fails: {why}"),
    ))
}

/// The path of slowctl, which systemd is to run as root: nobody else may be able to replace it.
fn program() -> Result<String> {
    let program = std::env::current_exe().trying("the path of slowctl")?;
    let help = "install slowctl, by its package, and use that";
    for path in program.ancestors() {
        let of_root = fs::metadata(path)
            .map(|file| file.uid() == 0 && file.mode() & 0o022 == 0)
            .trying(path.display().to_string())
            .map_err(|e| e.help(help))?;
        if !of_root {
            let what = format!("others than root may change {}", path.display());
            return Err(Error::new(Kind::Failed, what).help(help));
        }
    }
    let text = program.to_str().filter(|path| !path.contains(['$', '\n']));
    let text = text.ok_or_else(|| {
        Error::new(Kind::Failed, "systemd cannot be told the path of slowctl").help(help)
    })?;
    Ok(text.into())
}

/// `+` is for all privileges, whatever the service's are.
fn text_of(group: &Group, cgroup: &str, program: &str) -> String {
    format!(
        "{GROUP_MARK}{0}\n{CGROUP_MARK}{cgroup}\n# Until: slowctl detach --group {0}\n[Service]\nExecCondition=+{1} rejoin {2}\n",
        group.0,
        quoted(program),
        quoted(&format!("--group={}", group.0)),
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

/// Put the cgroup that this is in into a group
#[derive(clap::Args)]
pub struct RejoinArgs {
    #[arg(long)]
    group: String,
}

/// To systemd, any other status of a condition but 0 means that the service is not to be started, and all is well.
const FAILED: u8 = 255;

impl RejoinArgs {
    /// Asks and tells nobody but the kernel: the environment may be the service's.
    pub fn run(self, out: Output) -> Result<End> {
        let rejoin = || {
            module::require()?;
            let group = Group(self.group.clone());
            if !group.exists() {
                let what = format!(
                    "there is no group '{}', into which the service is to come",
                    group.0
                );
                return Err(Error::not_found(what).help(format!(
                    "have it come into none: slowctl detach --group {}",
                    group.0
                )));
            }
            let own = task::cgroup_path_of(rustix::process::getpid().as_raw_nonzero().get());
            let own = own.ok_or_else(|| Error::not_found("this process has no cgroup"))?;
            cgroup::set(&Cgroup::at(&without_control(own))?, &group.0)
        };
        // From here on it may be judged itself.
        match rejoin() {
            Ok(()) => Ok(End::Good),
            Err(error) => {
                out.error(&error);
                Ok(End::Status(FAILED))
            }
        }
    }
}

/// Commands of a service that manages its cgroup itself are below it.
fn without_control(mut cgroup: PathBuf) -> PathBuf {
    if cgroup.file_name().is_some_and(|last| last == ".control") {
        cgroup.pop();
    }
    cgroup
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
        let text = text_of(&Group("c d".into()), "/a/b.service", "/usr/bin/slowctl");
        assert!(text.starts_with("# Slowpath group: c d\n# Cgroup: /a/b.service\n"));
        assert!(text.ends_with("\nExecCondition=+\"/usr/bin/slowctl\" rejoin \"--group=c d\"\n"));
    }

    #[test]
    fn control_is_part_of_the_service() {
        let of = |path: &str| without_control(path.into());
        assert_eq!(of("/a.service/.control"), Path::new("/a.service"));
        assert_eq!(of("/a.service"), Path::new("/a.service"));
    }
}
