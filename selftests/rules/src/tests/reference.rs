// SPDX-License-Identifier: GPL-2.0

//! What policies mean, as plainly as it can be said; nothing here is the engine's.

use super::names::SYSCALLS;
use std::sync::LazyLock;

const NEVER_JUDGED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) default: Option<Action>,
    pub(super) abi_defaults: [Option<Action>; 3],
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) syscall: Syscall,
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
    pub(super) when: Option<When>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Syscall {
    /// Where it is in the table of names.
    Named(usize),
    /// An architecture, and the number on it.
    Numbered(usize, u16),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    pub(super) argument: usize,
    pub(super) test: Test,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    Masked(u64, u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Only(u32),
    From(u32),
    Every(u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Allow,
    Log,
    AfterReturn(i64),
    AfterErrno(u16),
    Set(usize, u64),
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
    pub(super) fn number(self, abi: usize) -> Option<u16> {
        match self {
            Self::Named(name) => number_of(name, abi),
            Self::Numbered(a, number) => (a == abi).then_some(number),
        }
    }
}

impl Test {
    fn holds(self, x: u64) -> bool {
        match self {
            Self::Equal(value) => x == value,
            Self::NotEqual(value) => x != value,
            Self::Less(value) => x < value,
            Self::LessOrEqual(value) => x <= value,
            Self::Greater(value) => x > value,
            Self::GreaterOrEqual(value) => x >= value,
            Self::Masked(mask, value) => x & mask == value,
        }
    }
}

impl When {
    fn holds(self, count: u64) -> bool {
        match self {
            Self::Only(first) => count == u64::from(first),
            Self::From(first) => count >= u64::from(first),
            Self::Every(first, step) => {
                let mut at = u64::from(first);
                while at < count {
                    at += u64::from(step);
                }
                at == count
            }
        }
    }
}

impl Action {
    fn strictness(self) -> usize {
        match self {
            Self::Allow => 1,
            Self::Log => 2,
            Self::AfterReturn(_) => 3,
            Self::AfterErrno(_) => 4,
            Self::Set(..) => 5,
            Self::Redirect(_) => 6,
            Self::Delay(_) => 7,
            Self::Return(_) => 8,
            Self::Errno(_) => 9,
            Self::Signal(_) => 10,
            Self::Trap(_) => 11,
            Self::KillThread => 12,
            Self::KillProcess => 13,
        }
    }
}

impl Policy {
    /// Judges a call, and counts it for each rule whose conditions hold: the action, and the line
    /// of the canonical text that has it.
    pub(super) fn judge(
        &self,
        counts: &mut [u64],
        abi: usize,
        nr: i32,
        arguments: &[u64; 6],
    ) -> (Action, Option<usize>) {
        if !is_judged(abi, nr) {
            return (Action::Allow, None);
        }
        let mut best: Option<usize> = None;
        for (i, rule) in self.rules.iter().enumerate() {
            let mut conditions = rule.conditions.iter();
            if rule.syscall.number(abi).map(i32::from) != Some(nr)
                || !conditions.all(|c| c.test.holds(arguments[c.argument]))
            {
                continue;
            }
            counts[i] += 1;
            if rule.when.is_some_and(|when| !when.holds(counts[i])) {
                continue;
            }
            let stricter = match best {
                None => true,
                Some(best) => rule.action.strictness() > self.rules[best].action.strictness(),
            };
            if stricter {
                best = Some(i);
            }
        }
        // The lines of the defaults come first.
        let own_defaults = |abis| self.abi_defaults[..abis].iter().flatten().count();
        match (best, self.abi_defaults[abi], self.default) {
            (Some(i), ..) => (self.rules[i].action, Some(1 + own_defaults(3) + i)),
            (None, Some(action), _) => (action, Some(1 + own_defaults(abi))),
            (None, None, Some(action)) => (action, Some(0)),
            (None, None, None) => (Action::Allow, Some(0)),
        }
    }
}
