// SPDX-License-Identifier: GPL-2.0

//! What becomes of a profile on its way: Docker or podman choose the rules of a container, runc has
//! libseccomp build a program, and puts a check of its own before it. Written anew, from nothing
//! that the importer has.

use crate::{
    bpf::Instruction,
    libseccomp::{
        number, number_on, Comparison, Filter, Refused, ACT_ALLOW, ACT_ERRNO, ACT_KILL_PROCESS,
        ACT_KILL_THREAD, ACT_LOG, ACT_NOTIFY, ACT_TRACE, ACT_TRAP, ARCH_X32, ARCH_X86, ARCH_X86_64,
    },
};
use serde_json::Value;
use std::{collections::BTreeSet, fs::File};

/// The container and the machine.
pub struct Given {
    pub capabilities: BTreeSet<&'static str>,
    pub kernel: (u64, u64),
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    let list = value.get(key).and_then(Value::as_array);
    list.map(|list| list.iter().collect()).unwrap_or_default()
}

fn words<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    list(value, key)
        .into_iter()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether a rule is for this container, on amd64.
fn is_chosen(rule: &Value, given: &Given) -> bool {
    let nothing = Value::Null;
    let excludes = rule.get("excludes").unwrap_or(&nothing);
    let includes = rule.get("includes").unwrap_or(&nothing);
    let has = |cap: &&str| given.capabilities.contains(cap);
    let is_new_enough = |conditions: &Value| {
        let version = conditions.get("minKernel").and_then(Value::as_str)?;
        let (major, minor) = version.split_once('.').unwrap();
        Some(given.kernel >= (major.parse().unwrap(), minor.parse().unwrap()))
    };
    if words(excludes, "arches").contains(&"amd64")
        || words(excludes, "caps").iter().any(has)
        || is_new_enough(excludes) == Some(true)
    {
        return false;
    }
    let arches = words(includes, "arches");
    (arches.is_empty() || arches.contains(&"amd64"))
        && words(includes, "caps").iter().all(has)
        && is_new_enough(includes) != Some(false)
}

/// The error numbers that the tests' profiles name.
fn errno(word: &str) -> u64 {
    match word {
        "EPERM" => 1,
        "ENOENT" => 2,
        "EIO" => 5,
        "EACCES" => 13,
        "EINVAL" => 22,
        "ENOSYS" => 38,
        "EOPNOTSUPP" => 95,
        _ => word.parse().unwrap(),
    }
}

/// The action of a rule, or the default.
fn action(of: &Value, action: &str, number: &str, name: &str) -> u32 {
    let errno = match of.get(name).and_then(Value::as_str) {
        Some(name) if !name.is_empty() => errno(name),
        _ => of.get(number).and_then(Value::as_u64).unwrap_or(1),
    };
    match of[action].as_str().unwrap() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => ACT_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => ACT_KILL_PROCESS,
        "SCMP_ACT_TRAP" => ACT_TRAP,
        "SCMP_ACT_ERRNO" => ACT_ERRNO | errno as u32,
        "SCMP_ACT_TRACE" => ACT_TRACE | errno as u32,
        "SCMP_ACT_LOG" => ACT_LOG,
        "SCMP_ACT_NOTIFY" => ACT_NOTIFY,
        "SCMP_ACT_ALLOW" => ACT_ALLOW,
        other => panic!("what is {other}?"),
    }
}

fn comparison(arg: &Value) -> Comparison {
    Comparison {
        argument: arg["index"].as_u64().unwrap() as u32,
        operator: match arg["op"].as_str().unwrap() {
            "SCMP_CMP_NE" => 1,
            "SCMP_CMP_LT" => 2,
            "SCMP_CMP_LE" => 3,
            "SCMP_CMP_EQ" => 4,
            "SCMP_CMP_GE" => 5,
            "SCMP_CMP_GT" => 6,
            "SCMP_CMP_MASKED_EQ" => 7,
            other => panic!("what is {other}?"),
        },
        value: arg["value"].as_u64().unwrap(),
        value_two: arg.get("valueTwo").and_then(Value::as_u64).unwrap_or(0),
    }
}

fn arches(profile: &Value) -> Vec<u32> {
    let mut words_of = words(profile, "architectures");
    for entry in list(profile, "archMap") {
        if entry["architecture"] == "SCMP_ARCH_X86_64" {
            words_of.push("SCMP_ARCH_X86_64");
            words_of.extend(words(entry, "subArchitectures"));
        }
    }
    let token = |word| match word {
        "SCMP_ARCH_X86_64" => ARCH_X86_64,
        "SCMP_ARCH_X86" => ARCH_X86,
        "SCMP_ARCH_X32" => ARCH_X32,
        other => panic!("what is {other}?"),
    };
    words_of.into_iter().map(token).collect()
}

/// The rules that are for a container, each with a name.
fn chosen<'a>(profile: &'a Value, given: &Given) -> Vec<(&'a str, &'a Value)> {
    let rules = list(profile, "syscalls").into_iter();
    rules
        .filter(|rule| is_chosen(rule, given))
        .flat_map(|rule| {
            let one = rule
                .get("name")
                .and_then(Value::as_str)
                .filter(|n| !n.is_empty());
            let names = one.map_or_else(|| words(rule, "names"), |name| vec![name]);
            names.into_iter().map(move |name| (name, rule))
        })
        .collect()
}

fn default_of(profile: &Value) -> u32 {
    action(profile, "defaultAction", "defaultErrnoRet", "defaultErrno")
}

/// The program that a container gets.
pub fn build(
    profile: &Value,
    given: &Given,
    scratch: &mut File,
) -> Result<Vec<Instruction>, Refused> {
    let default = default_of(profile);
    let arches = arches(profile);
    let mut filter = Filter::new(default)?;
    for arch in &arches {
        filter.add_arch(*arch)?;
    }
    let rules = chosen(profile, given);
    if rules.len() > 32 {
        filter.optimize(2)?;
    }
    for (name, rule) in &rules {
        add(&mut filter, name, rule, default)?;
    }
    let mut program = Vec::new();
    if ![ACT_ALLOW, ACT_LOG].contains(&default) && default & 0x7fff_0000 != ACT_TRACE {
        let names: Vec<&str> = rules.iter().map(|rule| rule.0).collect();
        program = stub(&names, &arches);
    }
    program.extend(filter.export(scratch)?);
    Ok(program)
}

/// What libseccomp makes of the rules for one call, on one architecture, as if there were no others.
pub fn build_for_call(
    profile: &Value,
    given: &Given,
    arch: u32,
    call: &str,
    scratch: &mut File,
) -> Result<Vec<Instruction>, Refused> {
    let default = default_of(profile);
    let mut filter = Filter::for_arch(default, arch)?;
    let makes = |name: &str| match call {
        // On i386 these make others, for which libseccomp has numbers of its own.
        "socketcall" | "ipc" if arch == ARCH_X86 => {
            let made = if call == "ipc" {
                -224..=-200
            } else {
                -120..=-100
            };
            number_on(name, arch).is_some_and(|number| made.contains(&number))
        }
        _ => false,
    };
    for (name, rule) in chosen(profile, given) {
        if name == call || makes(name) {
            add(&mut filter, name, rule, default)?;
        }
    }
    // A program that has rules for what other calls make, and nothing else, lacks an instruction.
    let other = if default == ACT_ALLOW {
        ACT_TRAP
    } else {
        ACT_ALLOW
    };
    for anchor in ["exit", "gettid"].into_iter().filter(|name| *name != call) {
        filter.add(other, number(anchor).ok_or(Refused(-2))?, &[])?;
    }
    filter.export(scratch)
}

fn add(filter: &mut Filter, name: &str, rule: &Value, default: u32) -> Result<(), Refused> {
    let action = action(rule, "action", "errnoRet", "errno");
    let Some(number) = number(name).filter(|_| action != default) else {
        return Ok(());
    };
    let comparisons: Vec<Comparison> = list(rule, "args").into_iter().map(comparison).collect();
    let mut arguments: Vec<u32> = comparisons.iter().map(|c| c.argument).collect();
    arguments.sort_unstable();
    if arguments.windows(2).any(|two| two[0] == two[1]) {
        for comparison in &comparisons {
            filter.add(action, number, &[*comparison])?;
        }
        return Ok(());
    }
    filter.add(action, number, &comparisons)
}

/// What runc puts before the program: calls above the highest one are not there.
fn stub(names: &[&str], arches: &[u32]) -> Vec<Instruction> {
    let highest = |arch| {
        let numbers = names.iter().filter_map(|name| number_on(name, arch));
        numbers
            .filter(|number| *number > 0)
            .max()
            .map(|number| number as u32)
    };
    let mut sections: Vec<(u32, Vec<Instruction>)> = Vec::new();
    let end = Instruction::end(ACT_ERRNO | 38);
    let x32 = arches
        .contains(&ARCH_X32)
        .then(|| highest(ARCH_X32))
        .flatten();
    let bit = 1 << 30;
    let mut section = Vec::new();
    // Each part begins with the number in the accumulator, and ends where it is to go on.
    if let Some(highest) = highest(ARCH_X86_64) {
        section.push(Instruction::if_set(bit, 2, 0));
        section.push(Instruction::if_greater(highest, 0, 1));
        section.push(end);
    }
    if let Some(highest) = x32 {
        section.push(Instruction::if_set(bit, 0, 2));
        section.push(Instruction::if_greater(highest, 0, 1));
        section.push(end);
    }
    sections.push((ARCH_X86_64, section));
    if arches.contains(&ARCH_X86) {
        if let Some(highest) = highest(ARCH_X86) {
            let section = vec![Instruction::if_greater(highest, 0, 1), end];
            sections.push((ARCH_X86, section));
        }
    }
    let mut stub = Vec::new();
    for (arch, section) in sections {
        stub.push(Instruction::load(4));
        stub.push(Instruction::if_equal(arch, 0, section.len() as u8 + 1));
        stub.push(Instruction::load(0));
        stub.extend(section);
    }
    stub
}
