// SPDX-License-Identifier: GPL-2.0

//! What must hold for a rule to give its action.

use core::fmt;

/// What conditions look at. Asked only about calls that have any.
pub(crate) trait Call {
    /// An argument, from 0.
    fn argument(&self, index: u8) -> u64;
}

/// How an argument compares with a value; both are unsigned and have 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The bits of the argument that are in the mask are those of the value.
    MaskedEqual,
}

impl Comparison {
    /// All but the masked one, which takes more words.
    const PLAIN: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// The word for it in rules.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal | Self::MaskedEqual => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::PLAIN.into_iter().find(|c| c.name() == name)
    }
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
    /// All ones unless the comparison is the masked one.
    pub(super) mask: u64,
    pub(super) value: u64,
}

impl Condition {
    #[inline(always)]
    pub(super) fn holds(&self, call: &impl Call) -> bool {
        let argument = call.argument(self.argument) & self.mask;
        match self.comparison {
            Comparison::Equal | Comparison::MaskedEqual => argument == self.value,
            Comparison::NotEqual => argument != self.value,
            Comparison::Less => argument < self.value,
            Comparison::LessOrEqual => argument <= self.value,
            Comparison::Greater => argument > self.value,
            Comparison::GreaterOrEqual => argument >= self.value,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arg{}", self.argument)?;
        let comparison = self.comparison.name();
        if self.comparison == Comparison::MaskedEqual {
            write!(f, " & {:#x} {comparison} {:#x}", self.mask, self.value)
        } else {
            write!(f, " {comparison} {}", self.value)
        }
    }
}

/// For which of the calls that a rule is for, counted from 1, it gives its action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    pub(super) first: u16,
    /// How many calls there are from one to the next; 0 for no next.
    pub(super) step: u16,
}

impl When {
    pub(super) fn holds(self, call: u64) -> bool {
        match call.checked_sub(u64::from(self.first)) {
            None => false,
            Some(0) => true,
            Some(since) => self.step != 0 && since % u64::from(self.step) == 0,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " when {}", self.first)?;
        match self.step {
            0 => Ok(()),
            1 => f.write_str("+"),
            step => write!(f, "+{step}"),
        }
    }
}
