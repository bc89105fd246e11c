// SPDX-License-Identifier: GPL-2.0

//! Architectures, each with a table of syscalls of its own.

/// A syscall convention, in the order of the tables that are indexed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    X86_64,
    I386,
    X32,
}

impl Abi {
    pub(crate) const ALL: [Self; 3] = [Self::X86_64, Self::I386, Self::X32];

    /// The word for it in rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|abi| abi.name() == name)
    }
}
