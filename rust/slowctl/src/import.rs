// SPDX-License-Identifier: GPL-2.0

//! Profiles of container runtimes and of systemd as rules, and rules as such a profile.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    module::Policy,
    output::Output,
    profile::{self, Capabilities, Format, Given, Groups, Kernel, Loss, Mistake, Notes},
    target::{Target, TargetArgs},
    text::{self, Text},
};
use serde::Serialize;
use std::{fmt, fs, path::PathBuf, process::Command};

/// Whose profile it is
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Whose {
    /// linux.seccomp of the runtime specification, alone or in a container's config.json
    Oci,
    Docker,
    Podman,
    /// A unit with SystemCallFilter=
    Systemd,
}

/// Make rules of a profile of a container runtime or of systemd
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The profile; - is standard input
    file: PathBuf,
    /// Whose profile it is
    #[arg(long, value_enum)]
    format: Whose,
    /// The capabilities of the container's bounding set, or all, or none
    #[arg(
        long = "cap",
        value_name = "CAP",
        value_delimiter = ',',
        conflicts_with = "targets"
    )]
    capabilities: Vec<String>,
    #[command(flatten)]
    targets: TargetArgs,
    /// The kernel that the rules are for, like 6.12, if not the one that runs
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// What `systemd-analyze syscall-filter` has printed where the unit comes from
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// Make rules even if they cannot say all that the profile does
    #[arg(long)]
    lossy: bool,
    /// Write the rules to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Make a profile of a container runtime of rules
#[derive(clap::Args)]
pub struct ExportArgs {
    /// A policy, or a file of rules; - is standard input
    #[arg(value_name = "NAME|FILE")]
    from: PathBuf,
    /// Whose profile it is to be
    #[arg(long, value_enum)]
    format: To,
    /// Make a profile even if it cannot say all that the rules do
    #[arg(long)]
    lossy: bool,
    /// Write the profile to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum To {
    Oci,
}

/// What a profile has become.
#[derive(Serialize)]
struct Imported {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
    losses: Vec<String>,
    notes: Notes,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rules.as_deref().unwrap_or_default())
    }
}

#[derive(Serialize)]
struct Exported {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<profile::Profile>,
    losses: Vec<String>,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.profile {
            // There are no keys that are no text.
            Some(profile) => {
                let text = serde_json::to_string_pretty(profile).unwrap_or_default();
                writeln!(f, "{text}")
            }
            None => Ok(()),
        }
    }
}

fn mistake(file: &str) -> impl Fn(Mistake) -> Error + '_ {
    move |mistake| Error::new(Kind::Rules, format!("{file}: {}", mistake.0))
}

/// Refuses what would be lost, unless that is wanted; then it is listed.
fn check_losses(file: &str, losses: &[Loss], lossy: bool, out: Output) -> Result<Vec<String>> {
    let losses: Vec<String> = losses.iter().map(|loss| loss.0.clone()).collect();
    if losses.is_empty() || lossy {
        for loss in &losses {
            out.note(&format!("lost: {loss}"));
        }
        return Ok(losses);
    }
    let mut error = Error::new(Kind::Rules, format!("{file}: this cannot be said exactly"));
    error.losses = losses;
    Err(error.help("--lossy does it all the same, and lists what is lost"))
}

impl ImportArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let file = self.file.display().to_string();
        let bytes = text::read(&self.file).trying(file.as_str())?;
        let (mut losses, mut notes) = (Vec::new(), Notes::default());
        let filter = match self.format {
            Whose::Systemd => {
                let groups = self.groups()?;
                profile::parse_unit(&bytes, &groups, &mut losses, &mut notes)
            }
            Whose::Oci => self.filter_of(&bytes, Format::Oci, &mut losses, &mut notes)?,
            Whose::Docker => self.filter_of(&bytes, Format::Docker, &mut losses, &mut notes)?,
            Whose::Podman => self.filter_of(&bytes, Format::Podman, &mut losses, &mut notes)?,
        };
        let filter = filter.map_err(mistake(&file))?;
        let imported = profile::import(&filter, notes).map_err(mistake(&file))?;
        losses.extend(imported.losses);
        // Whatever is written is taken by the kernel.
        if let Err(places) = Text::parse("rules", imported.text.as_bytes()) {
            return Err(Error::rules(&format!("{file} becomes too much"), places));
        }
        let losses = check_losses(&file, &losses, self.lossy, out)?;
        if !imported.notes.unknown_names.is_empty() {
            let names = imported.notes.unknown_names.join(" ");
            out.note(&format!("not calls of this kernel, and left out: {names}"));
        }
        for note in &imported.notes.others {
            out.note(note);
        }
        if let Some(path) = &self.output {
            let what = path.display().to_string();
            fs::write(path, &imported.text).trying(what)?;
        }
        let rules = self.output.is_none().then_some(imported.text);
        out.print(&Imported {
            file: self.output,
            rules,
            losses,
            notes: imported.notes,
        });
        Ok(End::Good)
    }

    fn filter_of(
        &self,
        bytes: &[u8],
        format: Format,
        losses: &mut Vec<Loss>,
        notes: &mut Notes,
    ) -> Result<std::result::Result<profile::Filter, Mistake>> {
        let profile = match profile::parse(bytes, format) {
            Ok(profile) => profile,
            Err(mistake) => return Ok(Err(mistake)),
        };
        let given = Given {
            capabilities: self.capabilities(&profile)?,
            kernel: Some(self.kernel()?),
        };
        Ok(profile.select(&given, losses, notes))
    }

    fn kernel(&self) -> Result<Kernel> {
        let release = match &self.kernel {
            Some(release) => release.clone(),
            None => rustix::system::uname().release().to_string_lossy().into(),
        };
        Kernel::from_release(&release).ok_or_else(|| {
            Error::usage(format!(
                "'{release}' is no version of the kernel, like 6.12"
            ))
        })
    }

    fn capabilities(&self, profile: &profile::Profile) -> Result<Option<Capabilities>> {
        let all = || profile::CAPABILITIES.into_iter().collect();
        match self.capabilities.as_slice() {
            [] => {}
            [word] if word == "all" => return Ok(Some(all())),
            [word] if word == "none" => return Ok(Some(Capabilities::new())),
            words => {
                let known = words.iter().map(|word| {
                    profile::capability(word)
                        .ok_or_else(|| Error::usage(format!("'{word}' is no capability")))
                });
                return Ok(Some(known.collect::<Result<_>>()?));
            }
        }
        if !self.targets.is_empty() {
            return Ok(Some(bounding_set(&self.targets)?));
        }
        if profile.has_capabilities() {
            let error = Error::usage("this profile depends on the container's capabilities");
            return Err(error.help("say which by --cap, or whose by --container or -p"));
        }
        Ok(None)
    }

    /// Which calls are in systemd's groups is for systemd to say.
    fn groups(&self) -> Result<Groups> {
        let text = match &self.groups {
            Some(path) => fs::read_to_string(path).trying(path.display().to_string())?,
            None => {
                let run = Command::new("systemd-analyze")
                    .arg("syscall-filter")
                    .output();
                let text = run
                    .ok()
                    .filter(|run| run.status.success())
                    .map(|run| run.stdout);
                String::from_utf8_lossy(&text.unwrap_or_default()).into()
            }
        };
        let groups = Groups::parse(&text);
        if groups.is_empty() {
            let error = Error::not_found("which calls are in systemd's groups is not known here");
            return Err(error.help(
                "say it by --groups FILE, with what `systemd-analyze syscall-filter` prints elsewhere",
            ));
        }
        Ok(groups)
    }
}

/// The bounding set of all processes of a target, which have to have the same.
fn bounding_set(targets: &TargetArgs) -> Result<Capabilities> {
    let mut pids = Vec::new();
    for target in targets.find()? {
        match &target {
            Target::Process(held) | Target::Thread(held) => pids.push(held.id),
            Target::Cgroup(cgroup) => {
                let path = cgroup.path.join("cgroup.procs");
                let text = fs::read_to_string(&path).trying(path.display().to_string())?;
                pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            }
        }
    }
    let mut found: Option<u64> = None;
    for pid in pids {
        // It may have gone.
        let Some(set) = bounding_set_of(pid) else {
            continue;
        };
        if found.is_some_and(|other| other != set) {
            let error = Error::usage("their bounding sets are not the same");
            return Err(error.help("say the capabilities by --cap"));
        }
        found = Some(set);
    }
    let set = found.ok_or_else(|| Error::not_found("there is no process to look at"))?;
    let all = profile::CAPABILITIES.into_iter().enumerate();
    Ok(all
        .filter(|(n, _)| set >> n & 1 != 0)
        .map(|(_, name)| name)
        .collect())
}

fn bounding_set_of(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let word = lines.find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(word.trim(), 16).ok()
}

impl ExportArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let To::Oci = self.format;
        let file = self.from.display().to_string();
        let policy = Policy(file.clone());
        let bytes = if policy.exists() {
            policy.get("rules")?.into_bytes()
        } else {
            text::read(&self.from).trying(file.as_str())?
        };
        let text = Text::parse(&file, &bytes).map_err(|places| Error::rules(&file, places))?;
        let (profile, losses) = profile::export(&text.set).map_err(mistake(&file))?;
        let losses = check_losses(&file, &losses, self.lossy, out)?;
        let mut exported = Exported {
            file: None,
            profile: Some(profile),
            losses,
        };
        if let Some(path) = self.output {
            fs::write(&path, exported.to_string()).trying(path.display().to_string())?;
            exported.file = Some(path);
            exported.profile = None;
        }
        out.print(&exported);
        Ok(End::Good)
    }
}
