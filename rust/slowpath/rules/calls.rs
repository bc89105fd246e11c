// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for.

use super::{
    arch::Arch,
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
    pub(super) fn by_name_on(name: &str, arch: Arch) -> Option<Self> {
        let number = names::syscall_number(names::syscall_index(name)?, arch)?;
        Self::by_number(number, arch)
    }

    /// A number of one architecture, whether there is such a call or not.
    pub(super) fn by_number(number: u16, arch: Arch) -> Option<Self> {
        let scope = arch as u16 + 1;
        (usize::from(number) < NR_SYSCALLS).then_some(Self(scope << ARCH_SHIFT | number))
    }

    fn arch(self) -> Option<Arch> {
        let scope = usize::from(self.0 >> ARCH_SHIFT);
        Arch::ALL.get(scope.checked_sub(1)?).copied()
    }

    /// The number that the call has on an architecture; [`None`] if the rule is not for that.
    pub(crate) fn number(self, arch: Arch) -> Option<u16> {
        let low = self.0 & LOW_BITS;
        match self.arch() {
            None => names::syscall_number(usize::from(low), arch),
            Some(a) => (a == arch).then_some(low),
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.0 & LOW_BITS;
        let Some(arch) = self.arch() else {
            return f.write_str(names::syscall_name(usize::from(low)));
        };
        match names::syscall_name_of(i32::from(low), arch) {
            Some(name) => f.write_str(name),
            None => write!(f, "{low}"),
        }
    }
}

/// As a rule says it: the name or number, and the architecture if it is for one only.
pub(super) struct WithArch(pub(super) Calls);

impl fmt::Display for WithArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0.arch() {
            Some(arch) => write!(f, " arch {}", arch.name()),
            None => Ok(()),
        }
    }
}
