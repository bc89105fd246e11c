// SPDX-License-Identifier: GPL-2.0

//! The canonical text of rules.

use super::{
    abi::Abi,
    action::Action, //
    condition::Condition,
    set::{Conditional, Rule, RuleSet},
    when::scatter,
};
use core::fmt;

impl RuleSet {
    /// How many lines the canonical text has that can decide about a call.
    pub(crate) fn nr_lines(&self) -> usize {
        self.first_rule + self.rules.len()
    }

    /// Writes one of these lines, without its end.
    pub(crate) fn fmt_line(&self, line: usize, out: &mut impl fmt::Write) -> fmt::Result {
        match line.checked_sub(self.first_rule).map(|i| self.rules.get(i)) {
            Some(Some(rule)) => self.fmt_rule(rule, out),
            Some(None) => Ok(()),
            None => self.fmt_default(line, out),
        }
    }

    fn fmt_default(&self, line: usize, out: &mut impl fmt::Write) -> fmt::Result {
        let Some((scope, default)) = self.defaults.at(line) else {
            return Ok(());
        };
        out.write_str("default")?;
        if let Some(abi) = scope.abi {
            write!(out, " arch {}", abi.name())?;
        }
        if scope.is_above {
            write!(out, " above {}", default.above)?;
        }
        self.fmt_action(default.action, out)
    }

    fn fmt_rule(&self, rule: &Rule, out: &mut impl fmt::Write) -> fmt::Result {
        rule.calls.fmt_with_abi(&self.ranges, out)?;
        let conditional = self.conditional_of(rule);
        if let Some(conditional) = conditional {
            for index in 0..conditional.nr_conditions {
                if let Some(condition) = self.condition_as_said(conditional, index) {
                    write!(out, " {condition}")?;
                }
            }
        }
        self.fmt_action(self.action(rule), out)?;
        match conditional.and_then(|c| self.when_of(c)) {
            Some((_, when)) => write!(out, "{when}"),
            None => Ok(()),
        }
    }

    fn fmt_action(&self, action: Action, out: &mut impl fmt::Write) -> fmt::Result {
        for step in self.steps(&action) {
            write!(out, " {step}")?;
            if let Action::Poke(poke) | Action::AfterPoke(poke) = step {
                out.write_str(" ")?;
                for byte in self.bytes(*poke) {
                    write!(out, "{byte:02x}")?;
                }
            }
        }
        Ok(())
    }

    /// A condition of a rule as it was said: on some architecture it makes sense as it is.
    fn condition_as_said(&self, conditional: &Conditional, index: u8) -> Option<&Condition> {
        let mut variants = Abi::ALL.into_iter().filter_map(|abi| {
            let at = conditional.first_condition_on(abi) + usize::from(index);
            self.conditions.get(at)
        });
        variants.find(|condition| !condition.is_hidden())
    }

    /// Writes the whole text, which parses to the same policy.
    ///
    /// What is `to_be_added_to` does not say the default that it has if none is said.
    pub(crate) fn fmt_text(&self, to_be_added_to: bool, out: &mut impl fmt::Write) -> fmt::Result {
        self.fmt_start(out)?;
        let is_implied = to_be_added_to && !self.defaults.says_first();
        for line in usize::from(is_implied)..self.nr_lines() {
            self.fmt_line(line, out)?;
            out.write_str("\n")?;
        }
        Ok(())
    }

    /// Writes what comes before the lines that can decide.
    pub(super) fn fmt_start(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if self.first_decides {
            out.write_str("order first\n")?;
        }
        Ok(())
    }

    /// A number that is the same for a line that reads the same, and hardly for another one.
    pub(crate) fn hash_of_line(&self, line: usize) -> u64 {
        let mut hash = Hash(0);
        // Hashing does not fail.
        let _ = self.fmt_line(line, &mut hash);
        hash.0
    }
}

struct Hash(u64);

impl fmt::Write for Hash {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            self.0 = scatter(self.0 ^ u64::from(byte));
        }
        Ok(())
    }
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_text(false, f)
    }
}
