// SPDX-License-Identifier: GPL-2.0

//! From a profile in JSON to the filter of one container.

use super::{
    condition::{Comparison, Condition},
    filter::{Above, Action, Entry, Filter, Notes},
    json::{Arg, Conditions, Profile, Syscall},
    Loss, Mistake,
};
use crate::rules::{errno_number, Abi};
use std::collections::BTreeSet;

/// The names of capabilities, by number.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A bounding set.
pub type Capabilities = BTreeSet<&'static str>;

/// The capability that a word names, with its prefix or without.
pub fn capability(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_uppercase();
    let is_it = |name: &&&str| **name == word || name.strip_prefix("CAP_") == Some(&word);
    CAPABILITIES.iter().find(is_it).copied()
}

/// A version of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    pub version: u32,
    pub revision: u32,
}

impl Kernel {
    /// From `uname -r`, of which no more than two numbers matter.
    pub fn from_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Self {
            version: numbers.next()?.parse().ok()?,
            revision: numbers.next()?.parse().ok()?,
        })
    }

    /// From what a profile says, which is exactly two.
    fn from_profile(version: &str) -> Option<Self> {
        let (first, second) = version.split_once('.')?;
        let number = |word: &str| word.parse::<u8>().ok().map(u32::from);
        let kernel = Self {
            version: number(first)?,
            revision: number(second)?,
        };
        (kernel.version != 0 || kernel.revision != 0).then_some(kernel)
    }
}

/// What is given about the container, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub capabilities: Option<Capabilities>,
    pub kernel: Option<Kernel>,
}

impl Profile {
    /// Whether the profile asks for capabilities.
    pub fn has_capabilities(&self) -> bool {
        let conditions = self
            .syscalls()
            .iter()
            .flat_map(|s| [&s.includes, &s.excludes]);
        let mut capabilities = conditions.flatten().flat_map(|c| &c.caps);
        capabilities.any(|caps| !caps.is_empty())
    }

    /// The filter that runc builds for a container.
    pub fn select(
        &self,
        given: &Given,
        losses: &mut Vec<Loss>,
        notes: &mut Notes,
    ) -> Result<Filter, Mistake> {
        let errno = errno(self.default_errno_ret, self.default_errno.as_deref())?;
        let default = action(&self.default_action, errno)?;
        if default == Action::Notify {
            return Err(Mistake::new(
                "runc does not take SCMP_ACT_NOTIFY as default",
            ));
        }
        let mut entries = Vec::new();
        for syscall in self.syscalls() {
            let names = syscall.names()?;
            let errno = errno_of(syscall)?;
            let action = action(&syscall.action, errno)?;
            let args = syscall.args.as_deref().unwrap_or_default();
            let conditions = args.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
            if !is_for(syscall, given)? {
                continue;
            }
            if action == Action::Notify && names.contains(&"write") {
                let what = "runc does not take SCMP_ACT_NOTIFY for write";
                return Err(Mistake::new(what));
            }
            entries.extend(names.into_iter().map(|name| Entry {
                name: name.into(),
                action,
                conditions: conditions.clone(),
            }));
        }
        if self
            .listener_path
            .as_deref()
            .is_some_and(|path| !path.is_empty())
        {
            losses.push(Loss("listenerPath: there is no supervisor".into()));
        }
        Ok(Filter {
            default,
            abis: self.abis(notes)?,
            entries,
            above: Above::Enosys,
            log: self.has_log(notes)?,
        })
    }

    /// The architectures of this machine that the profile is for: always its own.
    fn abis(&self, notes: &mut Notes) -> Result<Vec<Abi>, Mistake> {
        let said = self.architectures.as_deref().unwrap_or_default();
        let map = self.arch_map.as_deref().unwrap_or_default();
        if !said.is_empty() && !map.is_empty() {
            let what = "there are 'architectures' and 'archMap': one of both is enough";
            return Err(Mistake::new(what));
        }
        let mut words: Vec<&str> = said.iter().map(String::as_str).collect();
        if let Some(native) = map.iter().find(|m| m.architecture == "SCMP_ARCH_X86_64") {
            let others = native.sub_architectures.iter().flatten();
            words.extend(others.map(String::as_str));
        }
        let mut abis = vec![Abi::X86_64];
        for word in words {
            let abi = match word {
                "SCMP_ARCH_X86_64" => Abi::X86_64,
                "SCMP_ARCH_X86" => Abi::I386,
                "SCMP_ARCH_X32" => Abi::X32,
                other if OTHER_ARCHITECTURES.contains(&other) => {
                    notes.say(format!("{other} is not an architecture of this machine"));
                    continue;
                }
                other => return Err(Mistake::new(format!("'{other}' is no architecture"))),
            };
            if !abis.contains(&abi) {
                abis.push(abi);
            }
        }
        Ok(abis)
    }

    fn has_log(&self, notes: &mut Notes) -> Result<bool, Mistake> {
        let mut log = false;
        for flag in self.flags.iter().flatten() {
            match flag.as_str() {
                "SECCOMP_FILTER_FLAG_LOG" => log = true,
                "SECCOMP_FILTER_FLAG_TSYNC"
                | "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
                | "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {
                    notes.say(format!("{flag} does not change what becomes of calls"));
                }
                _ => return Err(Mistake::new(format!("'{flag}' is no flag that runc knows"))),
            }
        }
        Ok(log)
    }
}

/// Those of other machines.
const OTHER_ARCHITECTURES: [&str; 16] = [
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
];

/// As Docker calls x86_64.
const OWN_ARCHITECTURE: &str = "amd64";

/// Whether a rule is for the container: first what excludes it, then what it needs.
fn is_for(syscall: &Syscall, given: &Given) -> Result<bool, Mistake> {
    if let Some(excludes) = &syscall.excludes {
        if hold(excludes, given)?.contains(&true) {
            return Ok(false);
        }
    }
    match &syscall.includes {
        None => Ok(true),
        Some(includes) => Ok(!hold(includes, given)?.contains(&false)),
    }
}

/// Whether each thing that is said about the container holds. Of architectures one is enough.
fn hold(conditions: &Conditions, given: &Given) -> Result<Vec<bool>, Mistake> {
    let mut said = Vec::new();
    let arches = conditions.arches.as_deref().unwrap_or_default();
    if !arches.is_empty() {
        said.push(arches.iter().any(|arch| arch == OWN_ARCHITECTURE));
    }
    for capability in conditions.caps.iter().flatten() {
        let have = given.capabilities.as_ref().ok_or_else(|| {
            Mistake::new("this depends on capabilities, and it is not said whose")
        })?;
        said.push(have.contains(capability.as_str()));
    }
    match conditions.min_kernel.as_deref() {
        None | Some("") => {}
        Some(version) => {
            let least = Kernel::from_profile(version).ok_or_else(|| {
                Mistake::new(format!("'{version}' is no version of the kernel, like 4.8"))
            })?;
            let kernel = given.kernel.ok_or_else(|| {
                Mistake::new("this depends on the kernel, and it is not said which")
            })?;
            said.push(kernel >= least);
        }
    }
    Ok(said)
}

/// libseccomp takes no higher ones.
const MAX_ERRNO: u64 = 4094;

fn errno_of(syscall: &Syscall) -> Result<Option<u16>, Mistake> {
    errno(syscall.errno_ret, syscall.errno.as_deref())
}

/// The error of an action, from its number or, with podman, its name.
fn errno(number: Option<u64>, name: Option<&str>) -> Result<Option<u16>, Mistake> {
    let number = match name {
        None | Some("") => number,
        Some(name) => match (name.parse::<u32>(), errno_number(name)) {
            (Ok(number), _) => Some(u64::from(number)),
            (_, Some(number)) => Some(u64::from(number)),
            _ => return Err(Mistake::new(format!("'{name}' is no error"))),
        },
    };
    let Some(number) = number else {
        return Ok(None);
    };
    match u16::try_from(number) {
        Ok(errno) => Ok(Some(errno)),
        Err(_) => Err(Mistake::new(format!("{number} is no error"))),
    }
}

fn action(word: &str, errno: Option<u16>) -> Result<Action, Mistake> {
    // EPERM, if no error is said.
    let value = errno.unwrap_or(1);
    Ok(match word {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_ERRNO" if u64::from(value) > MAX_ERRNO => {
            return Err(Mistake::new(format!("libseccomp takes no error {value}")));
        }
        "SCMP_ACT_ERRNO" => Action::Errno(value),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_TRACE" => Action::Trace(value),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        _ => return Err(Mistake::new(format!("'{word}' is no action"))),
    })
}

fn condition(arg: &Arg) -> Result<Condition, Mistake> {
    let comparison = Comparison::from_name(&arg.op)
        .ok_or_else(|| Mistake::new(format!("'{}' is no comparison", arg.op)))?;
    let argument = u8::try_from(arg.index).ok().filter(|index| *index < 6);
    Ok(Condition {
        argument: argument
            .ok_or_else(|| Mistake::new(format!("there is no argument {}", arg.index)))?,
        comparison,
        value: arg.value,
        value_two: arg.value_two,
    })
}
