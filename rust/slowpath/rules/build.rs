// SPDX-License-Identifier: GPL-2.0

//! From parsed rules to a [`RuleSet`].

use super::{
    abi::Abi,
    action::{Action, Poke}, //
    actions::Actions,
    calls::{Calls, Range},
    condition::{Condition, Said},
    defaults::{Defaults, MAX_DEFAULTS},
    list::{List, NoMemory},
    names::NR_SYSCALLS,
    set::{
        Bundle,
        Conditional,
        Rule,
        RuleSet,
        Variants,
        CONDITIONAL,
        LAST, //
    },
    table::{Kind, Slot, Table, MAX_INDEX},
    when::When,
};

/// How many rules a policy may have.
pub(crate) const MAX_RULES: usize = 2048;

/// How many rules of a policy may count their calls.
pub(crate) const MAX_COUNTERS: usize = u8::MAX as usize;

/// How many calls rules with conditions may be for, each counted as often as a rule is for it.
const MAX_MEMBERS: usize = u16::MAX as usize;

// The lines of the defaults come on top; each call may need a bundle.
const _: () = assert!(MAX_RULES + MAX_DEFAULTS < MAX_INDEX);
const _: () = assert!(NR_SYSCALLS * Abi::ALL.len() < MAX_INDEX);

/// What is never judged: `restart_syscall` continues a call that was judged when it was made, and
/// the other two are the kernel's own, made by the trampolines of probes (see seccomp).
pub(super) const UNJUDGED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

const TOO_MANY_RULES: &str = "too many rules";

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
    pub(super) first_decides: bool,
    pub(super) defaults: Defaults,
    rules: List<Rule>,
    ranges: List<Range>,
    actions: List<Action>,
    steps: List<Action>,
    bytes: List<u8>,
    conditional: List<Conditional>,
    conditions: List<Condition>,
    whens: List<When>,
    nr_members: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            first_decides: false,
            defaults: Defaults::new(),
            rules: List::new(),
            ranges: List::new(),
            actions: List::new(),
            steps: List::new(),
            bytes: List::new(),
            conditional: List::new(),
            conditions: List::new(),
            whens: List::new(),
            nr_members: 0,
        }
    }

    /// A range of numbers of an architecture, for a rule that may be added.
    pub(super) fn range(&mut self, range: Range, abi: Abi) -> Result<Calls, AddError> {
        if self.ranges.len() == MAX_RULES {
            return Err(AddError::TooMany(TOO_MANY_RULES));
        }
        self.ranges.push(range)?;
        Ok(Calls::by_range(self.ranges.len() - 1, abi))
    }

    /// What writes these bytes to what an argument points to.
    pub(super) fn poke(
        &mut self,
        argument: u8,
        bytes: impl Iterator<Item = u8>,
    ) -> Result<Poke, NoMemory> {
        let first = self.bytes.len();
        for byte in bytes {
            self.bytes.push(byte)?;
        }
        let len = self.bytes.len() - first;
        // The same bytes once, so that what writes them is the same.
        let (before, new) = self.bytes.split_at(first);
        let mut known = before.windows(len.max(1));
        let known = known.position(|bytes| bytes == new);
        if known.is_some() {
            self.bytes.truncate(first);
        }
        // CAST: A line has fewer bytes than 8 bits count, and a text fewer than 16 bits do.
        Ok(Poke {
            argument,
            len: len as u8,
            first: known.unwrap_or(first) as u16,
        })
    }

    /// The actions of a line as one.
    pub(super) fn action(&mut self, actions: &Actions) -> Result<Action, NoMemory> {
        let first = self.steps.len();
        let mut steps = actions.iter();
        if let (Some(only), None) = (steps.next(), steps.next()) {
            return Ok(only);
        }
        for step in actions.iter() {
            self.steps.push(step)?;
        }
        // CAST: A line has fewer actions than 8 bits count, and a text fewer than 16 bits do.
        Ok(Action::Several {
            first: first as u16,
            count: (self.steps.len() - first) as u8,
            kind: actions
                .iter()
                .map(Action::kind)
                .max()
                .unwrap_or(Action::KillProcess.kind()),
        })
    }

    /// Adds a rule.
    pub(super) fn add(
        &mut self,
        calls: Calls,
        conditions: &[Said],
        action: Action,
        when: Option<When>,
    ) -> Result<(), AddError> {
        if self.rules.len() == MAX_RULES {
            return Err(AddError::TooMany(TOO_MANY_RULES));
        }
        let action = self.intern(action)?;
        if conditions.is_empty() && when.is_none() {
            return Ok(self.rules.push(Rule {
                calls,
                body: action,
            })?);
        }

        if when.is_some() && self.whens.len() == MAX_COUNTERS {
            return Err(AddError::TooMany("too many rules with 'when'"));
        }
        let numbers = Abi::ALL.map(|abi| calls.numbers(abi, &self.ranges).len());
        self.nr_members += numbers.iter().sum::<usize>();
        if self.nr_members > MAX_MEMBERS {
            return Err(AddError::TooMany(
                "too many calls with conditions or 'when'",
            ));
        }
        if let Some(when) = when {
            self.whens.push(when)?;
        }
        let first_condition = self.conditions.len();
        let variants = self.add_conditions(calls, conditions)?;
        // CAST: A line has fewer conditions than 8 bits count, and a text has fewer rules and
        // conditions than 16 bits do.
        self.conditional.push(Conditional {
            rule: self.rules.len() as u16,
            action,
            first_condition: first_condition as u16,
            nr_conditions: conditions.len() as u8,
            when: when.map_or(0, |_| self.whens.len() as u8),
            variants,
        })?;
        let body = CONDITIONAL | (self.conditional.len() - 1) as u16;
        Ok(self.rules.push(Rule { calls, body })?)
    }

    /// Adds the tests that conditions are for calls, once for architectures that have the same.
    fn add_conditions(&mut self, calls: Calls, conditions: &[Said]) -> Result<Variants, NoMemory> {
        let on = |abi| conditions.iter().filter_map(move |c| c.on(calls, abi));
        let abis = Abi::ALL.into_iter();
        let abis = abis.filter(|abi| calls.width(*abi, 0).is_some());
        let mut variants = Variants::none();
        for abi in abis.clone() {
            let has_same = |other: &Abi| on(*other).eq(on(abi));
            if abis.clone().take_while(|a| *a != abi).any(|a| has_same(&a)) {
                continue;
            }
            variants.add(abis.clone().filter(has_same));
            for condition in on(abi) {
                self.conditions.push(condition)?;
            }
        }
        Ok(variants)
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
        let defaults = self.defaults;
        let slot = |abi, number| {
            let line = defaults.line_for(abi, number);
            let action = defaults.at(line).map(|(_, default)| default.action);
            Slot::line(line, action == Some(Action::Allow))
        };
        let mut set = RuleSet {
            table: Table::new(slot)?,
            first_decides: self.first_decides,
            defaults,
            first_rule: defaults.nr_lines(),
            rules: self.rules.trimmed()?,
            ranges: self.ranges.trimmed()?,
            actions: self.actions.trimmed()?,
            steps: self.steps.trimmed()?,
            bytes: self.bytes.trimmed()?,
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
    /// Of rules without conditions the strictest decides, the first of equals; or the first one.
    fn enter_constant_rules(&mut self) {
        let first_rule = self.first_rule;
        for (i, rule) in self.rules.iter().enumerate() {
            if rule.body & CONDITIONAL != 0 {
                continue;
            }
            let action = self.actions[usize::from(rule.body)];
            for (abi, number) in calls_of(rule, &self.ranges) {
                let Some(slot) = self.table.get_mut(abi, number) else {
                    continue;
                };
                let (Kind::Allow(line) | Kind::Constant(line)) = slot.kind() else {
                    continue;
                };
                let wins = line.checked_sub(first_rule).is_none_or(|other| {
                    let other = self.actions[usize::from(self.rules[other].body)];
                    !self.first_decides && action.kind() > other.kind()
                });
                if wins {
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
        for (rule, _, abi, number) in conditional_calls(&self.rules, &self.ranges) {
            let Some(slot) = self.table.get_mut(abi, number) else {
                continue;
            };
            match slot.kind() {
                Kind::Bundle(bundle) | Kind::Single(bundle) => {
                    let bundle = &mut bundles[bundle];
                    if self.first_decides && comes_first(bundle.otherwise, self.first_rule, rule) {
                        continue;
                    }
                    bundle.first_member += 1;
                }
                Kind::Allow(_) | Kind::Constant(_) => {
                    if self.first_decides && comes_first(*slot, self.first_rule, rule) {
                        continue;
                    }
                    bundles.push(Bundle {
                        otherwise: *slot,
                        first_member: 1,
                        condition: 0,
                    })?;
                    *slot = Slot::bundle(bundles.len() - 1);
                }
                Kind::Unjudged => continue,
            }
            nr_members += 1;
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
        for (rule, conditional, abi, number) in conditional_calls(&self.rules, &self.ranges) {
            if let Kind::Bundle(bundle) = self.table.get(abi, i32::from(number)).kind() {
                let bundle = &mut bundles[bundle];
                if self.first_decides && comes_first(bundle.otherwise, self.first_rule, rule) {
                    continue;
                }
                let next = &mut bundle.first_member;
                self.members[usize::from(*next)] = conditional;
                *next += 1;
            }
        }
        for bundle in bundles.iter() {
            self.members[usize::from(bundle.first_member) - 1] |= LAST;
        }
        self.mark_singles();
        Ok(())
    }

    /// Has a bundle of one rule with conditions say so.
    fn mark_singles(&mut self) {
        for (_, conditional, abi, number) in conditional_calls(&self.rules, &self.ranges) {
            let Some(slot) = self.table.get_mut(abi, number) else {
                continue;
            };
            let Kind::Bundle(bundle) = slot.kind() else {
                continue;
            };
            let member = self.members[usize::from(self.bundles[bundle].first_member)];
            let is_single = member == LAST | conditional;
            let conditional = &self.conditional[usize::from(conditional)];
            if is_single && conditional.nr_conditions != 0 {
                // CAST: A text has fewer conditions than 16 bits count.
                self.bundles[bundle].condition = conditional.first_condition_on(abi) as u16;
                *slot = Slot::single(bundle);
            }
        }
    }
}

/// Whether what decides otherwise is a rule that comes before another one.
fn comes_first(otherwise: Slot, first_rule: usize, rule: usize) -> bool {
    match otherwise.kind() {
        Kind::Allow(line) | Kind::Constant(line) => {
            line.checked_sub(first_rule).is_some_and(|i| i < rule)
        }
        _ => false,
    }
}

/// Each call that a rule is for.
fn calls_of<'a>(rule: &Rule, ranges: &'a [Range]) -> impl Iterator<Item = (Abi, u16)> + 'a {
    let calls = rule.calls;
    let abis = Abi::ALL.into_iter();
    abis.flat_map(move |abi| calls.numbers(abi, ranges).map(move |number| (abi, number)))
}

/// Each conditional rule with each call that it is for: the rule, where it is among those with
/// conditions, and the call.
fn conditional_calls<'a>(
    rules: &'a [Rule],
    ranges: &'a [Range],
) -> impl Iterator<Item = (usize, u16, Abi, u16)> + 'a {
    let rules = rules.iter().enumerate();
    let conditional = rules.filter(|(_, rule)| rule.body & CONDITIONAL != 0);
    conditional.flat_map(|(i, rule)| {
        let index = rule.body & !CONDITIONAL;
        calls_of(rule, ranges).map(move |(abi, number)| (i, index, abi, number))
    })
}
