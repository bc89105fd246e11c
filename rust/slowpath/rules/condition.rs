// SPDX-License-Identifier: GPL-2.0

//! What the arguments of a call must be for a rule to give its action.

use super::{abi::Abi, calls::Calls, width::Width};
use core::fmt;

/// What conditions look at. Asked only about calls that have any.
pub(crate) trait Call {
    /// A register that has an argument, counted from 0; of i386, zeros above 32 bits.
    fn argument(&self, index: u8) -> u64;
}

/// How an argument compares with a value. The most usual one is 0, and found first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    const NAMES: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
    ];

    /// The word for it in rules.
    fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names.find(|c| c.1 == self).map_or("?", |c| c.0)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|c| c.0 == name).map(|c| c.1)
    }

    /// Whether it is about the order, and not only whether both are the same.
    fn orders(self) -> bool {
        self != Self::Equal && self != Self::NotEqual
    }

    /// Whether it holds if all arguments are greater than the value, or all less. Those that are
    /// never equal may as well be either.
    fn holds_where_all_are(self, greater: bool) -> bool {
        match self {
            Self::Equal => false,
            Self::NotEqual => true,
            Self::Less | Self::LessOrEqual => !greater,
            Self::Greater | Self::GreaterOrEqual => greater,
        }
    }
}

/// A condition, as a rule says it: an argument, or what a mask leaves of it, and a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) argument: u8,
    /// Where it is not to be the call's own.
    pub(super) width: Option<Width>,
    pub(super) mask: Option<u64>,
    pub(super) comparison: Comparison,
    pub(super) value: i128,
    /// Where they are in the line.
    pub(super) at_mask: usize,
    pub(super) at_value: usize,
}

impl Said {
    /// The width that it goes by on an architecture.
    fn width(&self, calls: Calls, abi: Abi) -> Option<Width> {
        let own = calls.width(abi, self.argument)?;
        Some(self.width.map_or(own, |width| width.on(abi)))
    }

    /// Says where and why it makes no sense, if it does on none of the architectures of a rule.
    pub(super) fn check(&self, calls: Calls) -> Result<(), (usize, &'static str)> {
        let mut first = Ok(());
        for abi in Abi::ALL {
            let Some(width) = self.width(calls, abi) else {
                continue;
            };
            match self.check_width(width) {
                Ok(()) => return Ok(()),
                Err(why) => first = first.and(Err(why)),
            }
        }
        first
    }

    fn check_width(&self, width: Width) -> Result<(), (usize, &'static str)> {
        let (min, max) = match self.mask {
            None => (width.min(), width.max()),
            Some(mask) if mask & !width.mask() != 0 => {
                let reason = "the mask has bits that the argument does not have";
                return Err((self.at_mask, reason));
            }
            Some(mask) => (0, i128::from(mask)),
        };
        let is_outside = |mask: u64| i128::from(mask) & self.value != self.value;
        let reason = if self.value < 0 && min == 0 {
            "negative, and the argument has no sign"
        } else if !self.comparison.orders() && self.mask.is_some_and(is_outside) {
            "never equal: it has bits outside of the mask"
        } else if self.value < min || self.value > max {
            "out of the range of the argument"
        } else if self.comparison == Comparison::Less && self.value == min
            || self.comparison == Comparison::Greater && self.value == max
        {
            "holds for no value"
        } else {
            return Ok(());
        };
        Err((self.at_value, reason))
    }

    /// The test that it is for the calls of a rule on an architecture; [`None`] if the rule is not
    /// for that.
    pub(super) fn on(&self, calls: Calls, abi: Abi) -> Option<Condition> {
        let mut width = self.width(calls, abi)?;
        // One test is to do for all, as far as that goes.
        for other in [Abi::X86_64, Abi::X32] {
            if let Some(other) = self.width(calls, other) {
                width = width.as_wide_as(other, abi);
            }
        }
        // The canonical text has a width only where it is not that of each call anyway.
        let shown = self.width.filter(|width| {
            Abi::ALL.into_iter().any(|abi| {
                let own = calls.width(abi, self.argument);
                own.is_some_and(|own| own != width.on(abi))
            })
        });
        Some(self.with_width(width, shown))
    }

    fn with_width(&self, width: Width, shown: Option<Width>) -> Condition {
        let mask = self.mask.unwrap_or(u64::MAX) & width.mask();
        let (min, max) = match self.mask {
            None => (width.min(), width.max()),
            Some(_) => (0, i128::from(mask)),
        };
        let mut form = shown.map_or(0, |shown| shown.packed() + 1);
        if self.check_width(width).is_err() {
            form |= HIDDEN;
        }
        if self.mask.is_some() {
            form |= MASKED;
        } else if width.is_signed() {
            form |= SIGNED;
        }
        let is_outside = i128::from(mask) & self.value != self.value;
        let is_never_equal = self.mask.is_some() && !self.comparison.orders() && is_outside;
        if self.value < min || self.value > max || is_never_equal {
            // Of nothing of the argument, so that it always holds, or never.
            let holds = self.comparison.holds_where_all_are(self.value < min);
            return Condition {
                argument: self.argument,
                comparison: if holds {
                    Comparison::Equal
                } else {
                    Comparison::NotEqual
                },
                sign: Sign::None,
                form,
                mask: 0,
                value: 0,
            };
        }
        // CAST: Keeps the bits.
        let mut value = self.value as u64 & width.mask();
        let mut sign = Sign::None;
        if form & SIGNED != 0 && self.comparison.orders() {
            sign = Sign::of(width);
            value ^= sign.bit();
        }
        Condition {
            argument: self.argument,
            comparison: self.comparison,
            sign,
            form,
            mask,
            value,
        }
    }
}

/// The sign that is flipped, in the argument as in the value: signed numbers order as unsigned ones
/// do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// They are not signed, or the order does not matter.
    None,
    Of64,
    Of32,
    Of16,
    Of8,
}

impl Sign {
    fn of(width: Width) -> Self {
        let mut all = [Self::Of64, Self::Of32, Self::Of16, Self::Of8].into_iter();
        let sign = all.find(|sign| sign.bit() == width.sign());
        sign.unwrap_or(Self::None)
    }

    #[inline(always)]
    fn bit(self) -> u64 {
        // Looked up without a branch: that would take registers, and so a stack frame, of a call
        // that is allowed.
        const BITS: [u64; 5] = [0, 1 << 63, 1 << 31, 1 << 15, 1 << 7];

        BITS[self as usize]
    }
}

/// In the form, above the width that is shown, of which it has one more, or 0.
const MASKED: u8 = 1 << 4;
const SIGNED: u8 = 1 << 5;
/// This is not what was said, but what it comes to on another architecture.
const HIDDEN: u8 = 1 << 6;

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    argument: u8,
    comparison: Comparison,
    sign: Sign,
    /// How it is written.
    form: u8,
    /// What is looked at: bits that the argument has, or some of them.
    mask: u64,
    value: u64,
}

impl Condition {
    #[inline(always)]
    pub(super) fn holds(&self, call: &impl Call) -> bool {
        let argument = (call.argument(self.argument) & self.mask) ^ self.sign.bit();
        match self.comparison {
            Comparison::Equal => argument == self.value,
            Comparison::NotEqual => argument != self.value,
            Comparison::Less => argument < self.value,
            Comparison::LessOrEqual => argument <= self.value,
            Comparison::Greater => argument > self.value,
            Comparison::GreaterOrEqual => argument >= self.value,
        }
    }

    /// Whether this is not how the condition was said.
    pub(super) fn is_hidden(&self) -> bool {
        self.form & HIDDEN != 0
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Width::from_packed((self.form & 0xf).wrapping_sub(1)) {
            Some(width) => write!(f, "{}(arg{})", width.name(), self.argument)?,
            None => write!(f, "arg{}", self.argument)?,
        }
        let comparison = self.comparison.name();
        if self.form & MASKED != 0 {
            return write!(f, " & {:#x} {comparison} {:#x}", self.mask, self.value);
        }
        let sign = (self.mask >> 1) + 1;
        let value = self.value ^ self.sign.bit();
        if self.form & SIGNED != 0 && value & sign != 0 {
            write!(f, " {comparison} -{}", self.mask - value + 1)
        } else {
            write!(f, " {comparison} {value}")
        }
    }
}
