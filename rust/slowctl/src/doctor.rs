// SPDX-License-Identifier: GPL-2.0

//! What is missing here, and what mends it.

use crate::{
    cgroup,
    error::{End, Result},
    module,
    output::{coloured, Output, BAD, GOOD, WARN},
    task::{self, CAP_SYS_ADMIN, CAP_SYS_PTRACE},
};
use rustix::system::uname;
use serde::Serialize;
use std::{fmt, fs, path::Path};

/// Say what is missing, and what mends it
#[derive(clap::Args)]
pub struct DoctorArgs {}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Good,
    /// Nothing works without it.
    Missing,
    /// Something is slower, or does not work.
    Worse,
}

#[derive(Serialize)]
struct Finding {
    about: &'static str,
    health: Health,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(about: &'static str, health: Health, found: impl Into<String>, mend: &str) -> Self {
        let mend = (!mend.is_empty() && health != Health::Good).then(|| mend.into());
        Self {
            about,
            health,
            found: found.into(),
            mend,
        }
    }

    /// Something that is there, or not.
    fn needed(about: &'static str, is_there: bool, found: &str, missing: &str, mend: &str) -> Self {
        if is_there {
            Self::new(about, Health::Good, found, "")
        } else {
            Self::new(about, Health::Missing, missing, mend)
        }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Findings(Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let word = match finding.health {
                Health::Good => coloured(GOOD, "good   "),
                Health::Missing => coloured(BAD, "missing"),
                Health::Worse => coloured(WARN, "worse  "),
            };
            writeln!(f, "{word}  {:<12} {}", finding.about, finding.found)?;
            if let Some(mend) = &finding.mend {
                writeln!(f, "{:23}{mend}", "")?;
            }
        }
        Ok(())
    }
}

/// Whether a file system of this kind is mounted at this place, or anywhere.
fn is_mounted(kind: &str, at: Option<&str>) -> bool {
    let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts);
    mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next();
        words.next() == Some(kind) && at.is_none_or(|at| place == Some(at))
    })
}

fn kernel() -> Finding {
    let release = uname().release().to_string_lossy().into_owned();
    Finding::needed(
        "kernel",
        task::own_group().is_some(),
        &release,
        &format!("{release} has no CONFIG_SYSCALL_SLOWPATH"),
        "boot a kernel that was built with the series and CONFIG_SLOWPATH",
    )
}

fn capability(name: &'static str, capability: u32, without: Health, why: &str) -> Finding {
    let (health, found) = match task::has_capability(capability) {
        true => (Health::Good, "in effect"),
        false => (without, why),
    };
    Finding::new(name, health, found, "run this as root, or with sudo")
}

fn namespace() -> Finding {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_ascii_whitespace().collect();
    Finding::needed(
        "user",
        words == ["0", "0", "4294967295"],
        "in the initial user namespace",
        "in a user namespace of its own, where capabilities do not count",
        "run this outside of the container, or of unshare",
    )
}

fn fastpath() -> Option<Finding> {
    let why = module::get("fastpath").ok()?;
    let (found, mend) = match why.as_str() {
        "1" => return Some(Finding::new("fast path", Health::Good, "on", "")),
        "not-built" => (
            "the kernel has none",
            "build it with CONFIG_X86_SYSCALL_FASTPATH",
        ),
        "parameter" => (
            "switched off by syscall_fastpath=off",
            "boot without the parameter",
        ),
        "xen" => ("this is a Xen PV guest", ""),
        "rseq-debug" => (
            "rseq_debug is on",
            "echo 0 > /sys/kernel/debug/rseq/debug, or boot without rseq_debug=",
        ),
        other => (other, ""),
    };
    let found = format!("off: {found}");
    Some(Finding::new("fast path", Health::Worse, found, mend))
}

fn cgroups() -> Vec<Finding> {
    let mount = match cgroup::mount() {
        Ok(mount) => mount,
        Err(error) => {
            let mend = error.help.unwrap_or_default();
            return vec![Finding::new("cgroup2", Health::Worse, error.message, &mend)];
        }
    };
    let mut findings = vec![Finding::new(
        "cgroup2",
        Health::Good,
        mount.display().to_string(),
        "",
    )];
    // The root has no such file.
    let first = cgroup::all().ok().and_then(|all| all.into_iter().next());
    let has_file = first.map(|cgroup| cgroup.path.join("slowpath.group").exists());
    if has_file == Some(false) {
        findings.push(Finding::new(
            "cgroups",
            Health::Worse,
            "have no slowpath.group: services and containers cannot be targets",
            "build the kernel with CONFIG_CGROUP_SLOWPATH",
        ));
    }
    findings
}

fn yama() -> Option<Finding> {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    (scope.trim() == "3").then(|| {
        Finding::new(
            "yama",
            Health::Missing,
            "ptrace_scope is 3: nobody may attach to anybody",
            "boot with another value; this one cannot be changed",
        )
    })
}

impl DoctorArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let mut findings = vec![
            kernel(),
            Finding::needed(
                "module",
                module::is_loaded(),
                "loaded",
                "slowpath is not loaded",
                "modprobe slowpath",
            ),
            Finding::needed(
                "configfs",
                is_mounted("configfs", Some("/sys/kernel/config")),
                "/sys/kernel/config",
                "not mounted at /sys/kernel/config",
                "mount -t configfs none /sys/kernel/config",
            ),
        ];
        findings.extend(cgroups());
        findings.push(if is_mounted("tracefs", None) {
            Finding::new("tracefs", Health::Good, "mounted", "")
        } else if Path::new("/sys/kernel/tracing").exists() {
            Finding::new(
                "tracefs",
                Health::Worse,
                "not mounted: trace events cannot be read",
                "mount -t tracefs none /sys/kernel/tracing",
            )
        } else {
            let what = "the kernel has none: trace events cannot be read";
            Finding::new(
                "tracefs",
                Health::Worse,
                what,
                "build it with CONFIG_TRACING",
            )
        });
        findings.push(capability(
            "sys_admin",
            CAP_SYS_ADMIN,
            Health::Missing,
            "CAP_SYS_ADMIN is not in effect: nothing can be done",
        ));
        findings.push(capability(
            "sys_ptrace",
            CAP_SYS_PTRACE,
            Health::Worse,
            "CAP_SYS_PTRACE is not in effect: cgroups and tasks of others cannot join",
        ));
        findings.push(namespace());
        findings.extend(yama());
        findings.extend(fastpath());
        if module::get("enabled").is_ok_and(|enabled| enabled == "0") {
            findings.push(Finding::new(
                "switch",
                Health::Worse,
                "all groups are switched off",
                "echo 1 > /sys/kernel/slowpath/enabled",
            ));
        }
        let is_good = findings.iter().all(|f| f.health != Health::Missing);
        out.print(&Findings(findings));
        Ok(if is_good { End::Good } else { End::Different })
    }
}
