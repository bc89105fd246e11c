// SPDX-License-Identifier: GPL-2.0

//! Verdicts, as rules give them.

use super::names;
use core::fmt;

/// What is to become of a call, from the most lenient to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The call is made.
    Allow,
    /// The call is made, and a line is logged.
    Log,
    /// The call is not made and returns this value.
    Return(i64),
    /// The call is not made and fails with this error number.
    Errno(u16),
}

impl Verdict {
    /// The word for it in rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Log => "log",
            Self::Return(_) => "return",
            Self::Errno(_) => "errno",
        }
    }

    /// The stricter of two verdicts wins. Equal for verdicts that differ in their value only.
    pub(crate) fn strictness(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::Return(_) => 2,
            Self::Errno(_) => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match *self {
            Self::Allow | Self::Log => Ok(()),
            Self::Return(value) => write!(f, " {value}"),
            Self::Errno(errno) => match names::errno_name(errno) {
                Some(name) => write!(f, " {name}"),
                None => write!(f, " {errno}"),
            },
        }
    }
}
