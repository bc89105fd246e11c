// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for.

use super::{
    abi::Abi,
    names::{self, NR_SYSCALLS}, //
};
use core::fmt;

/// A syscall by its name, on every architecture that has it, or by its number on one.
///
/// Packed, because a policy may have thousands of them: above the low bits, which have the index
/// of the name or the number, 0 for a name, or one more than the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls(u16);

const ARCH_SHIFT: u32 = 14;
const LOW_BITS: u16 = (1 << ARCH_SHIFT) - 1;

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
        let scope = abi as u16 + 1;
        (usize::from(number) < NR_SYSCALLS).then_some(Self(scope << ARCH_SHIFT | number))
    }

    fn abi(self) -> Option<Abi> {
        let scope = usize::from(self.0 >> ARCH_SHIFT);
        Abi::ALL.get(scope.checked_sub(1)?).copied()
    }

    /// The number that the call has on an architecture; [`None`] if the rule is not for that.
    pub(crate) fn number(self, abi: Abi) -> Option<u16> {
        let low = self.0 & LOW_BITS;
        match self.abi() {
            None => names::syscall_number(usize::from(low), abi),
            Some(a) => (a == abi).then_some(low),
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.0 & LOW_BITS;
        let Some(abi) = self.abi() else {
            return f.write_str(names::syscall_name(usize::from(low)));
        };
        match names::syscall_name_of(i32::from(low), abi) {
            Some(name) => f.write_str(name),
            None => write!(f, "{low}"),
        }
    }
}

/// As a rule says it: the name or number, and the architecture if it is for one only.
pub(super) struct WithAbi(pub(super) Calls);

impl fmt::Display for WithAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0.abi() {
            Some(abi) => write!(f, " arch {}", abi.name()),
            None => Ok(()),
        }
    }
}
