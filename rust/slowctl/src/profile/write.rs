// SPDX-License-Identifier: GPL-2.0

//! From what a filter does to rules.
//!
//! No two rules that hold for a call say different things, so that the strictest one is the only
//! one, and a rule that is added by hand means what it says.

use super::{
    condition::{bits_on, Comparison, Test},
    filter::{Action, Notes},
    meaning::{Alternative, Calls, Meaning, Verdict},
    Loss,
};
use crate::rules::{errno_name, syscall_name_of, Abi};
use std::{collections::BTreeMap, fmt::Write};

/// One more than the highest number that a rule can name.
const NR_SYSCALLS: u16 = 560;

/// Calls that x32 alone has: no default for higher numbers is for them.
const OLD_X32: std::ops::RangeInclusive<u16> = 512..=547;

/// What is never judged.
const UNJUDGED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

/// The kernel's own codes, which fail no call.
const RESTART_ERRNOS: [u16; 4] = [512, 513, 514, 516];

const ENOSYS: u16 = 38;

/// What rules say of a call on an architecture; no lines are for what the default says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lines(Vec<String>);

/// Writes rules.
pub fn write(meaning: &Meaning, losses: &mut Vec<Loss>, notes: &mut Notes) -> String {
    let mut text = String::new();
    let mut words = Words {
        log: meaning.log,
        losses,
    };
    write_defaults(meaning, &mut words, &mut text);
    let mut calls: BTreeMap<&str, [Option<Lines>; 3]> = BTreeMap::new();
    for abi in Abi::ALL {
        for number in 0..NR_SYSCALLS {
            if let Some(name) = syscall_name_of(i32::from(number), abi) {
                let lines = lines_of(meaning.on(abi), abi, number, name, &mut words, notes);
                calls.entry(name).or_default()[abi as usize] = Some(lines);
            }
        }
    }
    for (name, lines) in calls {
        write_call(name, &lines, &mut text);
    }
    text
}

/// Writing to a string does not fail.
macro_rules! add {
    ($text:expr, $($what:tt)*) => {
        let _ = writeln!($text, $($what)*);
    };
}

fn write_defaults(meaning: &Meaning, words: &mut Words<'_>, text: &mut String) {
    let first = meaning.on(Abi::X86_64).default;
    add!(text, "default {}", words.action(first, "default"));
    for abi in Abi::ALL {
        let calls = meaning.on(abi);
        let arch = abi.name();
        if calls.default != first {
            add!(
                text,
                "default arch {arch} {}",
                words.action(calls.default, "default")
            );
        }
        let is_said = calls.default == Action::Errno(ENOSYS);
        let Some(highest) = calls.highest.filter(|_| !is_said) else {
            continue;
        };
        let enosys = words.action(Action::Errno(ENOSYS), "default");
        add!(text, "default arch {arch} above {highest} {enosys}");
        let (from, to) = (*OLD_X32.start().max(&(highest + 1)), *OLD_X32.end());
        if abi == Abi::X32 && from <= to {
            add!(text, "{from}..{to} arch x32 {enosys}");
        }
    }
}

/// What the default says about a number.
fn default_of(calls: &Calls, number: u16) -> Action {
    match calls.highest {
        Some(highest) if number > highest => Action::Errno(ENOSYS),
        _ => calls.default,
    }
}

fn lines_of(
    calls: &Calls,
    abi: Abi,
    number: u16,
    name: &str,
    words: &mut Words<'_>,
    notes: &mut Notes,
) -> Lines {
    let default = default_of(calls, number);
    let verdict = calls.verdicts.get(&number);
    if UNJUDGED.contains(&name) {
        // x32 has none of its own, which no program is to call.
        if verdict != Some(&Verdict::Always(Action::Allow)) && default != Action::Allow {
            notes.say(format!("{name} is never judged, whatever the profile says"));
        }
        return Lines::default();
    }
    Lines(match verdict {
        None => Vec::new(),
        Some(Verdict::Always(action)) if *action == default => Vec::new(),
        Some(Verdict::Always(action)) => vec![words.action(*action, name)],
        Some(Verdict::Where(alternatives)) => {
            let lines = alternatives
                .iter()
                .filter_map(|a| words.alternative(a, abi, name));
            lines.collect()
        }
    })
}

fn write_call(name: &str, lines: &[Option<Lines>; 3], text: &mut String) {
    let mut there = lines.iter().flatten();
    let first = there.next().cloned().unwrap_or_default();
    // Tests depend on the architecture.
    let is_plain = first.0.len() == 1 && !first.0[0].contains('(');
    if is_plain && there.all(|other| *other == first) {
        add!(text, "{name} {}", first.0[0]);
        return;
    }
    for (abi, lines) in Abi::ALL.into_iter().zip(lines) {
        for line in lines.iter().flat_map(|lines| &lines.0) {
            add!(text, "{name} arch {} {line}", abi.name());
        }
    }
}

/// Finds words for what a filter does, and says what has none.
struct Words<'a> {
    log: bool,
    losses: &'a mut Vec<Loss>,
}

impl Words<'_> {
    /// The verdict of a call, or of those that the default is for.
    fn action(&mut self, action: Action, call: &str) -> String {
        let refusal = match action {
            Action::Allow => return "allow".into(),
            // As seccomp's, it leaves an audit record.
            Action::Log => return "audit".into(),
            Action::KillThread => return "kill_thread".into(),
            Action::KillProcess => return "kill_process".into(),
            Action::Trap => "trap".into(),
            Action::Errno(0) => "return 0".into(),
            Action::Errno(errno) if RESTART_ERRNOS.contains(&errno) => {
                let error = format!("{call}: no program may see the error {errno}; it gets EPERM");
                self.losses.push(Loss(error));
                "errno EPERM".into()
            }
            Action::Errno(errno) => match errno_name(errno) {
                Some(name) => format!("errno {name}"),
                None => format!("errno {errno}"),
            },
            Action::Trace(_) => {
                self.losses.push(Loss(format!(
                    "{call}: SCMP_ACT_TRACE asks a tracer; it fails with ENOSYS, as without one"
                )));
                "errno ENOSYS".into()
            }
            Action::Notify => {
                self.losses.push(Loss(format!(
                    "{call}: SCMP_ACT_NOTIFY asks a supervisor; it fails with ENOSYS, as without one"
                )));
                "errno ENOSYS".into()
            }
        };
        if self.log {
            refusal + " audit"
        } else {
            refusal
        }
    }

    /// The rule of an alternative, if there are arguments for which it holds.
    fn alternative(&mut self, alternative: &Alternative, abi: Abi, call: &str) -> Option<String> {
        let mut line = String::new();
        for test in &alternative.tests {
            if !can_be(test, abi) {
                return None;
            }
            let _ = write!(line, "{} ", in_words(test, abi));
        }
        Some(line + &self.action(alternative.action, call))
    }
}

/// Whether some argument is such.
fn can_be(test: &Test, abi: Abi) -> bool {
    match test.comparison {
        Comparison::Less => test.value > 0,
        Comparison::Greater => test.value < bits_on(abi),
        _ => true,
    }
}

fn in_words(test: &Test, abi: Abi) -> String {
    let width = if abi == Abi::X86_64 { "u64" } else { "u32" };
    let Test {
        argument,
        comparison,
        mask,
        value,
    } = test;
    let operator = match comparison {
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Equal => "==",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Greater => ">",
        Comparison::MaskedEqual => {
            return format!("{width}(arg{argument}) & {mask:#x} == {value:#x}");
        }
    };
    format!("{width}(arg{argument}) {operator} {value}")
}
