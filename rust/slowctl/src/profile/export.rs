// SPDX-License-Identifier: GPL-2.0

//! From rules to the runtime specification's JSON.
//!
//! A profile is made that looks like the rules, and imported again; then every call is judged by
//! both. What differs is what such a profile cannot say.

use super::{
    filter::Notes,
    import,
    json::{Arg, Profile, Syscall},
    select::Given,
    Loss, Mistake,
};
use crate::rules::{errno_number, syscall_name_of, Abi, Action, Call, Report, RuleSet};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

/// A call as somebody may make it.
struct Caller<'a>(&'a [u64; 6]);

impl Call for Caller<'_> {
    fn argument(&self, index: u8) -> u64 {
        self.0.get(usize::from(index)).copied().unwrap_or_default()
    }
}

/// What becomes of a call, as text: some words stand for others in another set of rules.
fn judge(set: &RuleSet, abi: Abi, number: i32, arguments: &[u64; 6]) -> String {
    let judged = set.judge(abi, number, &Caller(arguments), |_| {
        Ok::<u64, Infallible>(1)
    });
    let judgement = judged.unwrap_or_else(|never| match never {});
    match judgement.action {
        // A line of the log is no more than its audit record.
        Action::Log => Action::Audit.to_string(),
        action => {
            let steps = set.steps(&action).iter().map(|step| step.to_string());
            steps.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A rule, as its canonical line has it.
struct Line<'a> {
    name: &'a str,
    abi: Option<Abi>,
    words: Vec<&'a str>,
}

fn abi_of(word: &str) -> Option<Abi> {
    Abi::ALL.into_iter().find(|abi| abi.name() == word)
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words: Vec<&str> = line.split(' ').collect();
        let name = words.remove(0);
        let mut abi = None;
        if words.first() == Some(&"arch") {
            abi = words.get(1).and_then(|word| abi_of(word));
            words.drain(..2);
        }
        Self { name, abi, words }
    }

    /// The rule as a profile has it.
    fn syscall(&self) -> Option<Syscall> {
        let mut words = self.words.as_slice();
        let mut args = Vec::new();
        while words.first().is_some_and(|word| word.contains("arg")) {
            let (arg, rest) = self.arg(words)?;
            args.push(arg);
            words = rest;
        }
        let (action, errno_ret, _) = action(words)?;
        Some(Syscall {
            names: Some(vec![self.name.into()]),
            action: action.into(),
            errno_ret,
            args: (!args.is_empty()).then_some(args),
            ..Syscall::default()
        })
    }

    /// A condition, and what follows it.
    fn arg<'b>(&self, words: &'b [&'a str]) -> Option<(Arg, &'b [&'a str])> {
        let index = words.first()?.trim_end_matches(')');
        let index = index.bytes().last()?.checked_sub(b'0')?;
        let (mask, rest) = match words.get(1..)? {
            ["&", mask, rest @ ..] => (Some(number(mask)?), rest),
            rest => (None, rest),
        };
        let [operator, value, rest @ ..] = rest else {
            return None;
        };
        let value = number(value)?;
        let narrow = self.bits(words.first()?, index);
        let (op, value, value_two) = match (*operator, mask) {
            ("==", Some(mask)) => ("MASKED_EQ", mask, value),
            // One bit is 0 or is itself.
            ("!=", Some(mask)) if mask.is_power_of_two() => ("MASKED_EQ", mask, value ^ mask),
            ("==", None) if narrow != u64::MAX => ("MASKED_EQ", narrow, value & narrow),
            (_, Some(_)) => return None,
            ("==", None) => ("EQ", value, 0),
            ("!=", None) => ("NE", value, 0),
            ("<", None) => ("LT", value, 0),
            ("<=", None) => ("LE", value, 0),
            (">", None) => ("GT", value, 0),
            (">=", None) => ("GE", value, 0),
            _ => return None,
        };
        let arg = Arg {
            index: u64::from(index),
            value,
            value_two,
            op: format!("SCMP_CMP_{op}"),
        };
        Some((arg, rest))
    }

    /// The bits of an argument that the engine looks at, found by asking it.
    fn bits(&self, argument: &str, index: u8) -> u64 {
        let abi = self.abi.unwrap_or(Abi::X86_64);
        let text = format!(
            "{} arch {} {argument} == 0 errno EPERM",
            self.name,
            abi.name()
        );
        let Ok(set) = RuleSet::parse(text.as_bytes(), 0, &mut Report::new()) else {
            return u64::MAX;
        };
        let Some(number) = crate::rules::syscall_number_of(self.name, abi) else {
            return u64::MAX;
        };
        let is_seen = |bit: &u32| {
            let mut arguments = [0; 6];
            arguments[usize::from(index)] = 1 << bit;
            judge(&set, abi, i32::from(number), &arguments) == "allow"
        };
        let seen = (0..u64::BITS).filter(is_seen);
        let bits = seen.fold(0, |bits, bit| bits | 1 << bit);
        // Where registers are no wider, nothing is to be said.
        if abi != Abi::X86_64 && bits == u64::from(u32::MAX) {
            return u64::MAX;
        }
        bits
    }
}

/// A number of 64 bits, with a sign or without.
fn number(word: &str) -> Option<u64> {
    if let Some(digits) = word.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = word.strip_prefix('-') {
        return digits.parse::<u64>().ok().map(u64::wrapping_neg);
    }
    word.parse().ok()
}

/// An action, its error, and whether it says that there is to be an audit record.
fn action(words: &[&str]) -> Option<(&'static str, Option<u64>, bool)> {
    let (words, audits) = match words {
        [words @ .., "audit"] if !words.is_empty() => (words, true),
        words => (words, false),
    };
    let (action, errno) = match words {
        ["allow"] => ("ALLOW", None),
        ["log" | "audit"] => ("LOG", None),
        ["kill_thread"] => ("KILL_THREAD", None),
        ["kill_process"] => ("KILL_PROCESS", None),
        ["trap"] => ("TRAP", None),
        ["return", "0"] => ("ERRNO", Some(0)),
        ["errno", word] => {
            let errno = errno_number(word).or_else(|| word.parse().ok())?;
            ("ERRNO", Some(u64::from(errno)))
        }
        _ => return None,
    };
    let name = match action {
        "ALLOW" => "SCMP_ACT_ALLOW",
        "LOG" => "SCMP_ACT_LOG",
        "KILL_THREAD" => "SCMP_ACT_KILL_THREAD",
        "KILL_PROCESS" => "SCMP_ACT_KILL_PROCESS",
        "TRAP" => "SCMP_ACT_TRAP",
        _ => "SCMP_ACT_ERRNO",
    };
    Some((name, errno, audits))
}

/// The profile that says what rules do, and what it does not say.
pub fn export(set: &RuleSet) -> Result<(Profile, Vec<Loss>), Mistake> {
    let mut losses = Vec::new();
    let lines: Vec<String> = (0..set.nr_lines())
        .map(|line| {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = set.fmt_line(line, &mut text);
            text
        })
        .collect();
    let mut profile = Profile::default();
    let mut audits = false;
    let mut highest = Vec::new();
    let mut entries = Vec::new();
    for line in &lines {
        let parsed = Line::parse(line);
        let words = parsed.words.as_slice();
        match (parsed.name, parsed.abi, words) {
            ("default", abi, ["above", number, ..]) => highest.push((abi, number.parse().ok())),
            ("default", None | Some(Abi::X86_64), words) => match action(words) {
                Some((word, errno, audit)) => {
                    profile.default_action = word.into();
                    profile.default_errno_ret = errno;
                    audits |= audit;
                }
                None => losses.push(Loss(format!("'{line}' is no action of seccomp's"))),
            },
            ("default", Some(_), _) => {}
            // What has no name is judged below.
            (name, ..) if name.contains("..") => {}
            (_, abi, words) => {
                audits |= words.len() > 1 && words.last() == Some(&"audit");
                match parsed.syscall() {
                    Some(syscall) => entries.push((parsed.name, abi, syscall)),
                    None => losses.push(Loss(format!("'{line}' is not in seccomp's terms"))),
                }
            }
        }
    }
    if profile.default_action.is_empty() {
        profile.default_action = "SCMP_ACT_ERRNO".into();
    }
    profile.architectures = Some(architectures(set));
    profile.flags = audits.then(|| vec!["SECCOMP_FILTER_FLAG_LOG".into()]);
    let mut syscalls = join(entries);
    syscalls.extend(names_of_highest(&highest, &profile, &syscalls));
    profile.syscalls = Some(syscalls);
    compare(set, &lines, &profile, &mut losses)?;
    Ok((profile, losses))
}

/// Those of which not all calls are killed.
fn architectures(set: &RuleSet) -> Vec<String> {
    let names = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let all = Abi::ALL.into_iter().zip(names);
    let is_there = |abi: Abi| {
        let mut numbers = 0..=600;
        abi == Abi::X86_64 || numbers.any(|nr| judge(set, abi, nr, &[0; 6]) != "kill_thread")
    };
    all.filter(|(abi, _)| is_there(*abi))
        .map(|(_, name)| name.into())
        .collect()
}

/// A profile's rules are for all architectures: those of the first one that has the call. Names
/// for which the same is said, without conditions, go together.
fn join(entries: Vec<(&str, Option<Abi>, Syscall)>) -> Vec<Syscall> {
    let mut first: BTreeMap<&str, Option<Abi>> = BTreeMap::new();
    for (name, abi, _) in &entries {
        let rank = |abi: Option<Abi>| abi.map_or(0, |abi| abi as usize);
        let known = first.entry(name).or_insert(*abi);
        if rank(*abi) < rank(*known) {
            *known = *abi;
        }
    }
    let mut syscalls: Vec<Syscall> = Vec::new();
    for (name, abi, syscall) in entries {
        if first.get(name) != Some(&abi) {
            continue;
        }
        let same = syscalls.iter_mut().find(|other| {
            let is_plain = other.args.is_none() && syscall.args.is_none();
            is_plain && (&other.action, other.errno_ret) == (&syscall.action, syscall.errno_ret)
        });
        match same.and_then(|other| other.names.as_mut()) {
            Some(names) => names.push(name.into()),
            None => syscalls.push(syscall),
        }
    }
    syscalls
}

/// A rule that says what the default says does nothing, but that calls up to there exist.
fn names_of_highest(
    highest: &[(Option<Abi>, Option<i32>)],
    profile: &Profile,
    syscalls: &[Syscall],
) -> Option<Syscall> {
    let is_permissive = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"].contains(&&*profile.default_action);
    if is_permissive {
        return None;
    }
    let mut names = BTreeSet::new();
    for abi in Abi::ALL {
        let mut said = highest
            .iter()
            .filter(|(of, _)| of.is_none_or(|of| of == abi));
        let top = said
            .next_back()
            .and_then(|(_, number)| *number)
            .unwrap_or(559);
        let name = (0..=top)
            .rev()
            .find_map(|number| syscall_name_of(number, abi));
        let is_there = |name: &&str| {
            let all = syscalls.iter().flat_map(|s| s.names.iter().flatten());
            !all.into_iter().any(|other| other == name)
        };
        names.extend(name.filter(is_there));
    }
    (!names.is_empty()).then(|| Syscall {
        names: Some(names.into_iter().map(String::from).collect()),
        action: profile.default_action.clone(),
        errno_ret: profile.default_errno_ret,
        ..Syscall::default()
    })
}

/// How many calls of a kind are tried.
const MAX_TRIES: usize = 100_000;

/// Judges every call by the rules, and by those that the profile becomes.
fn compare(
    set: &RuleSet,
    lines: &[String],
    profile: &Profile,
    losses: &mut Vec<Loss>,
) -> Result<(), Mistake> {
    let mut notes = Notes::default();
    let filter = profile.select(&Given::default(), losses, &mut notes)?;
    let again = import(&filter, notes)?;
    losses.extend(again.losses);
    let again = RuleSet::parse(again.text.as_bytes(), 0, &mut Report::new())
        .map_err(|_| Mistake::new("there are too many rules"))?;
    for abi in Abi::ALL {
        for number in (0..=600).chain([1000, i32::MAX]) {
            let name = syscall_name_of(number, abi).unwrap_or("?");
            let Some(all) = arguments(lines, name) else {
                losses.push(Loss(format!("{name}: too many conditions to compare")));
                continue;
            };
            let differs = all.into_iter().find_map(|mut arguments| {
                if abi == Abi::I386 {
                    arguments = arguments.map(|argument| argument & u64::from(u32::MAX));
                }
                let ours = judge(set, abi, number, &arguments);
                let theirs = judge(&again, abi, number, &arguments);
                (ours != theirs).then_some((ours, theirs))
            });
            if let Some((ours, theirs)) = differs {
                let call = if name == "?" {
                    number.to_string()
                } else {
                    name.into()
                };
                losses.push(Loss(format!(
                    "{call} on {}: '{theirs}' by the profile, '{ours}' by the rules",
                    abi.name()
                )));
            }
        }
    }
    Ok(())
}

/// Arguments of a call on each side of all values that its rules name, in all combinations; none if
/// there are too many.
fn arguments(lines: &[String], name: &str) -> Option<Vec<[u64; 6]>> {
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    for line in lines {
        let parsed = Line::parse(line);
        // socketcall and ipc are asked about by rules for others.
        let is_it = parsed.name == name;
        for (at, word) in parsed.words.iter().enumerate().filter(|_| is_it) {
            let Some(index) = word
                .trim_end_matches(')')
                .strip_suffix(|c: char| c.is_ascii_digit())
            else {
                continue;
            };
            if !index.ends_with("arg") {
                continue;
            }
            let index = usize::from(word.trim_end_matches(')').bytes().last()? - b'0');
            let of_condition = parsed.words.iter().skip(at + 1).take(4);
            for value in of_condition.filter_map(|word| number(word)) {
                let near = [
                    value,
                    value.wrapping_add(1),
                    value.wrapping_sub(1),
                    !value,
                    0,
                ];
                let wide = near
                    .into_iter()
                    .flat_map(|v| [v, v ^ 1 << 32, v & 0xffff_ffff]);
                values.get_mut(index)?.extend(wide);
            }
        }
    }
    let mut all = vec![[0; 6]];
    for (index, values) in values
        .iter()
        .enumerate()
        .filter(|(_, values)| !values.is_empty())
    {
        if all.len() * values.len() > MAX_TRIES {
            return None;
        }
        let with = |arguments: &[u64; 6], value: u64| {
            let mut arguments = *arguments;
            arguments[index] = value;
            arguments
        };
        all = all
            .iter()
            .flat_map(|a| values.iter().map(move |v| with(a, *v)))
            .collect();
    }
    Some(all)
}
