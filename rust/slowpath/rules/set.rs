// SPDX-License-Identifier: GPL-2.0

//! Rules, ready to judge calls.

use super::{
    abi::Abi,
    action::{Action, Poke}, //
    calls::{Calls, Range},
    condition::{Call, Condition},
    defaults::Defaults,
    list::List,
    table::{Kind, Slot, Table},
    when::When,
};

/// What the rules say about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) action: Action,
    /// Which line of the canonical text decided, from 0; [`None`] for what is never judged.
    pub(crate) line: Option<usize>,
}

/// A rule. Its parts are in other lists, and shared where they are the same.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) calls: Calls,
    /// Where its action is or, with [`CONDITIONAL`] set, its conditions.
    pub(super) body: u16,
}

pub(super) const CONDITIONAL: u16 = 1 << 15;

/// What makes a rule conditional.
#[derive(Clone, Copy)]
pub(super) struct Conditional {
    /// Which of the rules it is.
    pub(super) rule: u16,
    pub(super) action: u16,
    pub(super) first_condition: u16,
    pub(super) nr_conditions: u8,
    /// One more than the counter, or 0.
    pub(super) when: u8,
    pub(super) variants: Variants,
}

/// The conditions come as often as they are different tests on some of the architectures.
///
/// Packed: two bits for each architecture, and above these how many variants there are.
#[derive(Clone, Copy)]
pub(super) struct Variants(u8);

impl Variants {
    pub(super) fn none() -> Self {
        Self(0)
    }

    /// The next one, which is that of these architectures.
    pub(super) fn add(&mut self, abis: impl Iterator<Item = Abi>) {
        let next = self.len();
        for abi in abis {
            // CAST: There are not more variants than architectures.
            self.0 |= (next as u8) << (2 * abi as u8);
        }
        self.0 += 1 << 6;
    }

    /// Which one is that of an architecture.
    #[inline]
    pub(super) fn of(self, abi: Abi) -> usize {
        usize::from(self.0 >> (2 * abi as u8) & 3)
    }

    pub(super) fn len(self) -> usize {
        usize::from(self.0 >> 6)
    }
}

impl Conditional {
    /// Where the conditions of an architecture begin.
    #[inline]
    pub(super) fn first_condition_on(&self, abi: Abi) -> usize {
        let before = self.variants.of(abi) * usize::from(self.nr_conditions);
        usize::from(self.first_condition) + before
    }
}

/// The rules for a call that has conditional ones.
#[derive(Clone, Copy)]
pub(super) struct Bundle {
    /// What decides where no condition holds: a line.
    pub(super) otherwise: Slot,
    pub(super) first_member: u16,
    /// The first condition of the only rule, if there are no more rules. If that does not hold, the
    /// rule does not.
    pub(super) condition: u16,
}

/// The last member of a bundle has this bit set.
pub(super) const LAST: u16 = 1 << 15;

/// A policy's rules.
pub(crate) struct RuleSet {
    pub(super) table: Table,
    /// Whether the first rule that holds decides, and not the strictest.
    pub(super) first_decides: bool,
    pub(super) defaults: Defaults,
    /// The line of the first rule: those of the defaults come before.
    pub(super) first_rule: usize,
    pub(super) rules: List<Rule>,
    /// The numbers that rules for some of them are for.
    pub(super) ranges: List<Range>,
    pub(super) actions: List<Action>,
    /// What actions that are several consist of.
    pub(super) steps: List<Action>,
    /// What pokes write.
    pub(super) bytes: List<u8>,
    pub(super) conditional: List<Conditional>,
    pub(super) conditions: List<Condition>,
    pub(super) whens: List<When>,
    pub(super) bundles: List<Bundle>,
    /// Where conditional rules are, bundle by bundle.
    pub(super) members: List<u16>,
}

impl RuleSet {
    /// The line that allows a call, if none gives another action: nothing is to be done or counted
    /// but the line's hit. Only for calls that rules can name.
    #[inline(always)]
    pub(crate) fn allows(&self, abi: Abi, nr: i32, call: &impl Call) -> Option<usize> {
        match self.table.get_named(abi, nr)?.kind() {
            Kind::Allow(line) => Some(line),
            Kind::Single(bundle) => {
                let bundle = self.bundles.get(bundle)?;
                let condition = self.conditions.get(usize::from(bundle.condition))?;
                match bundle.otherwise.kind() {
                    Kind::Allow(line) if !condition.holds(call) => Some(line),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The line that allows such calls whatever their arguments are, if one does.
    pub(crate) fn allows_by_number(&self, abi: Abi, nr: i32) -> Option<usize> {
        match self.table.get_named(abi, nr)?.kind() {
            Kind::Allow(line) => Some(line),
            _ => None,
        }
    }

    /// Judges a call that rules can name and that one without conditions decides about, if it is
    /// one: [`Self::judge`] finds the same, later.
    #[inline(always)]
    pub(crate) fn judge_constant(&self, abi: Abi, nr: i32) -> Option<Judgement> {
        match self.table.get_named(abi, nr)?.kind() {
            Kind::Constant(line) => {
                let rule = self.rules.get(line.checked_sub(self.first_rule)?)?;
                Some(Judgement {
                    action: *self.actions.get(usize::from(rule.body))?,
                    line: Some(line),
                })
            }
            _ => None,
        }
    }

    /// Judges a call.
    ///
    /// `count` counts the call for the rule with this counter, and says which one it is, from 1.
    /// Where that fails the call is not judged.
    pub(crate) fn judge<E>(
        &self,
        abi: Abi,
        nr: i32,
        call: &impl Call,
        count: impl Fn(usize) -> Result<u64, E>,
    ) -> Result<Judgement, E> {
        Ok(match self.table.get(abi, nr).kind() {
            Kind::Allow(line) | Kind::Constant(line) => self.judge_by(line),
            Kind::Bundle(bundle) | Kind::Single(bundle) => match self.bundles.get(bundle) {
                Some(bundle) => return self.judge_by_bundle(bundle, abi, call, count),
                None => self.judge_by(0),
            },
            Kind::Unjudged => Judgement {
                action: Action::Allow,
                line: None,
            },
        })
    }

    #[inline]
    fn judge_by(&self, line: usize) -> Judgement {
        let rule = line.checked_sub(self.first_rule);
        Judgement {
            action: match rule.and_then(|rule| self.rules.get(rule)) {
                Some(rule) => self.action(rule),
                None => self.default_of_line(line),
            },
            line: Some(line),
        }
    }

    #[inline(never)]
    fn judge_by_bundle<E>(
        &self,
        bundle: &Bundle,
        abi: Abi,
        call: &impl Call,
        count: impl Fn(usize) -> Result<u64, E>,
    ) -> Result<Judgement, E> {
        let otherwise = match bundle.otherwise.kind() {
            Kind::Allow(line) | Kind::Constant(line) => line,
            _ => 0,
        };
        // A default is for calls that no rule is for.
        let mut best = None;
        if otherwise >= self.first_rule {
            best = Some(self.judge_by(otherwise));
        }
        for conditional in self.members_of(bundle) {
            if self.holds(conditional, abi, call, &count)? {
                let judgement = Judgement {
                    action: self.action_at(conditional.action),
                    line: Some(self.first_rule + usize::from(conditional.rule)),
                };
                // Those without conditions that come before left no others to ask.
                if self.first_decides {
                    return Ok(judgement);
                }
                if best.is_none_or(|best| judgement.beats(&best)) {
                    best = Some(judgement);
                }
            }
        }
        Ok(match best {
            Some(best) => best,
            None => self.judge_by(otherwise),
        })
    }

    /// The conditional rules of a bundle.
    #[inline]
    fn members_of(&self, bundle: &Bundle) -> impl Iterator<Item = &Conditional> + '_ {
        let mut next = Some(usize::from(bundle.first_member));
        core::iter::from_fn(move || {
            let at = next?;
            let member = *self.members.get(at)?;
            next = (member & LAST == 0).then_some(at + 1);
            self.conditional.get(usize::from(member & !LAST))
        })
    }

    /// Whether a rule is to give its action on a call, which is counted if it is to be.
    #[inline]
    fn holds<E>(
        &self,
        conditional: &Conditional,
        abi: Abi,
        call: &impl Call,
        count: impl Fn(usize) -> Result<u64, E>,
    ) -> Result<bool, E> {
        let mut conditions = self.conditions_of(conditional, abi).iter();
        if !conditions.all(|condition| condition.holds(call)) {
            return Ok(false);
        }
        match self.when_of(conditional) {
            Some((counter, when)) => Ok(when.holds(count(counter)?)),
            None => Ok(true),
        }
    }

    #[inline(never)]
    fn default_of_line(&self, line: usize) -> Action {
        match self.defaults.at(line) {
            Some((_, default)) => default.action,
            // All lines are valid.
            None => Action::KillProcess,
        }
    }

    pub(super) fn conditional_of(&self, rule: &Rule) -> Option<&Conditional> {
        if rule.body & CONDITIONAL == 0 {
            return None;
        }
        self.conditional.get(usize::from(rule.body & !CONDITIONAL))
    }

    #[inline]
    fn action_at(&self, index: u16) -> Action {
        // All indices are valid; nothing weaker may come of it if one were not.
        match self.actions.get(usize::from(index)) {
            Some(action) => *action,
            None => Action::KillProcess,
        }
    }

    #[inline]
    pub(super) fn action(&self, rule: &Rule) -> Action {
        let index = self.conditional_of(rule).map_or(rule.body, |c| c.action);
        self.action_at(index)
    }

    #[inline]
    fn conditions_of(&self, conditional: &Conditional, abi: Abi) -> &[Condition] {
        let first = conditional.first_condition_on(abi);
        let end = first + usize::from(conditional.nr_conditions);
        self.conditions.get(first..end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn when_of(&self, conditional: &Conditional) -> Option<(usize, When)> {
        let counter = usize::from(conditional.when).checked_sub(1)?;
        Some((counter, *self.whens.get(counter)?))
    }

    /// How many counters [`Self::judge`] may ask for.
    pub(crate) fn nr_counters(&self) -> usize {
        self.whens.len()
    }

    /// What a poke writes.
    pub(crate) fn bytes(&self, poke: Poke) -> &[u8] {
        let first = usize::from(poke.first);
        let bytes = self.bytes.get(first..first + usize::from(poke.len));
        bytes.unwrap_or_default()
    }

    /// What an action consists of, in the order in which it is to be done.
    pub(crate) fn steps<'a>(&'a self, action: &'a Action) -> &'a [Action] {
        match *action {
            Action::Several { first, count, .. } => {
                let first = usize::from(first);
                let steps = self.steps.get(first..first + usize::from(count));
                steps.unwrap_or_default()
            }
            _ => core::slice::from_ref(action),
        }
    }

    /// The memory that the rules take, in bytes.
    #[cfg(not(CONFIG_RUST))]
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + super::table::SIZE
            + self.rules.size()
            + self.ranges.size()
            + self.actions.size()
            + self.steps.size()
            + self.bytes.size()
            + self.conditional.size()
            + self.conditions.size()
            + self.whens.size()
            + self.bundles.size()
            + self.members.size()
    }
}

impl Judgement {
    /// The stricter action wins, the first of equals.
    fn beats(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.action.kind(), other.action.kind());
        ours > theirs || (ours == theirs && self.line < other.line)
    }
}
