// SPDX-License-Identifier: GPL-2.0

//! How many calls of a group there were, for each rule that counts them.

use core::cmp::Ordering;
use kernel::{
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
    syscall_slowpath::{HookContext, Published, Unpublished}, //
};

/// Which policy was assigned, by its serial number, and which version of its rules is in force:
/// each begins to count anew. The later one is higher.
pub(super) type Era = (u64, u64);

/// Why a call was not counted.
pub(super) enum Uncounted {
    /// Others count for a later era: what the caller goes by is not in force any more.
    Outdated,
    /// There is no memory for the counts.
    NoMemory,
}

/// The counts of one era.
struct EraCounts {
    era: Era,
    counts: KVec<Atomic<u64>>,
}

/// The counts of a group.
///
/// Made by the first call that is counted in an era, and taken by all others: by a lock that only
/// hooks of this group take, and only then.
#[pin_data]
pub(super) struct Counts {
    #[pin]
    current: Published<EraCounts>,
}

impl Counts {
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        // Of no era that there is.
        let none = Unpublished::new(EraCounts {
            era: (0, 0),
            counts: KVec::new(),
        })?;
        Ok(pin_init!(Self {
            current <- Published::new(none),
        }))
    }

    /// Counts a call for the rule with this counter, of as many as there are in its era, and says
    /// which one it is, from 1. May sleep.
    pub(super) fn count(
        &self,
        context: HookContext<'_>,
        era: Era,
        nr_counters: usize,
        counter: usize,
    ) -> Result<u64, Uncounted> {
        loop {
            let current = self.current.get(context);
            match current.era.cmp(&era) {
                Ordering::Less => self
                    .begin(era, nr_counters)
                    .map_err(|_| Uncounted::NoMemory)?,
                Ordering::Greater => return Err(Uncounted::Outdated),
                Ordering::Equal => {
                    // There is one for each rule that counts.
                    let count = current.counts.get(counter).ok_or(Uncounted::NoMemory)?;
                    return Ok(count.fetch_add(1, Relaxed) + 1);
                }
            }
        }
    }

    /// Begins an era, unless another task has begun it, or a later one.
    #[cold]
    fn begin(&self, era: Era, nr_counters: usize) -> Result {
        let mut counts = KVec::with_capacity(nr_counters, GFP_KERNEL)?;
        for _ in 0..nr_counters {
            counts.push(Atomic::new(0), GFP_KERNEL)?;
        }
        let new = Unpublished::new(EraCounts { era, counts })?;
        let mut current = self.current.lock();
        if current.era < era {
            current.replace(new);
        }
        Ok(())
    }
}
