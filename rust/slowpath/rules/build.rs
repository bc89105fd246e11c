// SPDX-License-Identifier: GPL-2.0

//! From parsed rules to a [`RuleSet`].

use super::{
    arch::Arch,
    calls::Calls,
    condition::{Condition, When},
    list::{List, NoMemory},
    set::{
        default_line,
        first_rule,
        Conditional,
        Group,
        Rule,
        RuleSet,
        CONDITIONAL,
        LAST, //
    },
    table::{Entry, Kind, Table, MAX_INDEX},
    verdict::Verdict, //
};

/// How many rules a policy may have.
pub(crate) const MAX_RULES: usize = 2048;

/// How many rules of a policy may count their calls.
pub(crate) const MAX_COUNTERS: usize = u8::MAX as usize;

// The lines of the defaults come on top; each rule may need a group for each architecture.
const _: () = assert!(MAX_RULES * Arch::ALL.len() + 1 + Arch::ALL.len() < MAX_INDEX);

/// What is never judged: `restart_syscall` continues a call that was judged when it was made, and
/// the other two are the kernel's own, made by the trampolines of probes (see seccomp).
pub(super) const UNJUDGED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

/// Why a rule cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddError {
    TooMany(&'static str),
    NoMemory,
}

impl From<NoMemory> for AddError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Rules in the order in which they are given.
pub(super) struct Builder {
    default: Option<Verdict>,
    arch_defaults: [Option<Verdict>; Arch::ALL.len()],
    rules: List<Rule>,
    verdicts: List<Verdict>,
    conditional: List<Conditional>,
    conditions: List<Condition>,
    whens: List<When>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            default: None,
            arch_defaults: [None; Arch::ALL.len()],
            rules: List::new(),
            verdicts: List::new(),
            conditional: List::new(),
            conditions: List::new(),
            whens: List::new(),
        }
    }

    /// The default, of one architecture or of all that have none of their own.
    pub(super) fn default_of(&mut self, arch: Option<Arch>) -> &mut Option<Verdict> {
        match arch {
            Some(arch) => &mut self.arch_defaults[arch as usize],
            None => &mut self.default,
        }
    }

    /// Adds a condition to the rule that is added next.
    pub(super) fn add_condition(&mut self, condition: Condition) -> Result<(), AddError> {
        Ok(self.conditions.push(condition)?)
    }

    /// Adds a rule, with the conditions added since the last one.
    pub(super) fn add(
        &mut self,
        calls: Calls,
        verdict: Verdict,
        when: Option<When>,
    ) -> Result<(), AddError> {
        if self.rules.len() == MAX_RULES {
            return Err(AddError::TooMany("too many rules"));
        }
        let first_condition = self.conditional.last().map_or(0, |c| {
            usize::from(c.first_condition) + usize::from(c.nr_conditions)
        });
        let nr_conditions = self.conditions.len() - first_condition;
        let verdict = self.intern(verdict)?;

        let body = if nr_conditions == 0 && when.is_none() {
            verdict
        } else {
            if let Some(when) = when {
                if self.whens.len() == MAX_COUNTERS {
                    return Err(AddError::TooMany("too many rules with 'when'"));
                }
                self.whens.push(when)?;
            }
            // CAST: A line has fewer conditions than 8 bits count, and a text has fewer rules and
            // conditions than 16 bits do.
            self.conditional.push(Conditional {
                rule: self.rules.len() as u16,
                verdict,
                first_condition: first_condition as u16,
                nr_conditions: nr_conditions as u8,
                when: when.map_or(0, |_| self.whens.len() as u8),
            })?;
            CONDITIONAL | (self.conditional.len() - 1) as u16
        };
        Ok(self.rules.push(Rule { calls, body })?)
    }

    /// Where a verdict is in the list; there is one of each.
    fn intern(&mut self, verdict: Verdict) -> Result<u16, NoMemory> {
        let known = self.verdicts.iter().position(|v| *v == verdict);
        if known.is_none() {
            self.verdicts.push(verdict)?;
        }
        // CAST: There are not more verdicts than rules.
        Ok(known.unwrap_or(self.verdicts.len() - 1) as u16)
    }

    pub(super) fn finish(self) -> Result<RuleSet, NoMemory> {
        let default = self.default.unwrap_or(Verdict::Allow);
        let rest = Arch::ALL.map(|arch| {
            let verdict = self.arch_defaults[arch as usize].unwrap_or(default);
            let line = default_line(&self.arch_defaults, arch);
            Entry::line(line, verdict == Verdict::Allow)
        });
        let mut set = RuleSet {
            table: Table::new(rest)?,
            default,
            arch_defaults: self.arch_defaults,
            first_rule: first_rule(&self.arch_defaults),
            rules: self.rules.trimmed()?,
            verdicts: self.verdicts.trimmed()?,
            conditional: self.conditional.trimmed()?,
            conditions: self.conditions.trimmed()?,
            whens: self.whens.trimmed()?,
            groups: List::new(),
            members: List::new(),
        };
        set.enter_constant_rules();
        set.enter_conditional_rules()?;
        for arch in Arch::ALL {
            for name in UNJUDGED {
                let number = Calls::by_name(name).and_then(|calls| calls.number(arch));
                if let Some(entry) = number.and_then(|nr| set.table.get_mut(arch, nr)) {
                    *entry = Entry::UNJUDGED;
                }
            }
        }
        Ok(set)
    }
}

impl RuleSet {
    /// Of rules without conditions the strictest decides, the first of equals.
    fn enter_constant_rules(&mut self) {
        let first_rule = self.first_rule;
        for (i, rule) in self.rules.iter().enumerate() {
            if rule.body & CONDITIONAL != 0 {
                continue;
            }
            let verdict = self.verdicts[usize::from(rule.body)];
            for arch in Arch::ALL {
                let number = rule.calls.number(arch);
                let Some(entry) = number.and_then(|nr| self.table.get_mut(arch, nr)) else {
                    continue;
                };
                let (Kind::Allow(line) | Kind::Constant(line)) = entry.kind() else {
                    continue;
                };
                let stricter = line.checked_sub(first_rule).is_none_or(|other| {
                    let other = self.verdicts[usize::from(self.rules[other].body)];
                    verdict.strictness() > other.strictness()
                });
                if stricter {
                    *entry = Entry::line(first_rule + i, verdict == Verdict::Allow);
                }
            }
        }
    }

    /// Makes a group of the conditional rules of each call, on top of what is in the table.
    fn enter_conditional_rules(&mut self) -> Result<(), NoMemory> {
        // First how many there are of each, in place of where they are.
        let mut groups: List<Group> = List::new();
        let mut nr_members = 0;
        for (_, arch, number) in conditional_calls(&self.rules) {
            nr_members += 1;
            let Some(entry) = self.table.get_mut(arch, number) else {
                continue;
            };
            match entry.kind() {
                Kind::Group(group) | Kind::Single(group) => groups[group].first_member += 1,
                Kind::Allow(_) | Kind::Constant(_) => {
                    groups.push(Group {
                        otherwise: *entry,
                        first_member: 1,
                        condition: 0,
                    })?;
                    *entry = Entry::group(groups.len() - 1);
                }
                Kind::Unjudged => {}
            }
        }

        // Then where each begins.
        let mut begin = 0;
        for group in groups.iter_mut() {
            let len = group.first_member;
            group.first_member = begin;
            begin += len;
        }

        // And then the members, in their order. What is taken so far is in a copy.
        self.groups = groups.trimmed()?;
        self.members = List::filled(LAST, nr_members)?;
        for (conditional, arch, number) in conditional_calls(&self.rules) {
            if let Kind::Group(group) = self.table.get(arch, i32::from(number)).kind() {
                let next = &mut groups[group].first_member;
                self.members[usize::from(*next)] = conditional;
                *next += 1;
            }
        }
        for group in groups.iter() {
            self.members[usize::from(group.first_member) - 1] |= LAST;
        }
        for (conditional, arch, number) in conditional_calls(&self.rules) {
            if let Some(entry) = self.table.get_mut(arch, number) {
                if let Kind::Group(group) = entry.kind() {
                    let conditional = &self.conditional[usize::from(conditional)];
                    let begin = usize::from(self.groups[group].first_member);
                    if self.members[begin] & LAST != 0 && conditional.nr_conditions == 1 {
                        self.groups[group].condition = conditional.first_condition;
                        *entry = Entry::single(group);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each conditional rule with each call that it is for: where it is, and the number.
fn conditional_calls(rules: &[Rule]) -> impl Iterator<Item = (u16, Arch, u16)> + '_ {
    let conditional = rules.iter().filter(|rule| rule.body & CONDITIONAL != 0);
    conditional.flat_map(|rule| {
        let index = rule.body & !CONDITIONAL;
        Arch::ALL
            .into_iter()
            .filter_map(move |arch| Some((index, arch, rule.calls.number(arch)?)))
    })
}
