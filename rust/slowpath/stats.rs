// SPDX-License-Identifier: GPL-2.0

//! Counters of what the hooks saw and did.

use crate::rules::Verdict;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    syscall_slowpath::{ExitClass, FixedCounters}, //
};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    Allow,
    Log,
    Return,
    Errno,
    Sysret,
    Iret,
    /// Work that an exit had to do.
    Work(ExitClass),
}

const NR_FIXED: usize = 6;
const NR_EVENTS: usize = NR_FIXED + ExitClass::ALL.len();

impl Event {
    /// The counter of the event.
    #[inline]
    const fn index(self) -> usize {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::Return => 2,
            Self::Errno => 3,
            Self::Sysret => 4,
            Self::Iret => 5,
            Self::Work(class) => NR_FIXED + class as usize,
        }
    }
}

/// Each entry is counted by its verdict, each exit by how it returned.
pub(crate) const ENTRIES: &[Event] = &[Event::Allow, Event::Log, Event::Return, Event::Errno];
pub(crate) const EXITS: &[Event] = &[Event::Sysret, Event::Iret];

impl From<Verdict> for Event {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Log => Self::Log,
            Verdict::Return(_) => Self::Return,
            Verdict::Errno(_) => Self::Errno,
        }
    }
}

/// The counters of one attachment.
pub(crate) struct Stats(FixedCounters<NR_EVENTS>);

impl Stats {
    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.0.count(event.index());
    }

    pub(crate) fn sum(&self, events: &[Event]) -> u64 {
        events.iter().map(|&e| self.0.sum(e.index())).sum()
    }
}

/// The counters of all attachments, past and present.
#[pin_data]
pub(crate) struct Totals {
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    live: KVec<Arc<Stats>>,
    retired: [u64; NR_EVENTS],
}

impl Totals {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                inner <- new_mutex!(Inner {
                    live: KVec::new(),
                    retired: [0; NR_EVENTS],
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes the counters of a new attachment.
    pub(crate) fn add(&self) -> Result<Arc<Stats>> {
        let stats = Arc::new(Stats(FixedCounters::new()?), GFP_KERNEL)?;
        self.inner.lock().live.push(stats.clone(), GFP_KERNEL)?;
        Ok(stats)
    }

    /// Keeps what an attachment counted, now that no hook of it runs any more.
    pub(crate) fn retire(&self, stats: &Arc<Stats>) {
        let mut inner = self.inner.lock();
        for (event, retired) in inner.retired.iter_mut().enumerate() {
            *retired += stats.0.sum(event);
        }
        inner.live.retain(|s| !Arc::ptr_eq(s, stats));
    }

    pub(crate) fn sum(&self, events: &[Event]) -> u64 {
        let inner = self.inner.lock();
        let live: u64 = inner.live.iter().map(|s| s.sum(events)).sum();
        let retired: u64 = events.iter().map(|&e| inner.retired[e.index()]).sum();
        live + retired
    }
}
