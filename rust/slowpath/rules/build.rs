// SPDX-License-Identifier: GPL-2.0

//! From parsed rules to a [`RuleSet`].

use super::{
    abi::Abi,
    action::Action, //
    calls::Calls,
    condition::{Condition, When},
    list::{List, NoMemory},
    set::{
        default_line,
        first_rule,
        Bundle,
        Conditional,
        Rule,
        RuleSet,
        CONDITIONAL,
        LAST, //
    },
    table::{Kind, Slot, Table, MAX_INDEX},
};

/// How many rules a policy may have.
pub(crate) const MAX_RULES: usize = 2048;

/// How many rules of a policy may count their calls.
pub(crate) const MAX_COUNTERS: usize = u8::MAX as usize;

// The lines of the defaults come on top; each rule may need a bundle for each architecture.
const _: () = assert!(MAX_RULES * Abi::ALL.len() + 1 + Abi::ALL.len() < MAX_INDEX);

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
    default: Option<Action>,
    abi_defaults: [Option<Action>; Abi::ALL.len()],
    rules: List<Rule>,
    actions: List<Action>,
    conditional: List<Conditional>,
    conditions: List<Condition>,
    whens: List<When>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            default: None,
            abi_defaults: [None; Abi::ALL.len()],
            rules: List::new(),
            actions: List::new(),
            conditional: List::new(),
            conditions: List::new(),
            whens: List::new(),
        }
    }

    /// The default, of one architecture or of all that have none of their own.
    pub(super) fn default_of(&mut self, abi: Option<Abi>) -> &mut Option<Action> {
        match abi {
            Some(abi) => &mut self.abi_defaults[abi as usize],
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
        action: Action,
        when: Option<When>,
    ) -> Result<(), AddError> {
        if self.rules.len() == MAX_RULES {
            return Err(AddError::TooMany("too many rules"));
        }
        let first_condition = self.conditional.last().map_or(0, |c| {
            usize::from(c.first_condition) + usize::from(c.nr_conditions)
        });
        let nr_conditions = self.conditions.len() - first_condition;
        let action = self.intern(action)?;

        let body = if nr_conditions == 0 && when.is_none() {
            action
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
                action,
                first_condition: first_condition as u16,
                nr_conditions: nr_conditions as u8,
                when: when.map_or(0, |_| self.whens.len() as u8),
            })?;
            CONDITIONAL | (self.conditional.len() - 1) as u16
        };
        Ok(self.rules.push(Rule { calls, body })?)
    }

    /// Where an action is in the list; there is one of each.
    fn intern(&mut self, action: Action) -> Result<u16, NoMemory> {
        let known = self.actions.iter().position(|v| *v == action);
        if known.is_none() {
            self.actions.push(action)?;
        }
        // CAST: There are not more actions than rules.
        Ok(known.unwrap_or(self.actions.len() - 1) as u16)
    }

    pub(super) fn finish(self) -> Result<RuleSet, NoMemory> {
        let default = self.default.unwrap_or(Action::Allow);
        let rest = Abi::ALL.map(|abi| {
            let action = self.abi_defaults[abi as usize].unwrap_or(default);
            let line = default_line(&self.abi_defaults, abi);
            Slot::line(line, action == Action::Allow)
        });
        let mut set = RuleSet {
            table: Table::new(rest)?,
            default,
            abi_defaults: self.abi_defaults,
            first_rule: first_rule(&self.abi_defaults),
            rules: self.rules.trimmed()?,
            actions: self.actions.trimmed()?,
            conditional: self.conditional.trimmed()?,
            conditions: self.conditions.trimmed()?,
            whens: self.whens.trimmed()?,
            bundles: List::new(),
            members: List::new(),
        };
        set.enter_constant_rules();
        set.enter_conditional_rules()?;
        for abi in Abi::ALL {
            for name in UNJUDGED {
                let number = Calls::by_name(name).and_then(|calls| calls.number(abi));
                if let Some(slot) = number.and_then(|nr| set.table.get_mut(abi, nr)) {
                    *slot = Slot::UNJUDGED;
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
            let action = self.actions[usize::from(rule.body)];
            for abi in Abi::ALL {
                let number = rule.calls.number(abi);
                let Some(slot) = number.and_then(|nr| self.table.get_mut(abi, nr)) else {
                    continue;
                };
                let (Kind::Allow(line) | Kind::Constant(line)) = slot.kind() else {
                    continue;
                };
                let stricter = line.checked_sub(first_rule).is_none_or(|other| {
                    let other = self.actions[usize::from(self.rules[other].body)];
                    action.strictness() > other.strictness()
                });
                if stricter {
                    *slot = Slot::line(first_rule + i, action == Action::Allow);
                }
            }
        }
    }

    /// Makes a bundle of the conditional rules of each call, on top of what is in the table.
    fn enter_conditional_rules(&mut self) -> Result<(), NoMemory> {
        // First how many there are of each, in place of where they are.
        let mut bundles: List<Bundle> = List::new();
        let mut nr_members = 0;
        for (_, abi, number) in conditional_calls(&self.rules) {
            nr_members += 1;
            let Some(slot) = self.table.get_mut(abi, number) else {
                continue;
            };
            match slot.kind() {
                Kind::Bundle(bundle) | Kind::Single(bundle) => bundles[bundle].first_member += 1,
                Kind::Allow(_) | Kind::Constant(_) => {
                    bundles.push(Bundle {
                        otherwise: *slot,
                        first_member: 1,
                        condition: 0,
                    })?;
                    *slot = Slot::bundle(bundles.len() - 1);
                }
                Kind::Unjudged => {}
            }
        }

        // Then where each begins.
        let mut begin = 0;
        for bundle in bundles.iter_mut() {
            let len = bundle.first_member;
            bundle.first_member = begin;
            begin += len;
        }

        // And then the members, in their order. What is taken so far is in a copy.
        self.bundles = bundles.trimmed()?;
        self.members = List::filled(LAST, nr_members)?;
        for (conditional, abi, number) in conditional_calls(&self.rules) {
            if let Kind::Bundle(bundle) = self.table.get(abi, i32::from(number)).kind() {
                let next = &mut bundles[bundle].first_member;
                self.members[usize::from(*next)] = conditional;
                *next += 1;
            }
        }
        for bundle in bundles.iter() {
            self.members[usize::from(bundle.first_member) - 1] |= LAST;
        }
        for (conditional, abi, number) in conditional_calls(&self.rules) {
            if let Some(slot) = self.table.get_mut(abi, number) {
                if let Kind::Bundle(bundle) = slot.kind() {
                    let conditional = &self.conditional[usize::from(conditional)];
                    let begin = usize::from(self.bundles[bundle].first_member);
                    if self.members[begin] & LAST != 0 && conditional.nr_conditions == 1 {
                        self.bundles[bundle].condition = conditional.first_condition;
                        *slot = Slot::single(bundle);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each conditional rule with each call that it is for: where it is, and the number.
fn conditional_calls(rules: &[Rule]) -> impl Iterator<Item = (u16, Abi, u16)> + '_ {
    let conditional = rules.iter().filter(|rule| rule.body & CONDITIONAL != 0);
    conditional.flat_map(|rule| {
        let index = rule.body & !CONDITIONAL;
        Abi::ALL
            .into_iter()
            .filter_map(move |abi| Some((index, abi, rule.calls.number(abi)?)))
    })
}
