// SPDX-License-Identifier: GPL-2.0

//! Actions, as rules give them.

use super::{calls::Calls, names};
use core::fmt;

/// What is done, whatever the values are: from the most lenient to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Allow,
    Audit,
    Log,
    AfterDelay,
    AfterReturn,
    AfterErrno,
    AfterPoke,
    Poke,
    Set,
    Redirect,
    Delay,
    Signal,
    Return,
    Errno,
    Trap,
    KillThread,
    KillProcess,
}

impl Kind {
    /// The words for it in rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Audit => "audit",
            Self::Log => "log",
            Self::AfterDelay => "after delay",
            Self::AfterReturn => "after return",
            Self::AfterErrno => "after errno",
            Self::AfterPoke => "after poke",
            Self::Poke => "poke",
            Self::Set => "set",
            Self::Redirect => "redirect",
            Self::Delay => "delay",
            Self::Signal => "signal",
            Self::Return => "return",
            Self::Errno => "errno",
            Self::Trap => "trap",
            Self::KillThread => "kill_thread",
            Self::KillProcess => "kill_process",
        }
    }

    /// Whether there is an audit record without anybody asking for one.
    pub(super) fn is_audited(self) -> bool {
        matches!(self, Self::Log | Self::KillThread | Self::KillProcess)
    }

    /// Whether there is no call any more.
    pub(super) fn is_refusal(self) -> bool {
        self >= Self::Return
    }

    /// Whether it says what the program gets in place of the call's result.
    pub(super) fn is_result(self) -> bool {
        self.is_refusal() || matches!(self, Self::AfterReturn | Self::AfterErrno)
    }
}

/// How an argument is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It becomes the value.
    Assign,
    /// The bits of the value are set in it.
    Or,
    /// Only the bits of the value are left of it.
    And,
}

impl Change {
    /// What becomes of an argument.
    #[cfg_attr(not(CONFIG_RUST), allow(dead_code))]
    pub(crate) fn of(self, argument: u64, value: u64) -> u64 {
        match self {
            Self::Assign => value,
            Self::Or => argument | value,
            Self::And => argument & value,
        }
    }
}

/// The argument, and where the bytes are that are written: see
/// [`RuleSet::bytes`](super::RuleSet::bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poke {
    pub(crate) argument: u8,
    pub(super) len: u8,
    pub(super) first: u16,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The call is made.
    Allow,
    /// The call is made, and an audit record says so.
    Audit,
    /// The same, and a line is logged.
    Log,
    /// The call is made, and returns so many nanoseconds later.
    AfterDelay(u64),
    /// The call is made, and returns this value instead of its own.
    AfterReturn(i64),
    /// The call is made, and fails with this error number whatever it did.
    AfterErrno(u16),
    /// What an argument points to is overwritten when the call returns.
    AfterPoke(Poke),
    /// What an argument points to is overwritten before.
    Poke(Poke),
    /// The call is made with another argument.
    Set {
        argument: u8,
        change: Change,
        value: u64,
    },
    /// Another call is made.
    Redirect(Calls),
    /// The call is made after so many nanoseconds.
    Delay(u64),
    /// The call is made, and the thread gets this signal.
    Signal(u8),
    /// The call is not made and returns this value.
    Return(i64),
    /// The call is not made and fails with this error number.
    Errno(u16),
    /// The call is not made, and the thread gets a SIGSYS with this value.
    Trap(u16),
    /// The thread dies.
    KillThread,
    /// The process dies.
    KillProcess,
    /// Several of these: what [`RuleSet::steps`](super::RuleSet::steps) has, of which this is the
    /// strictest.
    Several { first: u16, count: u8, kind: Kind },
}

impl Action {
    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Allow => Kind::Allow,
            Self::Audit => Kind::Audit,
            Self::Log => Kind::Log,
            Self::AfterDelay(_) => Kind::AfterDelay,
            Self::AfterReturn(_) => Kind::AfterReturn,
            Self::AfterErrno(_) => Kind::AfterErrno,
            Self::AfterPoke(_) => Kind::AfterPoke,
            Self::Poke(_) => Kind::Poke,
            Self::Set { .. } => Kind::Set,
            Self::Redirect(_) => Kind::Redirect,
            Self::Delay(_) => Kind::Delay,
            Self::Signal(_) => Kind::Signal,
            Self::Return(_) => Kind::Return,
            Self::Errno(_) => Kind::Errno,
            Self::Trap(_) => Kind::Trap,
            Self::KillThread => Kind::KillThread,
            Self::KillProcess => Kind::KillProcess,
            Self::Several { kind, .. } => kind,
        }
    }
}

/// Units of time, the largest first, and the nanoseconds that each has.
pub(super) const UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// Of one that is not several; without the bytes of a poke.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        match *self {
            Self::Allow
            | Self::Audit
            | Self::Log
            | Self::Trap(0)
            | Self::KillThread
            | Self::KillProcess
            | Self::Several { .. } => Ok(()),
            Self::Poke(poke) | Self::AfterPoke(poke) => write!(f, " arg{}", poke.argument),
            Self::Return(value) | Self::AfterReturn(value) => write!(f, " {value}"),
            Self::Errno(errno) | Self::AfterErrno(errno) => match names::errno_name(errno) {
                Some(name) => write!(f, " {name}"),
                None => write!(f, " {errno}"),
            },
            Self::Set {
                argument,
                change,
                value,
            } => match change {
                Change::Assign => write!(f, " arg{argument} {value}"),
                Change::Or => write!(f, " arg{argument} | {value:#x}"),
                Change::And => write!(f, " arg{argument} & {value:#x}"),
            },
            Self::Redirect(calls) => write!(f, " {calls}"),
            Self::Delay(nanos) | Self::AfterDelay(nanos) => {
                let mut units = UNITS.iter();
                let whole = units.find(|(_, unit)| nanos.checked_rem(*unit) == Some(0));
                let (name, unit) = whole.unwrap_or(&("ns", 1));
                write!(f, " {}{name}", nanos.checked_div(*unit).unwrap_or(nanos))
            }
            Self::Signal(signal) => match names::signal_name(signal) {
                Some(name) => write!(f, " {name}"),
                None => write!(f, " {signal}"),
            },
            Self::Trap(data) => write!(f, " {data}"),
        }
    }
}
