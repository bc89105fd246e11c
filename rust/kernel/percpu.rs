// SPDX-License-Identifier: GPL-2.0

//! Data that each CPU has for itself.

use crate::{
    bindings,
    prelude::*, //
};
use core::ptr::NonNull;

/// Event counters, kept for each CPU so that counting writes no shared line.
///
/// # Examples
///
/// ```
/// use kernel::percpu::Counters;
///
/// let counters = Counters::new(3)?;
/// counters.count(2);
/// counters.add(2, 10);
/// assert_eq!(counters.sum(2), 11);
/// assert_eq!(counters.sum(0), 0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `counters` is an allocation of `len` per-CPU `u64`.
pub struct Counters {
    counters: NonNull<u64>,
    len: usize,
}

// SAFETY: The type owns its allocation, which no CPU or task has to free.
unsafe impl Send for Counters {}
// SAFETY: Through `&self` a CPU writes its own copy, by one instruction that no interrupt divides,
// and the sum reads the others' by `READ_ONCE()`.
unsafe impl Sync for Counters {}

impl Counters {
    /// Allocates `len` counters, all zero; `EINVAL` for none. May sleep.
    #[inline]
    pub fn new(len: usize) -> Result<Self> {
        // The allocation's size must not wrap, and the C side warns about one of nothing.
        if len == 0 || len.checked_mul(size_of::<u64>()).is_none() {
            return Err(EINVAL);
        }
        // SAFETY: Just checked that the size does not wrap and is not zero; that it may sleep is
        // said above.
        let counters = unsafe { bindings::percpu_alloc_u64(len) };
        // INVARIANT: Not null, so the allocation succeeded.
        Ok(Self {
            counters: NonNull::new(counters).ok_or(ENOMEM)?,
            len,
        })
    }

    /// Counts one event. An `index` that does not exist is ignored. Any context.
    #[inline]
    pub fn count(&self, index: usize) {
        if index < self.len {
            // SAFETY: `index` was just compared with `len`.
            unsafe { self.count_unchecked(index) };
        }
    }

    /// Counts `n` events, as [`Self::count`] counts one.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        if index < self.len {
            let counter = self.counters.as_ptr().wrapping_add(index);
            // SAFETY: As in `count_unchecked()`, with an index that was just compared with `len`.
            unsafe {
                core::arch::asm!("add qword ptr gs:[{}], {}", in(reg) counter, in(reg) n,
                                 options(nostack))
            };
        }
    }

    /// # Safety
    ///
    /// `index` must be below `len`.
    #[inline]
    unsafe fn count_unchecked(&self, index: usize) {
        let counters = self.counters.as_ptr();
        // As `this_cpu_inc()`, without the call of a helper.
        // SAFETY: By the type invariants each CPU has `len` counters from this offset on, of which
        // the caller promises that `index` is one; in the kernel GS has the base of this CPU's.
        unsafe {
            core::arch::asm!("inc qword ptr gs:[{} + 8 * {}]", in(reg) counters, in(reg) index,
                             options(nostack))
        };
    }

    /// How many counters there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none: never.
    #[inline]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where each CPU has the first one, as an offset from its own data, for code that counts by
    /// itself.
    #[inline]
    pub fn as_ptr(&self) -> *mut u64 {
        self.counters.as_ptr()
    }

    /// How many events were counted; those of the moment may be missing.
    #[inline]
    pub fn sum(&self, index: usize) -> u64 {
        if index < self.len {
            // SAFETY: By the type invariants there are `len` counters, and `index` was just
            // compared with that.
            unsafe { bindings::percpu_sum_u64(self.counters.as_ptr().wrapping_add(index)) }
        } else {
            0
        }
    }
}

/// [`Counters`] of a number that the compiler knows, so that it checks the indices.
///
/// # Invariants
///
/// `0` has `N` counters.
pub struct FixedCounters<const N: usize>(Counters);

impl<const N: usize> FixedCounters<N> {
    /// Allocates the counters, all zero. May sleep.
    #[inline]
    pub fn new() -> Result<Self> {
        // INVARIANT: Makes `N` counters.
        Ok(Self(Counters::new(N)?))
    }

    /// As [`Counters::count`].
    #[inline]
    pub fn count(&self, index: usize) {
        if index < N {
            // SAFETY: By the type invariants there are `N` counters, with which `index` was
            // compared.
            unsafe { self.0.count_unchecked(index) };
        }
    }

    /// As [`Counters::add`].
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        self.0.add(index, n);
    }

    /// As [`Counters::sum`].
    #[inline]
    pub fn sum(&self, index: usize) -> u64 {
        self.0.sum(index)
    }
}

impl Drop for Counters {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is a per-CPU allocation; `&mut self` shows that
        // nobody counts or reads, and nobody will.
        unsafe { bindings::free_percpu(self.counters.as_ptr().cast()) };
    }
}

#[cfg(CONFIG_RUST_PERCPU_KUNIT_TEST)]
#[::kernel::macros::kunit_tests(rust_percpu)]
mod tests {
    use super::*;

    #[test]
    fn counts() -> Result {
        let counters = Counters::new(3)?;
        for _ in 0..1000 {
            counters.count(1);
        }
        counters.count(2);
        counters.count(3);
        counters.count(usize::MAX);
        counters.add(2, 6);
        counters.add(3, 6);
        assert_eq!(counters.sum(0), 0);
        assert_eq!(counters.sum(1), 1000);
        assert_eq!(counters.sum(2), 7);
        assert_eq!(counters.sum(3), 0);
        Ok(())
    }

    #[test]
    fn counts_a_fixed_number() -> Result {
        let counters = FixedCounters::<2>::new()?;
        counters.count(1);
        counters.count(2);
        assert_eq!(
            (counters.sum(0), counters.sum(1), counters.sum(2)),
            (0, 1, 0)
        );
        Ok(())
    }

    #[test]
    fn lengths() -> Result {
        assert_eq!(Counters::new(0).err(), Some(EINVAL));
        assert_eq!(Counters::new((1 << 61) + 1).err(), Some(EINVAL));
        assert_eq!(Counters::new(1)?.sum(0), 0);
        Ok(())
    }
}
