// SPDX-License-Identifier: GPL-2.0

//! A growing array: the kernel's, or the host's where the engine is tested.

use core::ops::{Deref, DerefMut};

/// Memory ran out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

#[cfg(CONFIG_RUST)]
type Inner<T> = kernel::prelude::KVec<T>;
#[cfg(not(CONFIG_RUST))]
type Inner<T> = std::vec::Vec<T>;

/// An array that can grow.
pub(crate) struct List<T>(Inner<T>);

impl<T> List<T> {
    pub(crate) fn new() -> Self {
        Self(Inner::new())
    }

    pub(crate) fn filled(value: T, len: usize) -> Result<Self, NoMemory>
    where
        T: Copy,
    {
        let mut list = Self::new();
        for _ in 0..len {
            list.push(value)?;
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
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
