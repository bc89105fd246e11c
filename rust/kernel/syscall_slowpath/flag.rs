// SPDX-License-Identifier: GPL-2.0

//! Switches that hooks can afford to look at.

use crate::sync::atomic::{ordering::Relaxed, Atomic};

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
        // `Atomic::load` is a function call, on the path of each syscall.
        // SAFETY: Valid for reads, and written atomically only.
        unsafe { self.0.as_ptr().read_volatile() }
    }

    /// Sets the position.
    #[inline]
    pub fn set(&self, on: bool) {
        self.0.store(on, Relaxed);
    }
}
