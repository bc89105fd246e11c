// SPDX-License-Identifier: GPL-2.0

//! Actions, as rules give them.

use super::{calls::Calls, names};
use core::fmt;

/// What is to become of a call, from the most lenient to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The call is made.
    Allow,
    /// The call is made, and a line is logged.
    Log,
    /// The call is made, and returns this value instead of its own.
    AfterReturn(i64),
    /// The call is made, and fails with this error number whatever it did.
    AfterErrno(u16),
    /// The call is made with this argument.
    Set { argument: u8, value: u64 },
    /// Another call is made.
    Redirect(Calls),
    /// The call is made after so many nanoseconds.
    Delay(u64),
    /// The call is not made and returns this value.
    Return(i64),
    /// The call is not made and fails with this error number.
    Errno(u16),
    /// The call is not made, and the thread gets this signal.
    Signal(u8),
    /// The call is not made, and the thread gets a SIGSYS with this value.
    Trap(u16),
    /// The thread dies.
    KillThread,
    /// The process dies.
    KillProcess,
}

impl Action {
    /// The words for it in rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Log => "log",
            Self::AfterReturn(_) => "after return",
            Self::AfterErrno(_) => "after errno",
            Self::Set { .. } => "set",
            Self::Redirect(_) => "redirect",
            Self::Delay(_) => "delay",
            Self::Return(_) => "return",
            Self::Errno(_) => "errno",
            Self::Signal(_) => "signal",
            Self::Trap(_) => "trap",
            Self::KillThread => "kill_thread",
            Self::KillProcess => "kill_process",
        }
    }

    /// The stricter of two actions wins. Equal for actions that differ in their value only.
    pub(crate) fn strictness(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::AfterReturn(_) => 2,
            Self::AfterErrno(_) => 3,
            Self::Set { .. } => 4,
            Self::Redirect(_) => 5,
            Self::Delay(_) => 6,
            Self::Return(_) => 7,
            Self::Errno(_) => 8,
            Self::Signal(_) => 9,
            Self::Trap(_) => 10,
            Self::KillThread => 11,
            Self::KillProcess => 12,
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

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match *self {
            Self::Allow | Self::Log | Self::Trap(0) | Self::KillThread | Self::KillProcess => {
                Ok(())
            }
            Self::Return(value) | Self::AfterReturn(value) => write!(f, " {value}"),
            Self::Errno(errno) | Self::AfterErrno(errno) => match names::errno_name(errno) {
                Some(name) => write!(f, " {name}"),
                None => write!(f, " {errno}"),
            },
            Self::Set { argument, value } => write!(f, " arg{argument} {value}"),
            Self::Redirect(calls) => write!(f, " {calls}"),
            Self::Delay(nanos) => {
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
