// SPDX-License-Identifier: GPL-2.0

//! Rules, ready to judge calls.

use super::{
    abi::Abi,
    action::Action, //
    calls::{Calls, WithAbi},
    condition::{Call, Condition, When},
    list::List,
    table::{Kind, Slot, Table},
};
use core::fmt;

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
}

/// The rules for a call that has conditional ones.
#[derive(Clone, Copy)]
pub(super) struct Bundle {
    /// What decides where no condition holds: a line.
    pub(super) otherwise: Slot,
    pub(super) first_member: u16,
    /// The only condition of the only rule, if there are no more.
    pub(super) condition: u16,
}

/// The last member of a bundle has this bit set.
pub(super) const LAST: u16 = 1 << 15;

/// A policy's rules.
pub(crate) struct RuleSet {
    pub(super) table: Table,
    pub(super) default: Action,
    pub(super) abi_defaults: [Option<Action>; Abi::ALL.len()],
    /// The line of the first rule: those of the defaults come before.
    pub(super) first_rule: usize,
    pub(super) rules: List<Rule>,
    pub(super) actions: List<Action>,
    pub(super) conditional: List<Conditional>,
    pub(super) conditions: List<Condition>,
    pub(super) whens: List<When>,
    pub(super) bundles: List<Bundle>,
    /// Where conditional rules are, bundle by bundle.
    pub(super) members: List<u16>,
}

/// A line of the canonical text.
enum Line<'a> {
    Default,
    AbiDefault(Abi, Action),
    Rule(&'a Rule),
}

/// The architectures that have a default of their own, in order.
fn own_defaults(
    defaults: &[Option<Action>; Abi::ALL.len()],
) -> impl Iterator<Item = (Abi, Action)> + '_ {
    Abi::ALL
        .into_iter()
        .filter_map(|abi| Some((abi, defaults[abi as usize]?)))
}

/// The line of the first rule: those of the defaults come before.
pub(super) fn first_rule(defaults: &[Option<Action>; Abi::ALL.len()]) -> usize {
    1 + own_defaults(defaults).count()
}

/// The line that has the default of an architecture.
pub(super) fn default_line(defaults: &[Option<Action>; Abi::ALL.len()], abi: Abi) -> usize {
    let own = own_defaults(defaults).position(|(a, _)| a == abi);
    own.map_or(0, |i| i + 1)
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
                Some(bundle) => return self.judge_by_bundle(bundle, call, count),
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
            if self.holds(conditional, call, &count)? {
                let judgement = Judgement {
                    action: self.action_at(conditional.action),
                    line: Some(self.first_rule + usize::from(conditional.rule)),
                };
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
        call: &impl Call,
        count: impl Fn(usize) -> Result<u64, E>,
    ) -> Result<bool, E> {
        let mut conditions = self.conditions_of(conditional).iter();
        if !conditions.all(|condition| condition.holds(call)) {
            return Ok(false);
        }
        match self.when_of(conditional) {
            Some((counter, when)) => Ok(when.holds(count(counter)?)),
            None => Ok(true),
        }
    }

    fn line(&self, line: usize) -> Line<'_> {
        let rule = line.checked_sub(self.first_rule);
        if let Some(rule) = rule.and_then(|i| self.rules.get(i)) {
            return Line::Rule(rule);
        }
        let own = line.checked_sub(1);
        match own.and_then(|i| own_defaults(&self.abi_defaults).nth(i)) {
            Some((abi, action)) => Line::AbiDefault(abi, action),
            None => Line::Default,
        }
    }

    #[inline(never)]
    fn default_of_line(&self, line: usize) -> Action {
        match self.line(line) {
            Line::AbiDefault(_, action) => action,
            _ => self.default,
        }
    }

    fn conditional_of(&self, rule: &Rule) -> Option<&Conditional> {
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
    fn action(&self, rule: &Rule) -> Action {
        let index = self.conditional_of(rule).map_or(rule.body, |c| c.action);
        self.action_at(index)
    }

    #[inline]
    fn conditions_of(&self, conditional: &Conditional) -> &[Condition] {
        let first = usize::from(conditional.first_condition);
        let end = first + usize::from(conditional.nr_conditions);
        self.conditions.get(first..end).unwrap_or_default()
    }

    #[inline]
    fn when_of(&self, conditional: &Conditional) -> Option<(usize, When)> {
        let counter = usize::from(conditional.when).checked_sub(1)?;
        Some((counter, *self.whens.get(counter)?))
    }

    /// How many counters [`Self::judge`] may ask for.
    pub(crate) fn nr_counters(&self) -> usize {
        self.whens.len()
    }

    /// How many lines the canonical text has.
    pub(crate) fn nr_lines(&self) -> usize {
        self.first_rule + self.rules.len()
    }

    /// Writes one line of the canonical text, without its end.
    pub(crate) fn fmt_line(&self, line: usize, out: &mut impl fmt::Write) -> fmt::Result {
        let rule = match self.line(line) {
            Line::Default => return write!(out, "default {}", self.default),
            Line::AbiDefault(abi, action) => {
                return write!(out, "default arch {} {action}", abi.name())
            }
            Line::Rule(rule) => rule,
        };
        write!(out, "{}", WithAbi(rule.calls))?;
        let conditional = self.conditional_of(rule);
        for condition in conditional.map_or(&[][..], |c| self.conditions_of(c)) {
            write!(out, " {condition}")?;
        }
        write!(out, " {}", self.action(rule))?;
        match conditional.and_then(|c| self.when_of(c)) {
            Some((_, when)) => write!(out, "{when}"),
            None => Ok(()),
        }
    }

    /// The memory that the rules take, in bytes.
    #[cfg(not(CONFIG_RUST))]
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + super::table::SIZE
            + self.rules.size()
            + self.actions.size()
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
        let (ours, theirs) = (self.action.strictness(), other.action.strictness());
        ours > theirs || (ours == theirs && self.line < other.line)
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
