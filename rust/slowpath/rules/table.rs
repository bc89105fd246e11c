// SPDX-License-Identifier: GPL-2.0

//! One slot for each syscall, so that one look-up judges most calls.

use super::{
    abi::Abi,
    list::NoMemory,
    names::NR_SYSCALLS, //
};

/// What is known of a call by its number.
///
/// Packed: the high bits have the kind, the others an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

/// What a [`Slot`] says.
pub(super) enum Kind {
    /// The line decides, whatever the arguments are; it allows the call.
    Allow(usize),
    /// The line decides, whatever the arguments are.
    Constant(usize),
    /// The bundle's rules are to be looked at.
    Bundle(usize),
    /// The same, of a bundle of one rule with conditions.
    Single(usize),
    /// Such calls are never judged.
    Unjudged,
}

const KIND_SHIFT: u32 = 13;

/// Lines and bundles that a slot can name.
pub(super) const MAX_INDEX: usize = 1 << KIND_SHIFT;

impl Slot {
    pub(super) const UNJUDGED: Self = Self(4 << KIND_SHIFT);

    pub(super) fn line(line: usize, allows: bool) -> Self {
        // CAST: Lines are limited to `MAX_INDEX`.
        Self(u16::from(!allows) << KIND_SHIFT | line as u16)
    }

    pub(super) fn bundle(bundle: usize) -> Self {
        // CAST: Groups are limited to `MAX_INDEX`.
        Self(2 << KIND_SHIFT | bundle as u16)
    }

    pub(super) fn single(bundle: usize) -> Self {
        // CAST: As above.
        Self(3 << KIND_SHIFT | bundle as u16)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        let index = usize::from(self.0) & (MAX_INDEX - 1);
        match self.0 >> KIND_SHIFT {
            0 => Kind::Allow(index),
            1 => Kind::Constant(index),
            2 => Kind::Bundle(index),
            3 => Kind::Single(index),
            _ => Kind::Unjudged,
        }
    }
}

type Slots = [[Slot; NR_SYSCALLS]; Abi::ALL.len()];

#[cfg(CONFIG_RUST)]
type Boxed = kernel::prelude::KBox<Slots>;
#[cfg(not(CONFIG_RUST))]
type Boxed = std::boxed::Box<Slots>;

/// The slots of every architecture.
pub(super) struct Table {
    slots: Boxed,
    /// For numbers that are in no table.
    rest: [Slot; Abi::ALL.len()],
}

impl Table {
    /// A table that has what `slot` says of each number, and of those that are in no table.
    pub(super) fn new(slot: impl Fn(Abi, Option<i32>) -> Slot) -> Result<Self, NoMemory> {
        let mut slots = Self::allocate()?;
        for abi in Abi::ALL {
            for (number, to) in slots[abi as usize].iter_mut().enumerate() {
                // CAST: There are few.
                *to = slot(abi, Some(number as i32));
            }
        }
        let rest = Abi::ALL.map(|abi| slot(abi, None));
        Ok(Self { slots, rest })
    }

    #[cfg(CONFIG_RUST)]
    fn allocate() -> Result<Boxed, NoMemory> {
        use kernel::prelude::*;

        let slots = pin_init::init_array_from_fn(|_| pin_init::init_array_from_fn(|_| Slot(0)));
        KBox::init(slots, GFP_KERNEL).map_err(|_: Error| NoMemory)
    }

    #[cfg(not(CONFIG_RUST))]
    fn allocate() -> Result<Boxed, NoMemory> {
        Ok(std::boxed::Box::new(
            [[Slot(0); NR_SYSCALLS]; Abi::ALL.len()],
        ))
    }

    #[inline]
    pub(super) fn get(&self, abi: Abi, nr: i32) -> Slot {
        // CAST: A negative number becomes one that is out of range.
        let slot = self.slots[abi as usize].get(nr as u32 as usize);
        *slot.unwrap_or(&self.rest[abi as usize])
    }

    /// The slot of a number that rules can name, if it is one.
    #[inline]
    pub(super) fn get_named(&self, abi: Abi, nr: i32) -> Option<Slot> {
        // CAST: A negative number becomes one that is out of range.
        self.slots[abi as usize].get(nr as u32 as usize).copied()
    }

    /// The slot of a number that a rule can name.
    pub(super) fn get_mut(&mut self, abi: Abi, nr: u16) -> Option<&mut Slot> {
        self.slots[abi as usize].get_mut(usize::from(nr))
    }
}

/// The memory of the slots, in bytes.
#[cfg(not(CONFIG_RUST))]
pub(super) const SIZE: usize = size_of::<Slots>();
