// SPDX-License-Identifier: GPL-2.0

//! How much of a register the kernel takes for an argument.

use super::{abi::Abi, names};

/// How many bits an argument has, and whether one of them is a sign.
///
/// Packed as in the table that the kernel's definitions were made into: the lowest bit is for the
/// sign, those above say how often 64 bits are halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width(u8);

impl Width {
    const U64: Self = Self(0);
    const U32: Self = Self(2);

    const NAMES: [&'static str; 8] = ["u64", "i64", "u32", "i32", "u16", "i16", "u8", "i8"];

    /// The word for it in rules.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0) % Self::NAMES.len()]
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|n| *n == name)?;
        // CAST: There are eight.
        Some(Self(index as u8))
    }

    /// As a number below the length of the table above, to be kept.
    pub(super) fn packed(self) -> u8 {
        self.0
    }

    pub(super) fn from_packed(packed: u8) -> Option<Self> {
        (usize::from(packed) < Self::NAMES.len()).then_some(Self(packed))
    }

    /// What the kernel takes of an argument of a call, by the place of the call in the table of
    /// names; the whole register if the call is none that is known.
    pub(super) fn of(call: Option<usize>, abi: Abi, argument: u8) -> Self {
        let width = match call {
            Some(call) => Self(names::argument_width(call, abi, argument)),
            None => Self::U64,
        };
        width.on(abi)
    }

    /// What is left of it on an architecture. A register of i386 has 32 bits, and zeros above them.
    pub(super) fn on(self, abi: Abi) -> Self {
        if abi == Abi::I386 && self.bits() == 64 {
            Self::U32
        } else {
            self
        }
    }

    /// The same for a test that is to do for two widths, the other one being of another
    /// architecture than `abi`: there may be more zeros above a register's 32 bits.
    pub(super) fn as_wide_as(self, other: Self, abi: Abi) -> Self {
        let is_wider = other.bits() == 64 || other == Self::U32;
        if abi == Abi::I386 && self == Self::U32 && is_wider {
            other
        } else {
            self
        }
    }

    fn bits(self) -> u32 {
        64 >> (self.0 >> 1 & 3)
    }

    /// The bits that there are.
    pub(super) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    pub(super) fn is_signed(self) -> bool {
        self.0 & 1 != 0
    }

    /// The bit that is the sign, or 0.
    pub(super) fn sign(self) -> u64 {
        if self.is_signed() {
            1 << (self.bits() - 1)
        } else {
            0
        }
    }

    pub(super) fn min(self) -> i128 {
        -i128::from(self.sign())
    }

    pub(super) fn max(self) -> i128 {
        i128::from(self.mask() & !self.sign())
    }
}
