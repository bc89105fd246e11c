// SPDX-License-Identifier: GPL-2.0

//! Rules, ready to judge calls.

use super::{
    arch::Arch,
    calls::{Calls, WithArch},
    condition::{Call, Condition, When},
    list::List,
    table::{Entry, Kind, Table},
    verdict::Verdict, //
};
use core::fmt;

/// What the rules say about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// Which line of the canonical text decided, from 0; [`None`] for what is never judged.
    pub(crate) line: Option<usize>,
}

/// A rule. Its parts are in other lists, and shared where they are the same.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) calls: Calls,
    /// Where its verdict is or, with [`CONDITIONAL`] set, its conditions.
    pub(super) body: u16,
}

pub(super) const CONDITIONAL: u16 = 1 << 15;

/// What makes a rule conditional.
#[derive(Clone, Copy)]
pub(super) struct Conditional {
    /// Which of the rules it is.
    pub(super) rule: u16,
    pub(super) verdict: u16,
    pub(super) first_condition: u16,
    pub(super) nr_conditions: u8,
    /// One more than the counter, or 0.
    pub(super) when: u8,
}

/// The rules for a call that has conditional ones.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// What decides where no condition holds: a line.
    pub(super) otherwise: Entry,
    pub(super) first_member: u16,
    /// The only condition of the only rule, if there are no more.
    pub(super) condition: u16,
}

/// The last member of a group has this bit set.
pub(super) const LAST: u16 = 1 << 15;

/// A policy's rules.
pub(crate) struct RuleSet {
    pub(super) table: Table,
    pub(super) default: Verdict,
    pub(super) arch_defaults: [Option<Verdict>; Arch::ALL.len()],
    /// The line of the first rule: those of the defaults come before.
    pub(super) first_rule: usize,
    pub(super) rules: List<Rule>,
    pub(super) verdicts: List<Verdict>,
    pub(super) conditional: List<Conditional>,
    pub(super) conditions: List<Condition>,
    pub(super) whens: List<When>,
    pub(super) groups: List<Group>,
    /// Where conditional rules are, group by group.
    pub(super) members: List<u16>,
}

/// A line of the canonical text.
enum Line<'a> {
    Default,
    ArchDefault(Arch, Verdict),
    Rule(&'a Rule),
}

/// The architectures that have a default of their own, in order.
fn own_defaults(
    defaults: &[Option<Verdict>; Arch::ALL.len()],
) -> impl Iterator<Item = (Arch, Verdict)> + '_ {
    Arch::ALL
        .into_iter()
        .filter_map(|arch| Some((arch, defaults[arch as usize]?)))
}

/// The line of the first rule: those of the defaults come before.
pub(super) fn first_rule(defaults: &[Option<Verdict>; Arch::ALL.len()]) -> usize {
    1 + own_defaults(defaults).count()
}

/// The line that has the default of an architecture.
pub(super) fn default_line(defaults: &[Option<Verdict>; Arch::ALL.len()], arch: Arch) -> usize {
    let own = own_defaults(defaults).position(|(a, _)| a == arch);
    own.map_or(0, |i| i + 1)
}

impl RuleSet {
    /// The line that allows a call, if none gives another verdict: nothing is to be done or counted
    /// but the line's hit. Only for calls that rules can name.
    #[inline(always)]
    pub(crate) fn line_that_allows(&self, arch: Arch, nr: i32, call: &impl Call) -> Option<usize> {
        match self.table.get_named(arch, nr)?.kind() {
            Kind::Allow(line) => Some(line),
            Kind::Single(group) => {
                let group = self.groups.get(group)?;
                let condition = self.conditions.get(usize::from(group.condition))?;
                match group.otherwise.kind() {
                    Kind::Allow(line) if !condition.holds(call) => Some(line),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The rule without conditions that alone decides about a call that rules can name, and its
    /// line, if one does.
    #[inline]
    pub(crate) fn rule_that_decides(&self, arch: Arch, nr: i32) -> Option<(usize, Verdict)> {
        match self.table.get_named(arch, nr)?.kind() {
            Kind::Constant(line) => {
                let rule = self.rules.get(line.checked_sub(self.first_rule)?)?;
                Some((line, *self.verdicts.get(usize::from(rule.body))?))
            }
            _ => None,
        }
    }

    /// Judges a call.
    pub(crate) fn judge(&self, arch: Arch, nr: i32, call: &impl Call) -> Judgement {
        match self.table.get(arch, nr).kind() {
            Kind::Allow(line) | Kind::Constant(line) => self.judge_by(line),
            Kind::Group(group) | Kind::Single(group) => match self.groups.get(group) {
                Some(group) => self.judge_by_group(group, call),
                None => self.judge_by(0),
            },
            Kind::Unjudged => Judgement {
                verdict: Verdict::Allow,
                line: None,
            },
        }
    }

    #[inline]
    fn judge_by(&self, line: usize) -> Judgement {
        let rule = line.checked_sub(self.first_rule);
        Judgement {
            verdict: match rule.and_then(|rule| self.rules.get(rule)) {
                Some(rule) => self.verdict(rule),
                None => self.default_of_line(line),
            },
            line: Some(line),
        }
    }

    #[inline(never)]
    fn judge_by_group(&self, group: &Group, call: &impl Call) -> Judgement {
        let otherwise = match group.otherwise.kind() {
            Kind::Allow(line) | Kind::Constant(line) => line,
            _ => 0,
        };
        // A default is for calls that no rule is for.
        let mut best = None;
        if otherwise >= self.first_rule {
            best = Some(self.judge_by(otherwise));
        }
        for conditional in self.members_of(group) {
            if self.holds(conditional, call) {
                let judgement = Judgement {
                    verdict: self.verdict_at(conditional.verdict),
                    line: Some(self.first_rule + usize::from(conditional.rule)),
                };
                if best.is_none_or(|best| judgement.beats(&best)) {
                    best = Some(judgement);
                }
            }
        }
        match best {
            Some(best) => best,
            None => self.judge_by(otherwise),
        }
    }

    /// The conditional rules of a group.
    #[inline]
    fn members_of(&self, group: &Group) -> impl Iterator<Item = &Conditional> + '_ {
        let mut next = Some(usize::from(group.first_member));
        core::iter::from_fn(move || {
            let at = next?;
            let member = *self.members.get(at)?;
            next = (member & LAST == 0).then_some(at + 1);
            self.conditional.get(usize::from(member & !LAST))
        })
    }

    /// Whether a rule is to give its verdict on a call, which is counted if it is to be.
    #[inline]
    fn holds(&self, conditional: &Conditional, call: &impl Call) -> bool {
        let mut conditions = self.conditions_of(conditional).iter();
        conditions.all(|condition| condition.holds(call))
            && match self.when_of(conditional) {
                Some((counter, when)) => when.holds(call.count(counter)),
                None => true,
            }
    }

    fn line(&self, line: usize) -> Line<'_> {
        let rule = line.checked_sub(self.first_rule);
        if let Some(rule) = rule.and_then(|i| self.rules.get(i)) {
            return Line::Rule(rule);
        }
        let own = line.checked_sub(1);
        match own.and_then(|i| own_defaults(&self.arch_defaults).nth(i)) {
            Some((arch, verdict)) => Line::ArchDefault(arch, verdict),
            None => Line::Default,
        }
    }

    #[inline(never)]
    fn default_of_line(&self, line: usize) -> Verdict {
        match self.line(line) {
            Line::ArchDefault(_, verdict) => verdict,
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
    fn verdict_at(&self, index: u16) -> Verdict {
        // All indices are valid; nothing weaker may come of it if one were not.
        match self.verdicts.get(usize::from(index)) {
            Some(verdict) => *verdict,
            None => Verdict::KillProcess,
        }
    }

    #[inline]
    fn verdict(&self, rule: &Rule) -> Verdict {
        let index = self.conditional_of(rule).map_or(rule.body, |c| c.verdict);
        self.verdict_at(index)
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

    /// How many counters [`Call::count`] may be asked for.
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
            Line::ArchDefault(arch, verdict) => {
                return write!(out, "default arch {} {verdict}", arch.name())
            }
            Line::Rule(rule) => rule,
        };
        write!(out, "{}", WithArch(rule.calls))?;
        let conditional = self.conditional_of(rule);
        for condition in conditional.map_or(&[][..], |c| self.conditions_of(c)) {
            write!(out, " {condition}")?;
        }
        write!(out, " {}", self.verdict(rule))?;
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
            + self.verdicts.size()
            + self.conditional.size()
            + self.conditions.size()
            + self.whens.size()
            + self.groups.size()
            + self.members.size()
    }
}

impl Judgement {
    /// The stricter verdict wins, the first of equals.
    fn beats(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.verdict.strictness(), other.verdict.strictness());
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
