// SPDX-License-Identifier: GPL-2.0

//! Which values of an argument calls are made with, counted by the rules of a policy that lets all be.

use crate::{
    error::{Error, Kind, Result},
    module::{Group, Policy},
    rules::{syscall_number_of, Abi},
    setup::OWN,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// The values that are told apart. Families of sockets, commands and options are such.
const VALUES: Range<u64> = 0..64;

/// More calls would make too many rules.
const MAX_CALLS: usize = 8;

const ARGUMENTS: [&str; 6] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];

/// Of which call which argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueOf {
    call: String,
    argument: String,
}

impl ValueOf {
    pub fn parse(word: &str) -> std::result::Result<Self, String> {
        let (call, argument) = word
            .split_once(':')
            .ok_or("say which argument: socket:arg0")?;
        if !ARGUMENTS.contains(&argument) {
            return Err(format!("'{argument}' is none of arg0 to arg5"));
        }
        let is_call = |abi| syscall_number_of(call, abi).is_some();
        if !Abi::ALL.into_iter().any(is_call) {
            return Err(format!("'{call}' is not the name of a syscall"));
        }
        Ok(Self {
            call: call.into(),
            argument: argument.into(),
        })
    }
}

/// What an argument was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub argument: String,
    pub values: BTreeSet<u64>,
    /// How many calls had others than can be told apart.
    pub others: u64,
}

impl Seen {
    /// With all arguments of a call.
    pub fn add(&mut self, arguments: &[u64]) {
        let index = ARGUMENTS.iter().position(|name| self.argument == *name);
        match index.and_then(|index| arguments.get(index)) {
            Some(value) if VALUES.contains(value) => drop(self.values.insert(*value)),
            _ => self.others += 1,
        }
    }
}

/// By the names of calls.
pub type AllSeen = BTreeMap<String, Seen>;

/// Makes sure that it can be done.
pub fn check(all: &[ValueOf]) -> Result<()> {
    let calls: BTreeSet<&str> = all.iter().map(|value| value.call.as_str()).collect();
    if calls.len() < all.len() {
        return Err(Error::usage("--values: one argument of a call, not two"));
    }
    if all.len() > MAX_CALLS {
        let what = format!("--values: {MAX_CALLS} calls at most");
        return Err(Error::usage(what));
    }
    Ok(())
}

/// The first line that holds has the hit, and all have the call made.
fn rules(all: &[ValueOf]) -> String {
    let mut rules = "order first\n".to_string();
    for ValueOf { call, argument } in all {
        for value in VALUES {
            rules += &format!("{call} {argument} == {value} allow\n");
        }
        rules += &format!("{call} allow\n");
    }
    rules
}

/// From the hits of such rules.
fn seen(all: &[ValueOf], hits: &str) -> AllSeen {
    let mut seen = AllSeen::new();
    for ValueOf { call, argument } in all {
        let of_call = seen.entry(call.clone()).or_default();
        of_call.argument.clone_from(argument);
        for line in hits.lines() {
            let Some((count, rule)) = line.split_once(' ') else {
                continue;
            };
            let count: u64 = count.parse().unwrap_or(0);
            let rule = rule
                .strip_prefix(call.as_str())
                .and_then(|rule| rule.strip_suffix(" allow"));
            match rule {
                Some("") => of_call.others += count,
                Some(condition) if count > 0 => {
                    let value = condition.strip_prefix(&format!(" {argument} == "));
                    of_call.values.extend(value.and_then(number));
                }
                _ => {}
            }
        }
    }
    seen
}

/// As rules have it.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// Groups whose policy counts.
pub struct Values<'a> {
    wanted: &'a [ValueOf],
    policy: Option<Policy>,
    groups: Vec<Group>,
}

impl<'a> Values<'a> {
    /// Puts groups under it that are under none.
    pub fn start(wanted: &'a [ValueOf], groups: &[Group]) -> Result<Self> {
        let mut values = Self {
            wanted,
            policy: None,
            groups: Vec::new(),
        };
        if wanted.is_empty() {
            return Ok(values);
        }
        for group in groups {
            if let Some(policy) = group.policy()? {
                let what = format!(
                    "--values: these are counted by rules, and {} is under the policy {}",
                    group.0, policy.0
                );
                return Err(Error::new(Kind::Busy, what)
                    .help("record without, or have it be under none for that time"));
            }
        }
        let result = values.count(groups);
        match result {
            Ok(()) => Ok(values),
            Err(e) => {
                values.stop();
                Err(e)
            }
        }
    }

    fn count(&mut self, groups: &[Group]) -> Result<()> {
        let policy = Policy(format!("{OWN}values-{}", std::process::id()));
        policy.create()?;
        let policy = self.policy.insert(policy);
        policy
            .set_rules("--values", rules(self.wanted).as_bytes())
            .map_err(|refusal| refusal.into_error("--values"))?;
        for group in groups {
            group.set_policy(Some(policy))?;
            self.groups.push(group.clone());
        }
        Ok(())
    }

    pub fn read(&self) -> Result<AllSeen> {
        match &self.policy {
            Some(policy) => Ok(seen(self.wanted, &policy.get("hits")?)),
            None => Ok(AllSeen::new()),
        }
    }

    /// Has the groups be under no policy again; says what stays.
    pub fn stop(self) -> Vec<String> {
        let Some(policy) = self.policy else {
            return Vec::new();
        };
        let mut notes = Vec::new();
        for group in &self.groups {
            // Somebody may have put it under another one meanwhile, or removed it.
            if group.policy().ok().flatten().as_ref() == Some(&policy) {
                notes.extend(group.set_policy(None).err().map(|e| e.to_string()));
            }
        }
        if let Err(e) = policy.remove() {
            let e = Error::io(format!("the policy {} stays", policy.0), &e);
            notes.push(e.to_string());
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    #[test]
    fn values_are_found_in_hits() {
        let all = ["socket:arg0", "prctl:arg0"].map(|word| ValueOf::parse(word).unwrap());
        let text = rules(&all);
        assert!(Text::parse("", text.as_bytes()).is_ok());
        assert_eq!(text.lines().count(), 1 + 2 * 65);
        let hits = "9 default allow\n3 socket arg0 == 2 allow\n1 socket arg0 == 0x10 allow\n\
                    0 socket arg0 == 3 allow\n0 socket allow\n5 prctl allow\n2 socketpair allow\n";
        let seen = seen(&all, hits);
        assert_eq!(seen["socket"].values, BTreeSet::from([2, 16]));
        assert_eq!((seen["socket"].others, seen["prctl"].others), (0, 5));
        assert!(seen["prctl"].values.is_empty());
    }

    #[test]
    fn arguments_are_told_apart_or_counted() {
        let mut seen = Seen {
            argument: "arg1".into(),
            ..Seen::default()
        };
        seen.add(&[7, 63, 9]);
        seen.add(&[7, 64, 9]);
        assert_eq!((seen.values, seen.others), (BTreeSet::from([63]), 1));
    }

    #[test]
    fn junk_is_refused() {
        for junk in [
            "socket",
            "socket:0",
            "socket:arg6",
            "nosuch:arg0",
            ":arg0",
            "257:arg0",
        ] {
            assert!(ValueOf::parse(junk).is_err(), "{junk}");
        }
        let one = ValueOf::parse("socket:arg0").unwrap();
        let other = ValueOf::parse("socket:arg1").unwrap();
        assert!(check(&[one.clone(), other]).is_err());
        assert!(check(&[one]).is_ok());
    }
}
