// SPDX-License-Identifier: GPL-2.0

//! What libseccomp's program does, as runc has it made.

use super::{
    condition::{can_hold, Comparison, Condition, Test},
    filter::{Above, Action, Entry, Filter, Notes},
    Loss, Mistake,
};
use crate::rules::{syscall_number_of, Abi};
use std::collections::BTreeMap;

/// What becomes of a call that has rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This, whatever the arguments are.
    Always(Action),
    /// This, where the tests hold; the default decides where none do.
    Where(Vec<Alternative>),
}

/// All of these have to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    pub tests: Vec<Test>,
    pub action: Action,
}

/// What becomes of the calls of an architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    pub default: Action,
    /// Numbers above this one fail with ENOSYS.
    pub highest: Option<u16>,
    pub verdicts: BTreeMap<u16, Verdict>,
}

/// What a filter does, by architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub calls: [Calls; 3],
    /// Whether there is an audit record of each call that is refused.
    pub log: bool,
}

/// Calls of i386 that socketcall and ipc make, too, by their first argument. libseccomp has a
/// number of its own for these names there.
const MULTIPLEXED: [(&str, &[(&str, u64)]); 2] = [
    (
        "socketcall",
        &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    ),
    (
        "ipc",
        &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    ),
];

/// The call that makes another one on i386, and its first argument for that.
fn multiplexer(name: &str) -> Option<(&'static str, u64)> {
    MULTIPLEXED.iter().find_map(|(multiplexer, others)| {
        let other = others.iter().find(|other| other.0 == name)?;
        Some((*multiplexer, other.1))
    })
}

/// Whether some architecture of the kernel has a call of this name, or i386 has one that makes it.
fn is_known(name: &str) -> bool {
    let has = |abi| syscall_number_of(name, abi).is_some();
    Abi::ALL.into_iter().any(has) || multiplexer(name).is_some()
}

impl Meaning {
    pub fn of(filter: &Filter, losses: &mut Vec<Loss>, notes: &mut Notes) -> Result<Self, Mistake> {
        for entry in &filter.entries {
            if entry.name.is_empty() {
                return Err(Mistake::new("a rule is for a call without a name"));
            }
            if !is_known(&entry.name) {
                notes.unknown_names.push(entry.name.clone());
            }
        }
        let killed = Calls {
            default: Action::KillThread,
            highest: None,
            verdicts: BTreeMap::new(),
        };
        let calls = Abi::ALL.map(|abi| {
            if filter.abis.contains(&abi) {
                Calls::of(filter, abi)
            } else {
                killed.clone()
            }
        });
        for (abi, calls) in Abi::ALL.into_iter().zip(&calls) {
            calls.find_contradictions(abi, losses);
            calls.find_unfaithful(abi, losses);
        }
        Ok(Self {
            calls,
            log: filter.log,
        })
    }

    pub fn on(&self, abi: Abi) -> &Calls {
        &self.calls[abi as usize]
    }
}

impl Calls {
    fn of(filter: &Filter, abi: Abi) -> Self {
        let mut calls = Self {
            default: filter.default,
            highest: highest(filter, abi),
            verdicts: BTreeMap::new(),
        };
        for entry in &filter.entries {
            // libseccomp would refuse it, and runc does not add it.
            if entry.action != filter.default {
                calls.add_entry(entry, abi);
            }
        }
        // runc's own check comes first.
        if let Some(highest) = calls.highest {
            calls.verdicts.retain(|number, _| *number <= highest);
        }
        calls
    }

    fn add_entry(&mut self, entry: &Entry, abi: Abi) {
        let conditions = &entry.conditions;
        let is_repeated = (0..6).any(|argument| {
            let of_argument = conditions.iter().filter(|c| c.argument == argument);
            of_argument.count() > 1
        });
        if is_repeated {
            for condition in conditions {
                self.add(entry, abi, condition.on(abi).into_iter().collect());
            }
        } else {
            let tests = conditions.iter().filter_map(|c| c.on(abi)).collect();
            self.add(entry, abi, tests);
        }
    }

    fn add(&mut self, entry: &Entry, abi: Abi, tests: Vec<Test>) {
        let multiplexer = multiplexer(&entry.name).filter(|_| abi == Abi::I386);
        if let Some((name, first)) = multiplexer {
            // What the rule says of the first argument, it says of that of another call.
            let mut tests: Vec<Test> = tests.iter().filter(|t| t.argument != 0).copied().collect();
            let is_it = Condition {
                argument: 0,
                comparison: Comparison::Equal,
                value: first,
                value_two: 0,
            };
            tests.splice(0..0, is_it.on(abi));
            self.add_to(name, abi, tests, entry.action);
        }
        self.add_to(&entry.name, abi, tests, entry.action);
    }

    fn add_to(&mut self, name: &str, abi: Abi, tests: Vec<Test>, action: Action) {
        let Some(number) = syscall_number_of(name, abi) else {
            return;
        };
        let new = || Verdict::Where(Vec::new());
        let verdict = self.verdicts.entry(number).or_insert_with(new);
        match verdict {
            // Of two without conditions the first one counts.
            Verdict::Always(_) => {}
            Verdict::Where(_) if tests.is_empty() => *verdict = Verdict::Always(action),
            Verdict::Where(alternatives) => {
                let alternative = Alternative { tests, action };
                if !alternatives.contains(&alternative) {
                    alternatives.push(alternative);
                }
            }
        }
    }

    /// Finds rules for one call of which libseccomp makes a program that does something else than
    /// they say, or may do so.
    fn find_unfaithful(&self, abi: Abi, losses: &mut Vec<Loss>) {
        for (number, verdict) in &self.verdicts {
            let Verdict::Where(alternatives) = verdict else {
                continue;
            };
            if !is_faithful(alternatives, abi) {
                let call = crate::rules::syscall_name_of(i32::from(*number), abi);
                losses.push(Loss(format!(
                    "{} on {}: libseccomp is known not to do what such rules say together; these do",
                    call.unwrap_or("?"),
                    abi.name(),
                )));
            }
        }
    }

    /// Finds rules that say different things about the same call: libseccomp may refuse them, and
    /// else sorts them by arguments and values, so that any of them may decide.
    fn find_contradictions(&self, abi: Abi, losses: &mut Vec<Loss>) {
        for (number, verdict) in &self.verdicts {
            let Verdict::Where(alternatives) = verdict else {
                continue;
            };
            let mut pairs = alternatives.iter().enumerate().flat_map(|(i, a)| {
                let others = alternatives.iter().skip(i + 1);
                others.map(move |b| (a, b))
            });
            let contradicts = |a: &Alternative, b: &Alternative| {
                let tests: Vec<&Test> = a.tests.iter().chain(&b.tests).collect();
                a.action != b.action && can_hold(&tests, abi)
            };
            if pairs.any(|(a, b)| contradicts(a, b)) {
                let call = crate::rules::syscall_name_of(i32::from(*number), abi);
                losses.push(Loss(format!(
                    "{} on {}: rules that contradict each other hold for the same arguments; the strictest decides",
                    call.unwrap_or("?"),
                    abi.name(),
                )));
            }
        }
    }
}

/// Whether libseccomp makes a program of alternatives that does what they say.
///
/// Its programs test an argument's halves one after the other, and share tests among rules. Up to
/// version 2.6.1 a program may go on to a test that expects the other half, or another argument, in
/// its register; so that rules hold which do not, and the other way round. It may not even end when
/// such rules are added. What is taken here is what was found never to fail.
fn is_faithful(alternatives: &[Alternative], abi: Abi) -> bool {
    let is_wide = |test: &&Test| test.comparison.orders() && test.value > u64::from(u32::MAX);
    let single = |alternative: &&Alternative| alternative.tests.len() == 1;
    let (singles, others): (Vec<_>, Vec<_>) = alternatives.iter().partition(single);
    match others[..] {
        _ if alternatives.len() == 1 => true,
        [] => abi != Abi::X86_64 || !singles.iter().flat_map(|a| &a.tests).any(|t| is_wide(&t)),
        // An exception, and what is allowed besides it, as podman's profile has it for socket.
        [exception] => {
            let is_equal = |test: &Test| test.comparison == Comparison::Equal;
            let is_besides = |alternative: &&Alternative| {
                alternative.action != exception.action
                    && alternative.tests.iter().all(|test| {
                        let equal = Test {
                            comparison: Comparison::Equal,
                            ..*test
                        };
                        test.comparison == Comparison::NotEqual && exception.tests.contains(&equal)
                    })
            };
            alternatives.first() == Some(exception)
                && exception.tests.len() == 2
                && exception.tests.iter().all(is_equal)
                && singles.iter().all(is_besides)
        }
        _ => false,
    }
}

/// The number by which a name counts for the highest one.
pub fn number_for_runc(name: &str, abi: Abi) -> Option<u16> {
    // To libseccomp those have numbers below 0.
    let has_none = abi == Abi::I386 && multiplexer(name).is_some();
    syscall_number_of(name, abi).filter(|_| !has_none)
}

/// The highest number that the profile names on an architecture, above which runc has ENOSYS.
fn highest(filter: &Filter, abi: Abi) -> Option<u16> {
    if filter.default.is_permissive() || filter.above == Above::Default {
        return None;
    }
    let names = filter.entries.iter();
    let highest = names
        .filter_map(|entry| number_for_runc(&entry.name, abi))
        .max();
    // To runc 0 is none; those of x32 have a bit set.
    highest.filter(|highest| *highest > 0 || abi == Abi::X32)
}
