// SPDX-License-Identifier: GPL-2.0

//! One entry for each syscall, so that one look-up judges most calls.

use super::{
    arch::Arch,
    list::NoMemory,
    names::NR_SYSCALLS, //
};

/// What is known of a call by its number.
///
/// Packed: the high bits have the kind, the others an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u16);

/// What an [`Entry`] says.
pub(super) enum Kind {
    /// The line decides, whatever the arguments are; it allows the call.
    Allow(usize),
    /// The line decides, whatever the arguments are.
    Constant(usize),
    /// The group's rules are to be looked at.
    Group(usize),
    /// The same, of a group of one rule with one condition.
    Single(usize),
    /// Such calls are never judged.
    Unjudged,
}

const KIND_SHIFT: u32 = 13;

/// Lines and groups that an entry can name.
pub(super) const MAX_INDEX: usize = 1 << KIND_SHIFT;

impl Entry {
    pub(super) const UNJUDGED: Self = Self(4 << KIND_SHIFT);

    pub(super) fn line(line: usize, allows: bool) -> Self {
        // CAST: Lines are limited to `MAX_INDEX`.
        Self(u16::from(!allows) << KIND_SHIFT | line as u16)
    }

    pub(super) fn group(group: usize) -> Self {
        // CAST: Groups are limited to `MAX_INDEX`.
        Self(2 << KIND_SHIFT | group as u16)
    }

    pub(super) fn single(group: usize) -> Self {
        // CAST: As above.
        Self(3 << KIND_SHIFT | group as u16)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        let index = usize::from(self.0) & (MAX_INDEX - 1);
        match self.0 >> KIND_SHIFT {
            0 => Kind::Allow(index),
            1 => Kind::Constant(index),
            2 => Kind::Group(index),
            3 => Kind::Single(index),
            _ => Kind::Unjudged,
        }
    }
}

type Entries = [[Entry; NR_SYSCALLS]; Arch::ALL.len()];

#[cfg(CONFIG_RUST)]
type Boxed = kernel::prelude::KBox<Entries>;
#[cfg(not(CONFIG_RUST))]
type Boxed = std::boxed::Box<Entries>;

/// The entries of every architecture.
pub(super) struct Table {
    entries: Boxed,
    /// For numbers that are in no table.
    rest: [Entry; Arch::ALL.len()],
}

impl Table {
    pub(super) fn new(rest: [Entry; Arch::ALL.len()]) -> Result<Self, NoMemory> {
        let entries = Self::allocate()?;
        let mut table = Self { entries, rest };
        for arch in Arch::ALL {
            table.entries[arch as usize].fill(rest[arch as usize]);
        }
        Ok(table)
    }

    #[cfg(CONFIG_RUST)]
    fn allocate() -> Result<Boxed, NoMemory> {
        use kernel::prelude::*;

        let entries = pin_init::init_array_from_fn(|_| pin_init::init_array_from_fn(|_| Entry(0)));
        KBox::init(entries, GFP_KERNEL).map_err(|_: Error| NoMemory)
    }

    #[cfg(not(CONFIG_RUST))]
    fn allocate() -> Result<Boxed, NoMemory> {
        Ok(std::boxed::Box::new(
            [[Entry(0); NR_SYSCALLS]; Arch::ALL.len()],
        ))
    }

    #[inline]
    pub(super) fn get(&self, arch: Arch, nr: i32) -> Entry {
        // CAST: A negative number becomes one that is out of range.
        let entry = self.entries[arch as usize].get(nr as u32 as usize);
        *entry.unwrap_or(&self.rest[arch as usize])
    }

    /// The entry of a number that rules can name, if it is one.
    #[inline]
    pub(super) fn get_named(&self, arch: Arch, nr: i32) -> Option<Entry> {
        // CAST: A negative number becomes one that is out of range.
        self.entries[arch as usize].get(nr as u32 as usize).copied()
    }

    /// The entry of a number that a rule can name.
    pub(super) fn get_mut(&mut self, arch: Arch, nr: u16) -> Option<&mut Entry> {
        self.entries[arch as usize].get_mut(usize::from(nr))
    }
}

/// The memory of the entries, in bytes.
#[cfg(not(CONFIG_RUST))]
pub(super) const SIZE: usize = size_of::<Entries>();
