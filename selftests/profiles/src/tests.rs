// SPDX-License-Identifier: GPL-2.0

//! The tests.

use crate::{
    compare::{compare, parse_rules, to_rules, Outcome},
    generate::{self, Chance, Kind},
    libseccomp::{self, number_on, ARCH_X32, ARCH_X86, ARCH_X86_64},
    profile::{export, Capabilities, Loss, CAPABILITIES},
    rules::{syscall_name_of, syscall_number_of, Abi},
};
use serde_json::Value;
use std::{env, fs};

/// How many of them may be such that libseccomp's program confuses what two calls' rules ask for.
const MAX_MISCOMPILED_PERCENT: usize = 5;

/// How many generated profiles have to be the same.
const PROFILES: usize = 500;

fn seed() -> u64 {
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or(4711)
}

/// A profile of a package.
fn profile_of(path: &str) -> Value {
    let root = env::var("PROFILES").expect("PROFILES must name where packages are unpacked");
    let text = fs::read(format!("{root}/{path}")).unwrap();
    let mut profile: Value = serde_json::from_slice(&text).unwrap();
    forget_new_names(&mut profile);
    profile
}

const DOCKER: &str = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json";
const PODMAN: &str = "usr/share/containers/seccomp.json";

/// Names that the kernel has, and of which this libseccomp does not know all numbers, would be
/// rules of ours alone.
fn is_new(name: &str) -> bool {
    // What socketcall and ipc do has these on i386.
    let is_known = |number: i32| number >= 0 || (-224..=-100).contains(&number);
    let archs = [ARCH_X86_64, ARCH_X86, ARCH_X32];
    Abi::ALL.into_iter().zip(archs).any(|(abi, arch)| {
        let has = syscall_number_of(name, abi).is_some();
        has && !number_on(name, arch).is_some_and(is_known)
    })
}

fn forget_new_names(profile: &mut Value) {
    for rule in profile["syscalls"].as_array_mut().into_iter().flatten() {
        if let Some(names) = rule.get_mut("names").and_then(Value::as_array_mut) {
            names.retain(|name| !is_new(name.as_str().unwrap()));
        }
    }
}

fn none() -> Capabilities {
    Capabilities::new()
}

fn all() -> Capabilities {
    CAPABILITIES.into_iter().collect()
}

/// Bounding sets: none, all, what Docker gives, each one alone, and some by chance.
fn sets(chance: &mut Chance) -> Vec<Capabilities> {
    let mut sets = vec![none(), all()];
    sets.extend(CAPABILITIES.into_iter().map(|one| [one].into()));
    for _ in 0..20 {
        let some = CAPABILITIES.into_iter().filter(|_| chance.percent(50));
        sets.push(some.collect());
    }
    sets
}

fn check_profile(kind: Kind, path: &str) {
    libseccomp::set_level();
    let profile = profile_of(path);
    let mut chance = Chance(seed());
    for set in sets(&mut chance) {
        match compare(kind, &profile, &set, chance.next()) {
            Outcome::Same {
                judged,
                miscompiled,
            } => {
                assert!(judged > 3500, "{judged}");
                assert!(miscompiled.is_empty(), "{miscompiled:?}");
            }
            other => panic!("{other:?} for {set:?}"),
        }
    }
}

#[test]
fn profile_of_docker() {
    check_profile(Kind::Docker, DOCKER);
}

#[test]
fn profile_of_podman() {
    check_profile(Kind::Podman, PODMAN);
}

/// The tables from which the importer takes numbers, and those of libseccomp.
#[test]
fn numbers_are_the_same() {
    let archs = [ARCH_X86_64, ARCH_X86, ARCH_X32];
    for (abi, arch) in Abi::ALL.into_iter().zip(archs) {
        for at in 0..560 {
            let Some(name) = syscall_name_of(at, abi).filter(|name| !is_new(name)) else {
                continue;
            };
            let theirs = number_on(name, arch);
            let bit = if abi == Abi::X32 { 1 << 30 } else { 0 };
            // Of some of i386, and of what an older libseccomp lacks, it is below 0.
            if theirs.is_some_and(|theirs| theirs >= 0) {
                assert_eq!(theirs, Some(at | bit), "{name} on {}", abi.name());
            } else {
                println!("{name} on {}: {theirs:?}", abi.name());
            }
        }
    }
}

#[test]
fn generated_profiles() {
    libseccomp::set_level();
    let names: Vec<&str> = generate::all_names()
        .into_iter()
        .filter(|n| !is_new(n))
        .collect();
    let wanted = env::var("COUNT").ok().and_then(|count| count.parse().ok());
    let wanted = wanted.unwrap_or(PROFILES);
    let mut chance = Chance(seed());
    let (mut same, mut calls, mut refused, mut refused_by_libseccomp) = (0, 0, 0, 0);
    let mut nr_miscompiled = 0;
    while same < wanted {
        let generated = generate::profile(&mut chance, &names);
        let some = |chance: &mut Chance| -> Capabilities {
            generate::CAPABILITIES
                .into_iter()
                .filter(|_| chance.percent(50))
                .collect()
        };
        let (mut is_same, mut is_miscompiled) = (true, false);
        for set in [none(), all(), some(&mut chance)] {
            match compare(generated.kind, &generated.profile, &set, chance.next()) {
                Outcome::Same {
                    judged,
                    miscompiled,
                } => {
                    calls += judged;
                    if let Some(call) = miscompiled.first() {
                        println!("with rules for other calls: {call}");
                        is_miscompiled = true;
                    }
                }
                Outcome::Refused(losses) => {
                    // Where all rules with conditions do the same, nothing is contradicted.
                    // But by socketcall and ipc.
                    let contradicts =
                        |loss: &Loss| loss.0.contains(" x86_64: rules that contradict");
                    let contradicts = losses.iter().any(contradicts);
                    let is_mixed = generated.is_mixed || !contradicts;
                    assert!(is_mixed, "{losses:?}\n{:#}", generated.profile);
                    is_same = false;
                }
                Outcome::RefusedByLibseccomp => {
                    refused_by_libseccomp += 1;
                    is_same = false;
                }
            }
        }
        if is_same {
            same += 1;
            nr_miscompiled += usize::from(is_miscompiled);
        } else {
            refused += 1;
        }
    }
    println!(
        "{same} profiles are the same, by {calls} calls; {refused} others, {refused_by_libseccomp} of libseccomp's"
    );
    println!("{nr_miscompiled} of {same} profiles: libseccomp's program for all calls differs from its program for one");
    // Rules for the same calls meet often in these, as they do not in real ones.
    assert!(refused < 2 * same, "too many profiles are refused");
    assert!(
        nr_miscompiled * 100 <= same * MAX_MISCOMPILED_PERCENT,
        "too much is put down to libseccomp"
    );
}

/// What is exported again means the same; only rules that are there twice may be written once.
#[test]
fn exported_profiles() {
    libseccomp::set_level();
    let mut all = vec![
        (Kind::Docker, profile_of(DOCKER)),
        (Kind::Podman, profile_of(PODMAN)),
    ];
    let names: Vec<&str> = generate::all_names()
        .into_iter()
        .filter(|n| !is_new(n))
        .collect();
    let mut chance = Chance(seed());
    while all.len() < 40 {
        let generated = generate::profile(&mut chance, &names);
        all.push((generated.kind, generated.profile));
    }
    let mut exported = 0;
    for (kind, profile) in all {
        let (text, losses) = to_rules(kind, &profile, &none()).unwrap();
        if !losses.is_empty() {
            continue;
        }
        let (oci, losses) = export(&parse_rules(&text)).unwrap();
        assert!(losses.is_empty(), "{losses:?}\n{text}");
        let oci = serde_json::to_value(oci).unwrap();
        let (again, losses) = to_rules(Kind::Oci, &oci, &none()).unwrap();
        assert!(losses.is_empty(), "{losses:?}");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(String::from).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        assert_eq!(sorted(&again), sorted(&text));
        exported += 1;
    }
    println!("{exported} profiles were exported");
    assert!(exported >= 15, "{exported}");
}
