// SPDX-License-Identifier: GPL-2.0

//! A profile's two ways: to rules and our engine, and to runc, libseccomp and its program.

use crate::{
    bpf::{run, Data, Instruction},
    generate::{Chance, Kind},
    libseccomp::{
        ACT_ALLOW, ACT_ERRNO, ACT_KILL_PROCESS, ACT_KILL_THREAD, ACT_LOG, ACT_TRAP, ARCH_X32,
        ARCH_X86, ARCH_X86_64,
    },
    profile::{self, import, Capabilities, Format, Kernel, Loss, Mistake, Notes},
    rules::{syscall_name_of, Abi, Action, Call, Report, RuleSet},
    runc,
};
use serde_json::Value;
use std::{collections::BTreeMap, convert::Infallible, fs::File};

/// The kernel that profiles are told of.
const KERNEL: (u32, u32) = (6, 6);

/// What came of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Same {
        /// How many calls were judged the same by both.
        judged: usize,
        /// Those that libseccomp's program judges otherwise, while the one that it makes of their
        /// rules alone does not.
        miscompiled: Vec<String>,
    },
    /// Rules cannot say it.
    Refused(Vec<Loss>),
    /// libseccomp takes it no more than runc would.
    RefusedByLibseccomp,
}

struct Caller([u64; 6]);

impl Call for Caller {
    fn argument(&self, index: u8) -> u64 {
        self.0[usize::from(index)]
    }
}

/// What seccomp calls what our engine does.
fn returned(set: &RuleSet, action: Action) -> u32 {
    let steps: Vec<u32> = set
        .steps(&action)
        .iter()
        .map(|step| match *step {
            Action::Allow => ACT_ALLOW,
            Action::Audit => ACT_LOG,
            Action::Errno(errno) => ACT_ERRNO | u32::from(errno),
            Action::Return(0) => ACT_ERRNO,
            Action::Trap(0) => ACT_TRAP,
            Action::KillThread => ACT_KILL_THREAD,
            Action::KillProcess => ACT_KILL_PROCESS,
            other => panic!("{other:?} is no verdict of seccomp"),
        })
        .collect();
    assert_eq!(steps.len(), 1);
    steps[0]
}

pub fn parse_rules(text: &str) -> RuleSet {
    let mut report = Report::new();
    RuleSet::parse(text.as_bytes(), 0, &mut report)
        .unwrap_or_else(|e| panic!("{e:?} {:?} in\n{text}", report.remarks()))
}

/// The rules that slowctl makes of a profile, and what they do not say.
pub fn to_rules(
    kind: Kind,
    profile: &Value,
    capabilities: &Capabilities,
) -> Result<(String, Vec<Loss>), Mistake> {
    let format = match kind {
        Kind::Oci => Format::Oci,
        Kind::Docker => Format::Docker,
        Kind::Podman => Format::Podman,
    };
    let profile = profile::parse(profile.to_string().as_bytes(), format)?;
    let given = profile::Given {
        capabilities: Some(capabilities.clone()),
        kernel: Some(Kernel {
            version: KERNEL.0,
            revision: KERNEL.1,
        }),
    };
    let (mut losses, mut notes) = (Vec::new(), Notes::default());
    let filter = profile.select(&given, &mut losses, &mut notes)?;
    let imported = import(&filter, notes)?;
    losses.extend(imported.losses);
    Ok((imported.text, losses))
}

/// Numbers that are calls, that may be, and that are not.
fn numbers(abi: Abi) -> impl Iterator<Item = i32> {
    let others: &[i32] = match abi {
        // Those with the bit of x32 are of x32; what is below 0 is no call.
        Abi::X86_64 => &[1000, 0x3fff_ffff],
        Abi::I386 => &[1000, 0x4000_0000, 0x7fff_ffff, -1, i32::MIN],
        Abi::X32 => &[1000, 0x3fff_ffff],
    };
    (0..=600).chain(others.iter().copied())
}

/// Values of the arguments of a call, by the comparisons of all rules for it: those that change
/// what they say, and their neighbours.
fn boundaries(profile: &Value) -> BTreeMap<String, [Vec<u64>; 6]> {
    let mut found: BTreeMap<String, [Vec<u64>; 6]> = BTreeMap::new();
    for rule in profile["syscalls"].as_array().into_iter().flatten() {
        let mut names: Vec<&str> = rule["name"].as_str().into_iter().collect();
        names.extend(
            rule["names"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
        );
        for arg in rule["args"].as_array().into_iter().flatten() {
            let index = arg["index"].as_u64().unwrap() as usize;
            let value = arg["value"].as_u64().unwrap();
            let two = arg["valueTwo"].as_u64().unwrap_or(0);
            for name in names.iter().chain(&["socketcall", "ipc"]) {
                let values = &mut found.entry((*name).into()).or_default()[index];
                for value in [value, two, value & two, value & two | !value, !value] {
                    values.push(value);
                    values.push(value.wrapping_add(1));
                    values.push(value.wrapping_sub(1));
                    values.push(value ^ 1 << 32);
                    values.push(value & 0xffff_ffff);
                }
            }
        }
    }
    for name in ["socketcall", "ipc"] {
        found.entry(name.into()).or_default()[0].extend(0..26);
    }
    for values in found.values_mut().flatten() {
        values.sort_unstable();
        values.dedup();
    }
    found
}

const USUAL: [u64; 5] = [0, 1, 0xffff_ffff, 0x1_0000_0000, u64::MAX];

/// Compares what becomes of each call.
pub fn compare(kind: Kind, profile: &Value, capabilities: &Capabilities, seed: u64) -> Outcome {
    let mut scratch = scratch_file();
    let given = runc::Given {
        capabilities: capabilities.iter().copied().collect(),
        kernel: (u64::from(KERNEL.0), u64::from(KERNEL.1)),
    };
    let (text, losses) = to_rules(kind, profile, capabilities)
        .unwrap_or_else(|mistake| panic!("{mistake:?}\n{profile:#}"));
    if !losses.is_empty() {
        return Outcome::Refused(losses);
    }
    // Only now: of what is refused it may never be done.
    let Ok(program) = runc::build(profile, &given, &mut scratch) else {
        return Outcome::RefusedByLibseccomp;
    };
    let set = parse_rules(&text);
    let mut alone =
        |arch, call: &str| runc::build_for_call(profile, &given, arch, call, &mut scratch).ok();
    compare_calls(
        &set,
        &program,
        &mut alone,
        &boundaries(profile),
        seed,
        &|what| panic!("{what}\n{text}\n{profile:#}\n{capabilities:?}"),
    )
}

fn compare_calls(
    set: &RuleSet,
    program: &[Instruction],
    alone: &mut dyn FnMut(u32, &str) -> Option<Vec<Instruction>>,
    boundaries: &BTreeMap<String, [Vec<u64>; 6]>,
    seed: u64,
    fail: &dyn Fn(String),
) -> Outcome {
    let mut chance = Chance(seed);
    let (mut judged, mut miscompiled) = (0, Vec::new());
    for abi in Abi::ALL {
        let (arch, bit) = match abi {
            Abi::X86_64 => (ARCH_X86_64, 0),
            Abi::I386 => (ARCH_X86, 0),
            Abi::X32 => (ARCH_X86_64, 1 << 30),
        };
        for number in numbers(abi) {
            let name = syscall_name_of(number, abi).unwrap_or_default();
            let of_call = boundaries.get(name);
            let tries = if of_call.is_some() { 60 } else { 2 };
            for _ in 0..tries {
                let mut arguments = [0; 6];
                for (index, argument) in arguments.iter_mut().enumerate() {
                    let values = of_call.map_or(&USUAL[..], |values| &values[index]);
                    let values = if values.is_empty() { &USUAL } else { values };
                    *argument = *chance.pick(values);
                    if abi == Abi::I386 {
                        *argument &= 0xffff_ffff;
                    }
                }
                let call = Caller(arguments);
                let judgement = set
                    .judge(abi, number, &call, |_| Ok::<u64, Infallible>(1))
                    .unwrap_or_else(|never| match never {});
                // What is never judged is no filter's business.
                if judgement.line.is_none() {
                    continue;
                }
                let data = Data {
                    number: number as u32 | bit,
                    arch,
                    arguments,
                };
                let (ours, theirs) = (returned(set, judgement.action), run(program, &data));
                if ours == theirs {
                    judged += 1;
                    continue;
                }
                let call = format!(
                    "{} {name} {number} {arguments:x?}: {ours:#x} by rules, {theirs:#x} by libseccomp",
                    abi.name()
                );
                let arch = if abi == Abi::X32 { ARCH_X32 } else { arch };
                // A number without a name has no rules that could meet others.
                let by_itself = Some(name).filter(|name| !name.is_empty());
                let by_itself = by_itself.and_then(|name| alone(arch, name));
                if by_itself.map(|program| run(&program, &data)) != Some(ours) {
                    fail(call);
                } else {
                    miscompiled.push(call);
                }
            }
        }
    }
    Outcome::Same {
        judged,
        miscompiled,
    }
}

pub fn scratch_file() -> File {
    let folder = std::env::var_os("SCRATCH").unwrap_or_else(|| "/tmp".into());
    let path = std::path::Path::new(&folder);
    let path = path.join(format!(
        "program.{}.{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let file = options.unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
