// SPDX-License-Identifier: GPL-2.0

//! Profiles by chance: the same ones for the same seed.

use crate::rules::{syscall_name_of, Abi};
use serde_json::{json, Map, Value};

/// A source of chance: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Values at which comparisons change, and some that are as usual.
const VALUES: [u64; 16] = [
    0,
    1,
    2,
    5,
    8,
    9,
    16,
    40,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0005,
    0x7e02_0000,
    1 << 63,
    u64::MAX,
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Calls for which several rules are made, so that they meet.
const FAVOURITES: [&str; 20] = [
    "socket",
    "connect",
    "accept",
    "send",
    "socketcall",
    "ipc",
    "semop",
    "shmat",
    "msgget",
    "semtimedop",
    "personality",
    "clone",
    "read",
    "ioctl",
    "mmap",
    "mmap2",
    "execve",
    "fcntl64",
    "lseek",
    "ptrace",
];

/// Names that this machine, or any, does not have.
const OTHERS: [&str; 6] = [
    "arm_fadvise64_64",
    "s390_pci_mmio_read",
    "no_such_call",
    "",
    "breakpoint",
    "READ",
];

pub const CAPABILITIES: [&str; 4] = [
    "CAP_SYS_ADMIN",
    "CAP_AUDIT_WRITE",
    "CAP_BPF",
    "CAP_SYS_PTRACE",
];

/// Whose profile it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Oci,
    Docker,
    Podman,
}

/// A profile, and whether rules of different actions may hold for the same arguments.
pub struct Generated {
    pub kind: Kind,
    pub profile: Value,
    pub is_mixed: bool,
}

/// All names of the kernel's tables.
pub fn all_names() -> Vec<&'static str> {
    let names = Abi::ALL
        .into_iter()
        .flat_map(|abi| (0..560).filter_map(move |number| syscall_name_of(number, abi)));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

struct Generator<'a> {
    chance: &'a mut Chance,
    names: &'a [&'static str],
    kind: Kind,
    /// What rules with conditions do, if all do the same.
    only: Option<(&'static str, Option<u64>)>,
}

pub fn profile(chance: &mut Chance, names: &[&'static str]) -> Generated {
    let kind = *chance.pick(&[Kind::Oci, Kind::Docker, Kind::Podman]);
    let is_mixed = chance.percent(30);
    let mut generator = Generator {
        chance,
        names,
        kind,
        only: None,
    };
    let only = generator.action();
    generator.only = (!is_mixed).then_some(only);
    let (default, errno) = generator.action();
    let mut profile = json!({ "defaultAction": default });
    generator.put_errno(&mut profile, "defaultErrnoRet", "defaultErrno", errno);
    generator.put_arches(&mut profile);
    let count = 1 + generator.chance.below(30);
    let rules: Vec<Value> = (0..count).map(|_| generator.rule()).collect();
    profile["syscalls"] = rules.into();
    Generated {
        kind,
        profile,
        is_mixed,
    }
}

impl Generator<'_> {
    fn action(&mut self) -> (&'static str, Option<u64>) {
        let action = *self.chance.pick(&[
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_KILL",
            "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_TRAP",
            "SCMP_ACT_LOG",
        ]);
        // Others than ERRNO do not look at it.
        let errnos = [None, None, Some(0), Some(1), Some(22), Some(38), Some(4094)];
        (action, *self.chance.pick(&errnos))
    }

    fn put_errno(&mut self, to: &mut Value, number: &str, name: &str, errno: Option<u64>) {
        let Some(errno) = errno else {
            return;
        };
        if self.kind == Kind::Podman && self.chance.percent(50) {
            to[name] = match errno {
                1 => "EPERM".into(),
                22 => "EINVAL".into(),
                38 => "ENOSYS".into(),
                _ => errno.to_string().into(),
            };
            // The name comes first.
            if self.chance.percent(30) {
                to[number] = 13.into();
            }
        } else {
            to[number] = errno.into();
        }
    }

    fn put_arches(&mut self, profile: &mut Value) {
        let arches: &[&str] = match self.chance.below(8) {
            0 => return,
            1 => &[],
            2 => &["SCMP_ARCH_X86_64"],
            3 => &["SCMP_ARCH_X86"],
            4 => &["SCMP_ARCH_X32", "SCMP_ARCH_X86_64"],
            5 => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            _ => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        };
        if self.kind != Kind::Oci && self.chance.percent(50) {
            profile["archMap"] = json!([
                { "architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"] },
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": arches },
            ]);
        } else {
            profile["architectures"] = arches.into();
        }
    }

    fn names(&mut self) -> Vec<&'static str> {
        // A few profiles are as long as real ones.
        let count = if self.chance.percent(3) {
            200
        } else {
            1 + self.chance.below(6)
        };
        let name = |_| {
            if self.chance.percent(1) {
                let other = *self.chance.pick(&OTHERS);
                return if other.is_empty() { "nothing" } else { other };
            }
            if self.chance.percent(35) {
                self.chance.pick(&FAVOURITES)
            } else {
                self.chance.pick(self.names)
            }
        };
        (0..count).map(name).collect()
    }

    fn rule(&mut self) -> Value {
        let names = self.names();
        let is_conditional = self.chance.percent(60);
        let (action, errno) = match self.only {
            Some(only) if is_conditional => only,
            _ => self.action(),
        };
        let mut rule = if self.kind != Kind::Oci && names.len() == 1 && self.chance.percent(30) {
            json!({ "name": names[0], "action": action })
        } else {
            json!({ "names": names, "action": action })
        };
        self.put_errno(&mut rule, "errnoRet", "errno", errno);
        if is_conditional {
            // More than one make programs that do something else, mostly.
            let count = if self.chance.percent(80) {
                1
            } else {
                1 + self.chance.below(3)
            };
            let args: Vec<Value> = (0..count).map(|_| self.arg()).collect();
            rule["args"] = args.into();
        } else if self.chance.percent(30) {
            rule["args"] = Value::Null;
        }
        if self.kind != Kind::Oci {
            if self.chance.percent(20) {
                rule["includes"] = self.conditions();
            }
            if self.chance.percent(20) {
                rule["excludes"] = self.conditions();
            }
        }
        rule
    }

    fn arg(&mut self) -> Value {
        let operator = *self.chance.pick(&OPERATORS);
        let mut value = *self.chance.pick(&VALUES);
        let orders = ["SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GE", "SCMP_CMP_GT"];
        if orders.contains(&operator) && self.chance.percent(90) {
            value &= 0xffff_ffff;
        }
        let mut arg = json!({
            "index": self.chance.below(if self.chance.0 % 2 == 0 { 3 } else { 6 }),
            "value": value,
            "op": operator,
        });
        if self.chance.percent(60) {
            // Often what the mask leaves of it is itself.
            let two = *self.chance.pick(&VALUES);
            arg["valueTwo"] = (if self.chance.percent(50) {
                two & value
            } else {
                two
            })
            .into();
        }
        arg
    }

    fn conditions(&mut self) -> Value {
        let mut conditions = Map::new();
        if self.chance.percent(60) {
            let count = 1 + self.chance.below(2);
            let caps: Vec<&str> = (0..count)
                .map(|_| *self.chance.pick(&CAPABILITIES))
                .collect();
            conditions.insert("caps".into(), caps.into());
        }
        if self.chance.percent(30) {
            let arches: &[&[&str]] = &[&["amd64"], &["arm64", "amd64"], &["x86", "x32"], &[]];
            let arches = *self.chance.pick(arches);
            conditions.insert("arches".into(), arches.into());
        }
        if self.kind == Kind::Docker && self.chance.percent(30) {
            let versions = ["4.8", "6.6", "6.7", "7.0"];
            let version = *self.chance.pick(&versions);
            conditions.insert("minKernel".into(), version.into());
        }
        conditions.into()
    }
}
