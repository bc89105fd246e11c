// SPDX-License-Identifier: GPL-2.0

//! From rules to the runtime specification's JSON.
//!
//! A profile is made that looks like the rules, and imported again; then every call is judged by
//! both. What differs is what such a profile cannot say.

mod judge;
mod line;

use super::{
    json::{Profile, Syscall},
    meaning::number_for_runc,
    Loss, Mistake,
};
use crate::rules::{syscall_name_of, Abi, RuleSet};
use judge::{compare, judge};
use line::{action, Line};
use std::collections::{BTreeMap, BTreeSet};

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
            (_, abi, _) => {
                if let Some((syscall, audit)) = parsed.syscall() {
                    audits |= audit;
                    entries.push((parsed.name, abi, syscall));
                } else {
                    losses.push(Loss(format!("'{line}' is not in seccomp's terms")));
                }
            }
        }
    }
    if profile.default_action.is_empty() {
        profile.default_action = "SCMP_ACT_ERRNO".into();
    }
    let abis = architectures(set, &lines);
    let words = abis.iter().map(|abi| match abi {
        Abi::X86_64 => "SCMP_ARCH_X86_64",
        Abi::I386 => "SCMP_ARCH_X86",
        Abi::X32 => "SCMP_ARCH_X32",
    });
    profile.architectures = Some(words.map(String::from).collect());
    profile.flags = audits.then(|| vec!["SECCOMP_FILTER_FLAG_LOG".into()]);
    let mut syscalls = join(entries);
    syscalls.extend(names_of_highest(&highest, &abis, &profile, &syscalls));
    profile.syscalls = Some(syscalls);
    compare(set, &lines, &profile, &mut losses)?;
    Ok((profile, losses))
}

/// Those of which not all calls are killed. A profile's rules are for all that it lists, and calls of
/// others are killed: one of which a default refuses all is not listed if rules for another one would
/// be for it, too.
fn architectures(set: &RuleSet, lines: &[String]) -> Vec<Abi> {
    let rules: Vec<Line<'_>> = lines.iter().map(|line| Line::parse(line)).collect();
    let is_listed = |abi: &Abi| {
        let verdicts = || (0..=600).filter_map(|number| judge(set, *abi, number, &[0; 6]));
        let is_killed = verdicts().all(|verdict| verdict == "kill_thread");
        let is_made = verdicts().any(|verdict| matches!(&*verdict, "allow" | "audit"));
        let mut rules = rules.iter().filter(|rule| rule.name != "default");
        let has_own = rules
            .clone()
            .any(|rule| rule.abi.is_none_or(|of| of == *abi));
        let would_be_looser =
            !is_made && !has_own && rules.any(|rule| number_for_runc(rule.name, *abi).is_some());
        *abi == Abi::X86_64 || !(is_killed || would_be_looser)
    };
    Abi::ALL.into_iter().filter(is_listed).collect()
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

/// The highest number that a rule may name.
const MAX_NUMBER: i32 = 559;

/// A rule that says what the default says does nothing, but that calls up to there exist.
fn names_of_highest(
    highest: &[(Option<Abi>, Option<i32>)],
    abis: &[Abi],
    profile: &Profile,
    syscalls: &[Syscall],
) -> Option<Syscall> {
    let is_permissive = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"].contains(&&*profile.default_action);
    if is_permissive {
        return None;
    }
    let all = syscalls.iter().flat_map(|s| s.names.iter().flatten());
    let said: BTreeSet<&str> = all.map(String::as_str).collect();
    let mut names = BTreeSet::new();
    for abi in abis.iter().copied() {
        let is_known = said.iter().any(|name| number_for_runc(name, abi).is_some());
        let of_abi = |(of, _): &&(Option<Abi>, _)| of.is_none_or(|of| of == abi);
        let top = match highest.iter().rfind(of_abi) {
            Some((_, number)) => number.unwrap_or(MAX_NUMBER),
            // Without a name, a profile says nothing of what is above.
            None if !is_known => continue,
            None => MAX_NUMBER,
        };
        let mut below = (0..=top).rev().filter_map(|nr| syscall_name_of(nr, abi));
        let name = below.find(|name| number_for_runc(name, abi).is_some());
        names.extend(name.filter(|name| !said.contains(name)));
    }
    (!names.is_empty()).then(|| Syscall {
        names: Some(names.into_iter().map(String::from).collect()),
        action: profile.default_action.clone(),
        errno_ret: profile.default_errno_ret,
        ..Syscall::default()
    })
}
