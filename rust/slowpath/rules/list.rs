// SPDX-License-Identifier: GPL-2.0

//! Growing arrays: the kernel's, or the host's where the engine is tested.

use core::ops::{Deref, DerefMut};

/// Memory ran out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

#[cfg(CONFIG_RUST)]
type Inner<T> = kernel::prelude::KVVec<T>;
#[cfg(not(CONFIG_RUST))]
type Inner<T> = std::vec::Vec<T>;

/// An array that can grow.
pub(crate) struct List<T>(Inner<T>);

impl<T> List<T> {
    pub(crate) fn new() -> Self {
        Self(Inner::new())
    }

    /// A list with room for as many elements, and not for more.
    #[cfg(CONFIG_RUST)]
    pub(crate) fn with_room_for(len: usize) -> Result<Self, NoMemory> {
        Inner::with_capacity(len, kernel::alloc::flags::GFP_KERNEL)
            .map(Self)
            .map_err(|_| NoMemory)
    }

    #[cfg(not(CONFIG_RUST))]
    pub(crate) fn with_room_for(len: usize) -> Result<Self, NoMemory> {
        Ok(Self(Inner::with_capacity(len)))
    }

    /// As many times the same element.
    pub(crate) fn filled(value: T, len: usize) -> Result<Self, NoMemory>
    where
        T: Copy,
    {
        let mut list = Self::with_room_for(len)?;
        for _ in 0..len {
            list.push(value)?;
        }
        Ok(list)
    }

    /// The same elements, without the room to grow.
    pub(crate) fn trimmed(&self) -> Result<Self, NoMemory>
    where
        T: Copy,
    {
        let mut list = Self::with_room_for(self.len())?;
        for &element in self.iter() {
            list.push(element)?;
        }
        Ok(list)
    }

    #[cfg(CONFIG_RUST)]
    pub(crate) fn push(&mut self, value: T) -> Result<(), NoMemory> {
        self.0
            .push(value, kernel::alloc::flags::GFP_KERNEL)
            .map_err(|_| NoMemory)
    }

    #[cfg(not(CONFIG_RUST))]
    pub(crate) fn push(&mut self, value: T) -> Result<(), NoMemory> {
        self.0.push(value);
        Ok(())
    }

    /// Removes all elements behind the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The memory that the elements take, with the room to grow, in bytes.
    #[cfg(not(CONFIG_RUST))]
    pub(crate) fn size(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}
