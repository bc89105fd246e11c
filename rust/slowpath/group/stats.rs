// SPDX-License-Identifier: GPL-2.0

//! Counters of what the hooks saw and did.

use crate::rules::{Action, Kind};
use kernel::{
    new_mutex,
    percpu::{
        Counters,
        FixedCounters, //
    },
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    syscall_slowpath::ExitClass, //
};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    Allow,
    Log,
    After,
    Set,
    Redirect,
    Delay,
    Return,
    Errno,
    Signal,
    Trap,
    KillThread,
    KillProcess,
    Sysret,
    Iret,
    /// Work that an exit had to do.
    Work(ExitClass),
}

const NR_FIXED: usize = 14;
/// Not an event: how long the delays were to be, in nanoseconds.
const DELAY_NANOS: usize = NR_FIXED + ExitClass::ALL.len();

const NR_COUNTERS: usize = DELAY_NANOS + 1;

impl Event {
    /// The counter of the event.
    #[inline]
    const fn index(self) -> usize {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::After => 2,
            Self::Set => 3,
            Self::Redirect => 4,
            Self::Delay => 5,
            Self::Return => 6,
            Self::Errno => 7,
            Self::Signal => 8,
            Self::Trap => 9,
            Self::KillThread => 10,
            Self::KillProcess => 11,
            Self::Sysret => 12,
            Self::Iret => 13,
            Self::Work(class) => NR_FIXED + class as usize,
        }
    }
}

/// Each entry is counted by its verdict, each exit by how it returned.
pub(crate) const ENTRIES: &[Event] = &[
    Event::Allow,
    Event::Log,
    Event::After,
    Event::Set,
    Event::Redirect,
    Event::Delay,
    Event::Return,
    Event::Errno,
    Event::Signal,
    Event::Trap,
    Event::KillThread,
    Event::KillProcess,
];
pub(crate) const EXITS: &[Event] = &[Event::Sysret, Event::Iret];

impl From<Action> for Event {
    #[inline(always)]
    fn from(action: Action) -> Self {
        match action.kind() {
            Kind::Allow => Self::Allow,
            Kind::Audit | Kind::Log => Self::Log,
            Kind::AfterDelay | Kind::AfterReturn | Kind::AfterErrno | Kind::AfterPoke => {
                Self::After
            }
            Kind::Poke | Kind::Set => Self::Set,
            Kind::Redirect => Self::Redirect,
            Kind::Delay => Self::Delay,
            Kind::Return => Self::Return,
            Kind::Errno => Self::Errno,
            Kind::Signal => Self::Signal,
            Kind::Trap => Self::Trap,
            Kind::KillThread => Self::KillThread,
            Kind::KillProcess => Self::KillProcess,
        }
    }
}

/// The counters of one group.
pub(crate) struct Stats {
    events: FixedCounters<NR_COUNTERS>,
    /// The calls that have passed without a hook, by whether exits were counted: each is an `Allow`
    /// and then a `Sysret`, too, which are counted as one here.
    passed: Arc<Counters>,
}

impl Stats {
    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.events.count(event.index());
    }

    /// What counts the calls that pass, and which one of these.
    pub(crate) fn passed(&self, count_exits: bool) -> (Arc<Counters>, usize) {
        (self.passed.clone(), count_exits.into())
    }

    pub(crate) fn add_delay(&self, nanos: u64) {
        self.events.add(DELAY_NANOS, nanos);
    }

    fn sum(&self, counter: usize) -> u64 {
        const ALLOW: usize = Event::Allow.index();
        const SYSRET: usize = Event::Sysret.index();
        let passed = match counter {
            ALLOW => self.passed.sum(0) + self.passed.sum(1),
            SYSRET => self.passed.sum(1),
            _ => 0,
        };
        self.events.sum(counter) + passed
    }
}

/// What a file shows.
#[derive(Clone, Copy)]
pub(crate) enum Sum {
    Events(&'static [Event]),
    DelayNanos,
}

impl Sum {
    fn counters(self) -> impl Iterator<Item = usize> {
        let (events, delay) = match self {
            Self::Events(events) => (events, None),
            Self::DelayNanos => (&[][..], Some(DELAY_NANOS)),
        };
        Iterator::chain(events.iter().map(|e| e.index()), delay)
    }

    pub(crate) fn of(self, stats: &Stats) -> u64 {
        self.counters().map(|counter| stats.sum(counter)).sum()
    }

    pub(crate) fn of_all(self, totals: &Totals) -> u64 {
        let inner = totals.inner.lock();
        let live: u64 = inner.live.iter().map(|stats| self.of(stats)).sum();
        let retired: u64 = self.counters().map(|c| inner.retired[c]).sum();
        live + retired
    }
}

/// How many groups there may be.
const MAX_GROUPS: usize = 4096;

/// The counters of all groups, past and present.
#[pin_data]
pub(crate) struct Totals {
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    live: KVec<Arc<Stats>>,
    retired: [u64; NR_COUNTERS],
}

impl Totals {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                inner <- new_mutex!(Inner {
                    live: KVec::new(),
                    retired: [0; NR_COUNTERS],
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes the counters of a new group.
    pub(crate) fn add(&self) -> Result<Arc<Stats>> {
        let stats = Stats {
            events: FixedCounters::new()?,
            passed: Arc::new(Counters::new(2)?, GFP_KERNEL)?,
        };
        let stats = Arc::new(stats, GFP_KERNEL)?;
        let mut inner = self.inner.lock();
        if inner.live.len() >= MAX_GROUPS {
            return Err(E2BIG);
        }
        inner.live.push(stats.clone(), GFP_KERNEL)?;
        drop(inner);
        Ok(stats)
    }

    /// Keeps what a group counted, now that no hook of it runs any more.
    pub(crate) fn retire(&self, stats: &Arc<Stats>) {
        let mut inner = self.inner.lock();
        for (event, retired) in inner.retired.iter_mut().enumerate() {
            *retired += stats.sum(event);
        }
        inner.live.retain(|s| !Arc::ptr_eq(s, stats));
    }
}
