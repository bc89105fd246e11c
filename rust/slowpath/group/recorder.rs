// SPDX-License-Identifier: GPL-2.0

//! Which calls the tasks of a group make, how many fail, and how long they take.

use crate::{
    policy::abi_of,
    rules::{syscall_name_of, Abi, NR_SYSCALLS}, //
};
use kernel::{
    fmt::{self, Write},
    new_mutex,
    percpu::{Counters, FixedCounters},
    prelude::*,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex,
        SetOnce, //
    },
    syscall_slowpath::{Arch, Entry, Exit},
    time::Delta, //
};

/// On each architecture, what rules can name, and all that is above as one.
const NR_PER_ABI: usize = NR_SYSCALLS + 1;

pub(crate) const NR_CALLS: usize = NR_PER_ABI * Abi::ALL.len();

/// The calls of [`index_of`], with the names that they have in rules.
fn calls() -> impl Iterator<Item = (usize, Abi, i32)> {
    (0..NR_CALLS).filter_map(|index| {
        // CAST: Below `NR_PER_ABI`.
        let number = (index % NR_PER_ABI) as i32;
        Some((index, *Abi::ALL.get(index / NR_PER_ABI)?, number))
    })
}

/// The index of nearly every call, found with no more than two comparisons.
#[inline(always)]
fn quick_index_of(call: &Entry<'_>) -> Option<usize> {
    // CAST: What is negative, or has the bit of x32, is above all.
    let number = call.raw_number() as u32 as usize;
    (number < NR_SYSCALLS && call.arch() != Arch::I386).then_some(number)
}

fn index_of(call: &Entry<'_>) -> usize {
    let (arch, number) = call.arch_and_number();
    index(abi_of(arch), number)
}

fn index(abi: Abi, number: i32) -> usize {
    // CAST: What is negative becomes one of those above.
    abi as usize * NR_PER_ABI + (number as u32 as usize).min(NR_SYSCALLS)
}

// That one is the index on x86_64, the first of them.
const _: () = assert!(Abi::X86_64 as usize == 0);

fn fmt_call(abi: Abi, number: i32, out: &mut impl Write) -> fmt::Result {
    write!(out, "{} ", abi.name())?;
    match syscall_name_of(number, abi) {
        Some(name) => out.write_str(name),
        // CAST: Small.
        None if number as usize == NR_SYSCALLS => out.write_str("others"),
        None => write!(out, "{number}"),
    }
}

/// How often each call was made, and failed.
struct CallCounts(FixedCounters<{ 2 * NR_CALLS }>);

impl CallCounts {
    fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(FixedCounters::new()?), GFP_KERNEL)?)
    }

    fn fmt(&self, out: &mut impl Write) -> fmt::Result {
        for (index, abi, number) in calls() {
            let entries = self.0.sum(index);
            let failures = self.0.sum(NR_CALLS + index);
            if entries != 0 || failures != 0 {
                fmt_call(abi, number, out)?;
                writeln!(out, " {entries} {failures}")?;
            }
        }
        Ok(())
    }
}

/// One for each power of two, of nanoseconds; the last one has all above.
pub(crate) const NR_BUCKETS: usize = 41;

/// How long each call took, in buckets, which are made for a call when the first one returns.
#[pin_data]
struct Latencies {
    calls: KVVec<SetOnce<Counters>>,
    /// Held while they are made.
    #[pin]
    making: Mutex<()>,
    /// How many calls there was no memory for.
    missed: Atomic<u64>,
}

impl Latencies {
    fn new() -> Result<Arc<Self>> {
        let mut calls = KVVec::with_capacity(NR_CALLS, GFP_KERNEL)?;
        for _ in 0..NR_CALLS {
            calls.push(SetOnce::new(), GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                calls,
                making <- new_mutex!(()),
                missed: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    fn count(&self, index: usize, took: Delta) {
        let Some(buckets) = self.calls.get(index) else {
            return;
        };
        if buckets.as_ref().is_none() {
            let made = Counters::new(NR_BUCKETS);
            let making = self.making.lock();
            if let (None, Ok(made)) = (buckets.as_ref(), made) {
                buckets.populate(made);
            }
            drop(making);
        }
        match buckets.as_ref() {
            Some(buckets) => {
                let power = took.as_nanos().max(1).ilog2() as usize;
                buckets.count(power.min(NR_BUCKETS - 1));
            }
            None => {
                self.missed.fetch_add(1, Relaxed);
            }
        }
    }

    fn fmt(&self, out: &mut impl Write) -> fmt::Result {
        for (index, abi, number) in calls() {
            let Some(buckets) = self.calls.get(index).and_then(SetOnce::as_ref) else {
                continue;
            };
            fmt_call(abi, number, out)?;
            for bucket in 0..NR_BUCKETS {
                match buckets.sum(bucket) {
                    0 => {}
                    sum => write!(out, " {}:{sum}", 1u64 << bucket)?,
                }
            }
            out.write_str("\n")?;
        }
        match self.missed.load(Relaxed) {
            0 => Ok(()),
            missed => writeln!(out, "missed {missed}"),
        }
    }
}

/// What is to be recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    Calls,
    Latency,
}

/// Records the calls of a group.
#[derive(Clone)]
pub(super) struct Recorder {
    counts: Arc<CallCounts>,
    /// Whether these are to be shown, which are there in any case.
    counts_calls: bool,
    latencies: Option<Arc<Latencies>>,
    /// Which one it is. What a task remembers has this in it.
    serial: u64,
}

/// What is remembered has the index of the call in these bits, and the serial number above.
const INDEX_BITS: u32 = 16;

const _: () = assert!(NR_CALLS < 1 << INDEX_BITS);

impl Recorder {
    /// The one after another one, that also records something, or does not; [`None`] if there is
    /// nothing to record. What is switched on begins to count anew. May sleep.
    pub(super) fn after(old: Option<&Self>, what: Record, on: bool) -> Result<Option<Self>> {
        static SERIAL: Atomic<u64> = Atomic::new(1);

        let counts_calls = match what {
            Record::Calls => on,
            Record::Latency => old.is_some_and(|old| old.counts_calls),
        };
        let latencies = match what {
            Record::Latency if on => Some(Latencies::new()?),
            Record::Latency => None,
            Record::Calls => old.and_then(|old| old.latencies.clone()),
        };
        if !counts_calls && latencies.is_none() {
            return Ok(None);
        }
        let counts = match old {
            Some(old) if what == Record::Latency => old.counts.clone(),
            _ => CallCounts::new()?,
        };
        Ok(Some(Self {
            counts,
            counts_calls,
            latencies,
            serial: SERIAL.fetch_add(1, Relaxed),
        }))
    }

    pub(super) fn records(&self, what: Record) -> bool {
        match what {
            Record::Calls => self.counts_calls,
            Record::Latency => self.latencies.is_some(),
        }
    }

    pub(super) fn fmt(&self, what: Record, out: &mut impl Write) -> fmt::Result {
        match (what, &self.latencies) {
            (Record::Calls, _) => self.counts.fmt(out),
            (Record::Latency, Some(latencies)) => latencies.fmt(out),
            (Record::Latency, None) => Ok(()),
        }
    }

    /// Records an entry as far as it takes no time. Returns whether that was all.
    #[inline(always)]
    pub(super) fn enter_quickly(&self, call: &Entry<'_>) -> bool {
        match quick_index_of(call) {
            Some(index) => {
                self.counts.0.count(index);
                self.latencies.is_none()
            }
            None => false,
        }
    }

    /// Records what is left of an entry.
    #[inline(always)]
    pub(super) fn enter(&self, call: &Entry<'_>) {
        if quick_index_of(call).is_none() {
            self.counts.0.count(index_of(call));
        }
        if self.latencies.is_some() {
            // CAST: Small.
            call.remember(self.serial << INDEX_BITS | index_of(call) as u64);
        }
    }

    /// Records an exit.
    #[inline(always)]
    pub(super) fn exit(&self, exit: &Exit<'_>) {
        if exit.error().is_some() {
            self.count_failure(exit);
        }
        if self.latencies.is_some() {
            self.recall(exit);
        }
    }

    #[inline(never)]
    fn count_failure(&self, exit: &Exit<'_>) {
        let (arch, number) = exit.arch_and_number();
        // After a sigreturn this is the register of what was interrupted.
        if number != -1 {
            self.counts.0.count(NR_CALLS + index(abi_of(arch), number));
        }
    }

    #[inline(never)]
    fn recall(&self, exit: &Exit<'_>) {
        let (Some(latencies), Some((what, took))) = (&self.latencies, exit.recall()) else {
            return;
        };
        if what >> INDEX_BITS == self.serial {
            // CAST: The kernel's word has 64 bits.
            latencies.count((what & ((1 << INDEX_BITS) - 1)) as usize, took);
        }
    }
}
