// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for.

use super::{
    abi::Abi,
    names::{self, NR_SYSCALLS}, //
    width::Width,
};
use core::fmt;

/// A syscall by its name, on every architecture that has it, or by its number on one; or a range of
/// numbers of one, which is in a list.
///
/// Packed, because a policy may have thousands of them: above the low bits, which have the index
/// of the name, the number, or where the range is, 0 for a name, or one more than the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls(u16);

const ARCH_SHIFT: u32 = 14;
const LOW_BITS: u16 = (1 << ARCH_SHIFT) - 1;

/// Set in the low bits of a range. There are fewer numbers, and not more rules.
const RANGE: u16 = 1 << 13;

const _: () = assert!(NR_SYSCALLS <= RANGE as usize);

/// Numbers of calls, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Calls {
    /// The call `name`, wherever there is one.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        // CAST: There are fewer names than low bits.
        names::syscall_index(name).map(|index| Self(index as u16))
    }

    /// The call `name` of one architecture.
    pub(super) fn by_name_on(name: &str, abi: Abi) -> Option<Self> {
        let number = names::syscall_number(names::syscall_index(name)?, abi)?;
        Self::by_number(number, abi)
    }

    /// A number of one architecture, whether there is such a call or not.
    pub(super) fn by_number(number: u16, abi: Abi) -> Option<Self> {
        (usize::from(number) < NR_SYSCALLS).then_some(Self::on(abi, number))
    }

    /// The range of numbers of one architecture that is at an index of a list.
    pub(super) fn by_range(index: usize, abi: Abi) -> Self {
        // CAST: There are not more ranges than rules.
        Self::on(abi, RANGE | index as u16)
    }

    fn on(abi: Abi, low: u16) -> Self {
        Self((abi as u16 + 1) << ARCH_SHIFT | low)
    }

    pub(super) fn abi(self) -> Option<Abi> {
        let scope = usize::from(self.0 >> ARCH_SHIFT);
        Abi::ALL.get(scope.checked_sub(1)?).copied()
    }

    fn low(self) -> u16 {
        self.0 & LOW_BITS
    }

    fn range(self, ranges: &[Range]) -> Option<Range> {
        self.abi()?;
        let index = usize::from(self.low().checked_sub(RANGE)?);
        ranges.get(index).copied()
    }

    /// The number that the call has on an architecture; [`None`] if the rule is not for that, or
    /// for a range.
    pub(crate) fn number(self, abi: Abi) -> Option<u16> {
        match self.abi() {
            None => names::syscall_number(usize::from(self.low()), abi),
            Some(a) => (a == abi && self.low() < RANGE).then_some(self.low()),
        }
    }

    /// The numbers that it is for on an architecture.
    pub(super) fn numbers(self, abi: Abi, ranges: &[Range]) -> core::ops::Range<u16> {
        match (self.range(ranges), self.number(abi)) {
            (Some(range), _) if self.abi() == Some(abi) => range.first..range.last + 1,
            (None, Some(number)) => number..number + 1,
            _ => 0..0,
        }
    }

    /// Where the call is in the table of names, if it is one call and has one.
    pub(super) fn index(self) -> Option<usize> {
        match self.abi() {
            None => Some(usize::from(self.low())),
            Some(abi) => names::syscall_index_of(i32::from(self.number(abi)?), abi),
        }
    }

    /// The width of an argument on an architecture; [`None`] if the rule is not for that.
    pub(super) fn width(self, abi: Abi, argument: u8) -> Option<Width> {
        let is_for = match self.abi() {
            None => self.number(abi).is_some(),
            Some(a) => a == abi,
        };
        is_for.then(|| Width::of(self.index(), abi, argument))
    }

    /// Writes it as a rule says it: the name, number or range, and the architecture if it is for
    /// one only.
    pub(super) fn fmt_with_abi(self, ranges: &[Range], out: &mut impl fmt::Write) -> fmt::Result {
        match self.range(ranges) {
            Some(range) => write!(out, "{}..{}", range.first, range.last)?,
            None => write!(out, "{self}")?,
        }
        match self.abi() {
            Some(abi) => write!(out, " arch {}", abi.name()),
            None => Ok(()),
        }
    }
}

/// The name or number, of what is not a range.
impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index() {
            Some(index) => f.write_str(names::syscall_name(index)),
            None => write!(f, "{}", self.low()),
        }
    }
}
