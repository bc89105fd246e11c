// SPDX-License-Identifier: GPL-2.0

//! From the calls that were made to the rules that allow these.

use crate::{
    counts::{CallName, Count},
    error::{Error, Result},
    lines::{named, Line, Lines, Number, NUMBERS},
    rules::{syscall_name_of, syscall_number_of, Abi},
    text::Text,
    values::AllSeen,
};
use std::collections::{BTreeMap, BTreeSet};

/// Calls that programs do not make by choice, and that a recording may not have seen: without them
/// a signal's handler does not return, and nothing ends.
const NEEDED: [&str; 4] = ["rt_sigreturn", "sigreturn", "exit", "exit_group"];

/// The calls that were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    calls: BTreeSet<(usize, u16)>,
    /// Those that no rule can have, with how often.
    pub beyond: Vec<(CallName, u64)>,
    /// Of which calls which values of an argument were seen.
    pub values: AllSeen,
}

impl Profile {
    pub fn new(counted: &BTreeMap<CallName, Count>) -> Self {
        let mut profile = Self::default();
        for (call, count) in counted {
            match (call.abi(), call.number()) {
                (Some(abi), Some(number)) => profile.add((abi, number)),
                _ => profile.beyond.push((call.clone(), count.calls)),
            }
        }
        profile
    }

    pub fn add(&mut self, (abi, number): Number) {
        self.calls.insert((abi as usize, number));
    }

    /// In the order of architectures and numbers.
    pub fn calls(&self) -> impl Iterator<Item = Number> + '_ {
        let calls = self.calls.iter();
        calls.map(|(index, number)| (Abi::ALL[*index], *number))
    }

    fn with_needed(&self) -> Self {
        let mut all = self.clone();
        for (abi, _) in self.calls() {
            let needed = NEEDED
                .iter()
                .filter_map(|name| syscall_number_of(name, abi));
            needed.for_each(|number| all.add((abi, number)));
        }
        all
    }

    /// One rule for each; by name alone, where all architectures have it that can.
    fn rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        let lines = Text::parse("", b"").map(|text| Lines::new(&text));
        // What is never judged needs none.
        let is_judged = |call| lines.as_ref().is_ok_and(|l| l.default_of(call).is_some());
        for (abi, number) in self.calls().filter(|call| is_judged(*call)) {
            let name = syscall_name_of(i32::from(number), abi);
            let having = |name| {
                let all = Abi::ALL.into_iter();
                all.filter_map(move |abi| Some((abi as usize, syscall_number_of(name, abi)?)))
            };
            match name {
                Some(name) if having(name).all(|call| self.calls.contains(&call)) => {
                    if having(name).next() == Some((abi as usize, number)) {
                        rules.extend(self.allowing(name, name));
                    }
                }
                _ => {
                    let which = named((abi, number));
                    rules.extend(self.allowing(&which, name.unwrap_or(&which)));
                }
            }
        }
        rules
    }

    /// The rules that allow a call: with the values that it had, where these are known.
    fn allowing(&self, which: &str, name: &str) -> Vec<String> {
        match self.values.get(name) {
            Some(seen) if seen.others == 0 && !seen.values.is_empty() => {
                let rule = |value| format!("{which} {} == {value} allow", seen.argument);
                seen.values.iter().map(rule).collect()
            }
            _ => vec![format!("{which} allow")],
        }
    }

    /// Rules that allow these calls and no others, which fail.
    pub fn smallest(&self, errno: &str) -> Result<String> {
        let mut text = format!("default errno {errno}\n");
        for rule in self.with_needed().rules() {
            text += &format!("{rule}\n");
        }
        checked(text)
    }

    /// Rules that allow these calls besides what those of a base do; and which calls the base has
    /// lines for that may refuse them, with these lines.
    pub fn onto(&self, name: &str, base: &str) -> Result<(String, Vec<(String, String)>)> {
        let text = Text::parse(name, base.as_bytes()).map_err(|p| Error::rules(name, p))?;
        let lines = Lines::new(&text);
        let mut added = Self {
            values: self.values.clone(),
            ..Self::default()
        };
        let mut kept = Vec::new();
        for call in self.with_needed().calls() {
            let Some(default) = lines.default_of(call) else {
                continue;
            };
            let mut of_base = lines.of(call).peekable();
            match of_base.peek() {
                Some(_) => {
                    let of_base: Vec<&Line> = of_base.collect();
                    let is_allowed = of_base.iter().all(|line| line.is_allow())
                        && of_base.iter().any(|line| line.conditions.is_empty());
                    let of_base = of_base.iter().filter(|_| !is_allowed);
                    let refusing: Vec<&str> = of_base.map(|line| line.text.as_str()).collect();
                    if !refusing.is_empty() && self.calls.contains(&(call.0 as usize, call.1)) {
                        kept.push((named(call), refusing.join(", ")));
                    }
                }
                None if default == "allow" => {
                    let what = format!("{name} allows what it has no line for, as {}", named(call));
                    return Err(Error::usage(what)
                        .help("give it a default that refuses: default errno EPERM"));
                }
                None => added.add(call),
            }
        }
        let mut text = base.to_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for rule in added.rules() {
            text += &format!("{rule}\n");
        }
        Ok((checked(text)?, kept))
    }
}

/// What is recorded is to be taken by the kernel.
fn checked(text: String) -> Result<String> {
    match Text::parse("the recorded rules", text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(places) => Err(Error::rules("the recorded rules", places)),
    }
}

/// Whether a rule can have a number.
pub fn can_be_said(number: i64) -> Option<u16> {
    let number = u16::try_from(number).ok()?;
    NUMBERS.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counts::parse_calls, sim::judge_first, values::Seen};

    fn profile(calls: &str) -> Profile {
        Profile::new(&parse_calls(calls).unwrap())
    }

    fn allowed(rules: &str) -> BTreeSet<(usize, u16)> {
        let text = Text::parse("", rules.as_bytes()).unwrap();
        let all = Abi::ALL
            .into_iter()
            .flat_map(|abi| NUMBERS.map(move |n| (abi, n)));
        let judged = all.map(|(abi, n)| (abi, n, judge_first(&text.set, abi, n)));
        let allowed =
            judged.filter(|(.., j)| j.line.is_some() && j.action.kind().name() == "allow");
        allowed.map(|(abi, n, _)| (abi as usize, n)).collect()
    }

    #[test]
    fn rules_allow_what_was_made_and_no_more() {
        let profile = profile("x86_64 read 5 0\nx86_64 openat 1 1\nx86_64 restart_syscall 1 0\ni386 socketcall 1 0\nx32 540 1 0");
        let rules = profile.smallest("EPERM").unwrap();
        let mut wanted = profile.calls.clone();
        wanted.remove(&(0, 219));
        let needed = [
            (0, 15),
            (0, 60),
            (0, 231),
            (1, 173),
            (1, 119),
            (1, 1),
            (1, 252),
        ];
        wanted.extend(needed);
        wanted.extend([(2, 513), (2, 60), (2, 231)]);
        assert_eq!(allowed(&rules), wanted, "{rules}");
        assert!(!rules.contains("restart_syscall"));
    }

    #[test]
    fn a_name_is_enough_where_all_have_made_it() {
        let rules = profile("x86_64 read 1 0\ni386 read 1 0\nx32 read 1 0\nx86_64 mmap 1 0");
        let rules = rules.smallest("ENOSYS").unwrap();
        assert!(
            rules.starts_with("default errno ENOSYS\nread allow\nmmap arch x86_64 allow\n"),
            "{rules}"
        );
    }

    #[test]
    fn values_that_were_seen_are_allowed_and_no_others() {
        let mut profile = profile("x86_64 socket 3 0\nx86_64 prctl 1 0\nx86_64 read 1 0");
        let seen = |values: &[u64], others| Seen {
            argument: "arg0".into(),
            values: values.iter().copied().collect(),
            others,
        };
        profile.values.insert("socket".into(), seen(&[1, 2], 0));
        profile.values.insert("prctl".into(), seen(&[15], 1));
        let rules = profile.smallest("EPERM").unwrap();
        let lines: Vec<&str> = rules.lines().collect();
        for wanted in [
            "socket arch x86_64 arg0 == 1 allow",
            "socket arch x86_64 arg0 == 2 allow",
            "prctl arch x86_64 allow",
            "read arch x86_64 allow",
        ] {
            assert!(lines.contains(&wanted), "{rules}");
        }
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("socket"))
                .count(),
            2
        );
    }

    #[test]
    fn a_base_decides_what_it_has_lines_for() {
        let profile = profile("x86_64 read 1 0\nx86_64 socket 1 0\nx86_64 ptrace 1 0");
        let base =
            "default errno EPERM\nsocket arg0 == 1 allow\nptrace errno EIO # no\nexit_group allow";
        let (rules, kept) = profile.onto("base", base).unwrap();
        assert!(
            rules.starts_with(&format!("{base}\nread arch x86_64 allow\n")),
            "{rules}"
        );
        assert!(!rules.contains("socket arch"));
        let mut of_values = profile.clone();
        let seen = Seen {
            argument: "arg0".into(),
            values: BTreeSet::from([3]),
            others: 0,
        };
        of_values.values.insert("read".into(), seen);
        let (rules, _) = of_values.onto("base", base).unwrap();
        let read = "\nread arch x86_64 arg0 == 3 allow\n";
        assert!(rules.contains(read), "{rules}");
        assert!(!rules.contains("read arch x86_64 allow"), "{rules}");
        let said = |call: &str, lines: &str| (call.to_string(), lines.to_string());
        let socket = said("socket arch x86_64", "socket arg0 == 1 allow");
        let ptrace = said("ptrace arch x86_64", "ptrace errno EIO");
        assert_eq!(kept, [socket, ptrace]);
        let error = profile.onto("base", "ptrace errno EPERM").unwrap_err();
        assert!(error.message.contains("allows what it has no line for"));
    }

    #[test]
    fn what_no_rule_can_have_is_not_forgotten() {
        let profile = profile("x86_64 others 3 3\nx86_64 read 1 0");
        assert_eq!(profile.beyond.len(), 1);
    }
}
