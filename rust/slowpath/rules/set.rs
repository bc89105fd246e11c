// SPDX-License-Identifier: GPL-2.0

//! Rules, ready to judge calls.

use super::{
    list::{List, NoMemory},
    names::{syscall_name, NR_SYSCALLS},
    verdict::Verdict, //
};
use core::fmt;

/// What is never judged: `restart_syscall` continues a call that was judged when it was made, and
/// the other two are the kernel's own, made by the trampolines of probes (see seccomp).
pub(super) const UNJUDGED: [(u16, &str); 3] = [
    (219, "restart_syscall is never judged"),
    (335, "uretprobe is never judged"),
    (336, "uprobe is never judged"),
];

/// In the table: not a rule, but a call that is never judged.
const UNJUDGED_ENTRY: u16 = u16::MAX;

/// What to do with the calls of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) nr: u16,
    pub(super) verdict: Verdict,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match syscall_name(self.nr) {
            Some(name) => write!(f, "{name} {}", self.verdict),
            None => write!(f, "{} {}", self.nr, self.verdict),
        }
    }
}

/// What the rules say about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// Which line of the canonical text decided, from 0; the default is line 0.
    pub(crate) line: Option<usize>,
}

/// A policy's rules.
pub(crate) struct RuleSet {
    default: Verdict,
    rules: List<Rule>,
    /// For each syscall, 0 for the default, or one more than the rule that decides.
    table: List<u16>,
}

impl RuleSet {
    pub(super) fn new() -> Result<Self, NoMemory> {
        let mut table = List::filled(0, NR_SYSCALLS)?;
        for (nr, _) in UNJUDGED {
            if let Some(entry) = table.get_mut(usize::from(nr)) {
                *entry = UNJUDGED_ENTRY;
            }
        }
        Ok(Self {
            default: Verdict::Allow,
            rules: List::new(),
            table,
        })
    }

    pub(super) fn set_default(&mut self, verdict: Verdict) {
        self.default = verdict;
    }

    /// Adds a rule. Where several are for one syscall the strictest decides, the first of equals.
    pub(super) fn add(&mut self, rule: Rule) -> Result<(), NoMemory> {
        self.rules.push(rule)?;

        let current = self.decider(rule.nr).map(|i| self.rules[i].verdict);
        if current.is_none_or(|v| v.strictness() < rule.verdict.strictness()) {
            if let Some(entry) = self.table.get_mut(usize::from(rule.nr)) {
                *entry = self.rules.len() as u16;
            }
        }
        Ok(())
    }

    fn decider(&self, nr: u16) -> Option<usize> {
        let entry = *self.table.get(usize::from(nr))?;
        usize::from(entry).checked_sub(1)
    }

    /// Judges a call of the 64-bit convention.
    #[inline]
    pub(crate) fn judge(&self, nr: i32) -> Judgement {
        let entry = usize::try_from(nr).ok().and_then(|nr| self.table.get(nr));
        let line = usize::from(*entry.unwrap_or(&0));
        if line == usize::from(UNJUDGED_ENTRY) {
            return Judgement {
                verdict: Verdict::Allow,
                line: None,
            };
        }
        match line.checked_sub(1).and_then(|i| self.rules.get(i)) {
            Some(rule) => Judgement {
                verdict: rule.verdict,
                line: Some(line),
            },
            None => self.judge_by_default(),
        }
    }

    /// Judges a call of a convention for which there are no rules.
    #[inline]
    pub(crate) fn judge_by_default(&self) -> Judgement {
        Judgement {
            verdict: self.default,
            line: Some(0),
        }
    }

    /// How many lines the canonical text has.
    pub(crate) fn nr_lines(&self) -> usize {
        self.rules.len() + 1
    }

    /// Writes one line of the canonical text, without its end.
    pub(crate) fn fmt_line(&self, line: usize, out: &mut impl fmt::Write) -> fmt::Result {
        match line.checked_sub(1).and_then(|i| self.rules.get(i)) {
            Some(rule) => write!(out, "{rule}"),
            None => write!(out, "default {}", self.default),
        }
    }
}

/// The canonical text: it parses to the same policy.
impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in 0..self.nr_lines() {
            self.fmt_line(line, f)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}
