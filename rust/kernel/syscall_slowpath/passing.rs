// SPDX-License-Identifier: GPL-2.0

//! Calls that are made without asking a handler.

use crate::{
    bindings,
    percpu::Counters,
    prelude::*,
    sync::Arc, //
};

/// The numbers of calls that a [`PassTable`] has are below this.
pub const NR_PASSES: usize = bindings::SYSCALL_SLOWPATH_NR_PASSES as usize;

/// Which calls pass, and which counter counts each of them.
///
/// # Invariants
///
/// Each of `counters` is negative, or below `end`.
pub struct PassTable {
    counters: KBox<[i16; NR_PASSES]>,
    end: usize,
}

impl PassTable {
    /// Makes a table of what `counter_of` says of the number of a [64-bit
    /// call](super::Arch::X86_64): which counter is to count it, below 32768; or nothing if it
    /// is not to pass. May sleep; `ENOMEM`, or `EINVAL` for such a counter.
    pub fn new(counter_of: impl Fn(i32) -> Option<usize>) -> Result<Self> {
        let mut counters = KBox::new([-1; NR_PASSES], GFP_KERNEL)?;
        let mut end = 0;
        for (number, to) in counters.iter_mut().enumerate() {
            // CAST: There are few.
            if let Some(counter) = counter_of(number as i32) {
                *to = i16::try_from(counter).map_err(|_| EINVAL)?;
                end = end.max(counter + 1);
            }
        }
        // INVARIANT: `end` is above all that were written.
        Ok(Self { counters, end })
    }
}

/// What has calls of a group pass: see [`SharedGroup::set_passing`].
///
/// [`SharedGroup::set_passing`]: super::SharedGroup::set_passing
///
/// # Invariants
///
/// `pass` points to what the other members own: `NR_PASSES` numbers, of which each is negative or
/// that of one of the counters in `hits`, and a counter of those in `made`.
pub struct Passing {
    pass: bindings::syscall_slowpath_pass,
    _table: Arc<PassTable>,
    _hits: Arc<Counters>,
    _made: Arc<Counters>,
}

// SAFETY: By the type invariants the pointers are to what members own, which are `Send`.
unsafe impl Send for Passing {}
// SAFETY: Nothing changes through `&self` but counters that each CPU has for itself.
unsafe impl Sync for Passing {}

impl Passing {
    /// Has each call counted in `hits`, as the table says, and by the counter `which` of `made`.
    /// `EINVAL` if there is no such counter, or the table names one that there is not.
    pub fn new(
        table: Arc<PassTable>,
        hits: Arc<Counters>,
        made: Arc<Counters>,
        which: usize,
    ) -> Result<Self> {
        if table.end > hits.len() || which >= made.len() {
            return Err(EINVAL);
        }
        // INVARIANT: Both were just compared.
        Ok(Self {
            pass: bindings::syscall_slowpath_pass {
                lines: table.counters.as_ptr(),
                hits: hits.as_ptr(),
                made: made.as_ptr().wrapping_add(which),
            },
            _table: table,
            _hits: hits,
            _made: made,
        })
    }

    pub(super) fn as_ptr(&self) -> *const bindings::syscall_slowpath_pass {
        &self.pass
    }
}

#[cfg(CONFIG_SLOWPATH_KUNIT_TEST)]
#[::kernel::macros::kunit_tests(rust_slowpath_passing)]
mod tests {
    use super::*;

    #[test]
    fn tables() -> Result {
        let table = PassTable::new(|number| (number % 2 == 0).then_some(number as usize))?;
        assert_eq!(table.counters[..4], [0, -1, 2, -1]);
        assert_eq!(table.end, NR_PASSES - 1);
        assert_eq!(PassTable::new(|_| None)?.end, 0);
        let beyond = PassTable::new(|_| Some(1 << 15));
        assert_eq!(beyond.err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn counters_that_there_are_not() -> Result {
        let table = Arc::new(PassTable::new(|_| Some(3))?, GFP_KERNEL)?;
        let made = Arc::new(Counters::new(1)?, GFP_KERNEL)?;
        for (len, which, error) in [(3, 0, Some(EINVAL)), (4, 1, Some(EINVAL)), (4, 0, None)] {
            let hits = Arc::new(Counters::new(len)?, GFP_KERNEL)?;
            let passing = Passing::new(table.clone(), hits, made.clone(), which);
            assert_eq!(passing.err(), error);
        }
        Ok(())
    }
}
