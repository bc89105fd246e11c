// SPDX-License-Identifier: GPL-2.0

//! What policies mean, as plainly as it can be said; nothing here is the engine's.

use super::names::{ARGUMENTS, SYSCALLS};
use std::sync::LazyLock;

const NEVER_JUDGED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

pub(super) const I386: usize = 1;
const X32: usize = 2;

#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) first_decides: bool,
    /// In the order of their lines. The first one need not be there.
    pub(super) defaults: Vec<Default>,
    pub(super) rules: Vec<Rule>,
}

/// Of an architecture or of all that have none, and for numbers above one or for all.
#[derive(Clone, Debug)]
pub(super) struct Default {
    pub(super) abi: Option<usize>,
    pub(super) above: Option<u16>,
    pub(super) actions: Vec<Action>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) syscall: Syscall,
    pub(super) conditions: Vec<Condition>,
    /// In the order of the canonical text.
    pub(super) actions: Vec<Action>,
    pub(super) when: Option<When>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Syscall {
    /// Where it is in the table of names.
    Named(usize),
    /// An architecture, and the number on it.
    Numbered(usize, u16),
    /// An architecture, and the first and the last number on it.
    Range(usize, u16, u16),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    pub(super) argument: usize,
    pub(super) width: Option<Width>,
    pub(super) mask: Option<u64>,
    pub(super) operator: Operator,
    pub(super) value: i128,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Width {
    pub(super) bits: u32,
    pub(super) is_signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Only(u32),
    From(u32),
    Every(u32, u32),
    Until(u32, u32),
    EveryUntil(u32, u32, u32),
    /// So many of a hundred, by a seed.
    Share(u64, u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Allow,
    Audit,
    Log,
    AfterDelay(u64),
    AfterReturn(i64),
    AfterErrno(u16),
    Set(usize, u64),
    SetBits(usize, u64),
    KeepBits(usize, u64),
    /// An argument, how many bytes, and these, the first one the highest.
    AfterPoke(usize, u8, u64),
    Poke(usize, u8, u64),
    Redirect(Syscall),
    Delay(u64),
    Return(i64),
    Errno(u16),
    Signal(u8),
    Trap(u16),
    KillThread,
    KillProcess,
}

pub(super) fn number_of(name: usize, abi: usize) -> Option<u16> {
    u16::try_from(SYSCALLS[name].1[abi]).ok()
}

pub(super) fn is_judged(abi: usize, nr: i32) -> bool {
    static NUMBERS: LazyLock<Vec<[i16; 3]>> = LazyLock::new(|| {
        let never = SYSCALLS
            .iter()
            .filter(|(name, _)| NEVER_JUDGED.contains(name));
        never.map(|(_, numbers)| *numbers).collect()
    });
    // What has no number there has -1, and that is judged.
    nr < 0 || !NUMBERS.iter().any(|numbers| i32::from(numbers[abi]) == nr)
}

impl Syscall {
    pub(super) fn is_for(self, abi: usize, nr: i32) -> bool {
        match self {
            Self::Named(name) => i32::from(SYSCALLS[name].1[abi]) == nr && nr >= 0,
            Self::Numbered(a, number) => a == abi && i32::from(number) == nr,
            Self::Range(a, first, last) => a == abi && (first.into()..=last.into()).contains(&nr),
        }
    }

    pub(super) fn number(self, abi: usize) -> Option<u16> {
        match self {
            Self::Named(name) => number_of(name, abi),
            Self::Numbered(a, number) => (a == abi).then_some(number),
            Self::Range(a, first, _) => (a == abi).then_some(first),
        }
    }

    /// What the kernel takes of an argument.
    pub(super) fn width(self, abi: usize, argument: usize) -> Width {
        let name = match self {
            Self::Named(name) => Some(name),
            Self::Numbered(a, number) => SYSCALLS.iter().position(|(_, n)| n[a] == number as i16),
            Self::Range(..) => None,
        };
        let digit = name.map_or(0, |name| ARGUMENTS[name][abi] >> (4 * argument) & 15);
        Width {
            bits: [64, 32, 16, 8][digit as usize / 2],
            is_signed: digit % 2 == 1,
        }
        .on(abi)
    }
}

impl Width {
    /// A register of i386 is what is left when the upper half is cut off, and no sign of the lower
    /// half reaches there.
    pub(super) fn on(self, abi: usize) -> Self {
        if abi == I386 && self.bits == 64 {
            return Self {
                bits: 32,
                is_signed: false,
            };
        }
        self
    }

    pub(super) fn max(self) -> i128 {
        (1 << (self.bits - u32::from(self.is_signed))) - 1
    }

    pub(super) fn min(self) -> i128 {
        if self.is_signed {
            -self.max() - 1
        } else {
            0
        }
    }

    fn bits_of(self, register: u64) -> i128 {
        i128::from(register) % (1 << self.bits)
    }

    fn value_of(self, register: u64) -> i128 {
        let bits = self.bits_of(register);
        if bits > self.max() {
            bits - (1 << self.bits)
        } else {
            bits
        }
    }
}

impl Condition {
    pub(super) fn width(&self, syscall: Syscall, abi: usize) -> Width {
        let own = syscall.width(abi, self.argument);
        self.width.map_or(own, |width| width.on(abi))
    }

    fn holds(&self, width: Width, register: u64) -> bool {
        let x = match self.mask {
            Some(mask) => width.bits_of(register) & i128::from(mask),
            None => width.value_of(register),
        };
        match self.operator {
            Operator::Equal => x == self.value,
            Operator::NotEqual => x != self.value,
            Operator::Less => x < self.value,
            Operator::LessOrEqual => x <= self.value,
            Operator::Greater => x > self.value,
            Operator::GreaterOrEqual => x >= self.value,
        }
    }

    /// Whether it may be said of an argument of this width.
    fn is_sensible_with(&self, width: Width) -> bool {
        let (min, max) = match self.mask {
            Some(mask) => (0, i128::from(mask)),
            None => (width.min(), width.max()),
        };
        let all = (1i128 << width.bits) - 1;
        let is_within = |mask| i128::from(mask) & self.value == self.value;
        (min..=max).contains(&self.value)
            && self.mask.is_none_or(|mask| i128::from(mask) <= all)
            && match self.operator {
                Operator::Equal | Operator::NotEqual => self.mask.is_none_or(is_within),
                Operator::Less => self.value > min,
                Operator::Greater => self.value < max,
                _ => true,
            }
    }

    /// Whether it may be said in a rule for these calls.
    pub(super) fn is_sensible(&self, syscall: Syscall) -> bool {
        let mut abis = (0..3).filter(|&abi| syscall.number(abi).is_some());
        abis.any(|abi| self.is_sensible_with(self.width(syscall, abi)))
    }
}

impl When {
    fn holds(self, count: u64) -> bool {
        match self {
            Self::Only(first) => count == u64::from(first),
            Self::From(first) => count >= u64::from(first),
            Self::Until(first, last) => (first.into()..=last.into()).contains(&count),
            Self::Every(first, step) => {
                let mut at = u64::from(first);
                while at < count {
                    at += u64::from(step);
                }
                at == count
            }
            Self::EveryUntil(first, last, step) => {
                count <= u64::from(last) && Self::Every(first, step).holds(count)
            }
            Self::Share(percent, seed) => scatter(scatter(seed.into()) ^ count) % 100 < percent,
        }
    }
}

/// What comes out of splitmix64 with this state.
fn scatter(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e3779b97f4a7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

impl Action {
    fn strictness(self) -> usize {
        match self {
            Self::Allow => 1,
            Self::Audit => 2,
            Self::Log => 3,
            Self::AfterDelay(_) => 4,
            Self::AfterReturn(_) => 5,
            Self::AfterErrno(_) => 6,
            Self::AfterPoke(..) => 7,
            Self::Poke(..) => 8,
            Self::Set(..) | Self::SetBits(..) | Self::KeepBits(..) => 9,
            Self::Redirect(_) => 10,
            Self::Delay(_) => 11,
            Self::Signal(_) => 12,
            Self::Return(_) => 13,
            Self::Errno(_) => 14,
            Self::Trap(_) => 15,
            Self::KillThread => 16,
            Self::KillProcess => 17,
        }
    }
}

impl Rule {
    /// As strict as the strictest of what it does.
    fn strictness(&self) -> usize {
        let actions = self.actions.iter();
        actions.map(|action| action.strictness()).max().unwrap()
    }

    fn holds(&self, count: &mut u64, abi: usize, nr: i32, arguments: &[u64; 6]) -> bool {
        let mut conditions = self.conditions.iter();
        if !self.syscall.is_for(abi, nr)
            || !conditions.all(|c| c.holds(c.width(self.syscall, abi), arguments[c.argument]))
        {
            return false;
        }
        *count += 1;
        self.when.is_none_or(|when| when.holds(*count))
    }
}

impl Policy {
    /// The lines before those of the rules.
    fn nr_defaults(&self) -> usize {
        let has_first = self.defaults.first().is_some_and(|d| d.is_first());
        self.defaults.len() + usize::from(!has_first)
    }

    /// Judges a call, and counts it for each rule whose conditions hold, up to the one that decides
    /// if the first one does: the actions, and the line of the canonical text that has them.
    pub(super) fn judge(
        &self,
        counts: &mut [u64],
        abi: usize,
        nr: i32,
        arguments: &[u64; 6],
    ) -> (Vec<Action>, Option<usize>) {
        if !is_judged(abi, nr) {
            return (vec![Action::Allow], None);
        }
        let mut best: Option<usize> = None;
        for (i, rule) in self.rules.iter().enumerate() {
            if self.first_decides && best.is_some() {
                break;
            }
            if !rule.holds(&mut counts[i], abi, nr, arguments) {
                continue;
            }
            if best.is_none_or(|best| rule.strictness() > self.rules[best].strictness()) {
                best = Some(i);
            }
        }
        if let Some(i) = best {
            return (self.rules[i].actions.clone(), Some(self.nr_defaults() + i));
        }
        let not_there = self.nr_defaults() - self.defaults.len();
        let mut wanted = [Some(abi), None]
            .into_iter()
            .flat_map(|abi| [(abi, true), (abi, false)]);
        let mut order: Vec<_> = wanted.by_ref().collect();
        // Above a number, for this architecture and then for all; then without a number.
        order.sort_by_key(|(_, is_above)| !is_above);
        for (wanted, is_above) in order {
            for (line, default) in self.defaults.iter().enumerate() {
                if default.abi == wanted
                    && default.above.is_some() == is_above
                    && default.above.is_none_or(|above| is_newer(abi, nr, above))
                {
                    return (default.actions.clone(), Some(line + not_there));
                }
            }
        }
        (vec![Action::Allow], Some(0))
    }
}

impl Default {
    pub(super) fn is_first(&self) -> bool {
        self.abi.is_none() && self.above.is_none()
    }
}

/// What a default above a number is for: higher ones, and those that no rule can have. The calls
/// that only x32 has are not new.
fn is_newer(abi: usize, nr: i32, above: u16) -> bool {
    let is_old = abi == X32 && (512..=547).contains(&nr);
    !is_old && (!(0..560).contains(&nr) || nr > above.into())
}
