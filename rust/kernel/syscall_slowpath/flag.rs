// SPDX-License-Identifier: GPL-2.0

//! Switches that hooks can afford to look at.

use crate::sync::atomic::{
    ordering::Relaxed,
    Atomic,
    AtomicBasicOps,
    AtomicType, //
};

/// As [`Atomic::load`], which is a call of a function where C helpers are not inlined, for what
/// each syscall of a task reads.
#[inline(always)]
pub(super) fn read_once<T: AtomicType>(from: &Atomic<T>) -> T
where
    T::Repr: AtomicBasicOps,
{
    if cfg!(CONFIG_RUST_INLINE_HELPERS) {
        return from.load(Relaxed);
    }
    // As `READ_ONCE()`.
    // SAFETY: `from` is borrowed, and so initialised and aligned. It is written atomically only, by
    // its type; of values of that size the memory model of the kernel has a volatile read be one
    // access.
    unsafe { from.as_ptr().read_volatile() }
}

/// A switch that others set while hooks look at it. Any context.
///
/// # Examples
///
/// ```
/// use kernel::syscall_slowpath::Flag;
///
/// let flag = Flag::new(false);
/// flag.set(true);
/// assert!(flag.get());
/// ```
pub struct Flag(Atomic<bool>);

impl Flag {
    /// A switch with this position.
    pub const fn new(on: bool) -> Self {
        Self(Atomic::new(on))
    }

    /// The position as it is now.
    #[inline]
    pub fn get(&self) -> bool {
        read_once(&self.0)
    }

    /// Sets the position.
    #[inline]
    pub fn set(&self, on: bool) {
        self.0.store(on, Relaxed);
    }
}

/// One of a few ways to go, as a number, that others choose while hooks look at it. Any context.
///
/// # Examples
///
/// ```
/// use kernel::syscall_slowpath::Choice;
///
/// let choice = Choice::new(0);
/// choice.set(3);
/// assert_eq!(choice.get(), 3);
/// ```
pub struct Choice(Atomic<u32>);

impl Choice {
    /// A choice that was made so.
    pub const fn new(choice: u32) -> Self {
        Self(Atomic::new(choice))
    }

    /// What is chosen now.
    #[inline]
    pub fn get(&self) -> u32 {
        read_once(&self.0)
    }

    /// Chooses.
    #[inline]
    pub fn set(&self, choice: u32) {
        self.0.store(choice, Relaxed);
    }
}
