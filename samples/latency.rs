// SPDX-License-Identifier: GPL-2.0

//! How long the syscalls of a task, a process, or cgroups take: `insmod slowpath_latency.ko` with
//! `tid=TID`, `pid=PID` or `group=NAME`, then read `/sys/kernel/debug/slowpath_latency/histogram`.
//!
//! A line has the number of a 64-bit call, and how many took less than 1, 2, 4, 8 ... nanoseconds,
//! but no less than half of that. What else there is between the hooks counts, too: seccomp, a
//! tracer, a wait for a signal. A call that is restarted is another one each time.

use kernel::{
    debugfs,
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex, //
    },
    syscall_slowpath::{Arch, Entry, Exit, ExitPath, Follow, Handler, Registration, Verdict},
    time::{Instant, Monotonic}, //
};

module! {
    type: Latency,
    name: "slowpath_latency",
    authors: ["The Slowpath developers"],
    description: "Sample: histogram of how long the syscalls of a task take",
    license: "GPL",
    params: {
        tid: i32 {
            default: 0,
            description: "The task",
        },
    },
}

const NR_CALLS: usize = 512;
const NR_BUCKETS: usize = 40;

#[pin_data]
struct Latency {
    #[pin]
    registration: Registration<Timer>,
    #[pin]
    file: debugfs::File<Histogram>,
}

impl kernel::InPlaceModule for Latency {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let tid = module_parameters::tid.value();
            let counts = Histogram::new()?;
            let shared = counts.clone();
            let timer = try_pin_init!(Timer {
                counts: shared,
                started <- new_mutex!(None),
            });
            let directory = debugfs::Dir::new(c"slowpath_latency");
            Ok(try_pin_init!(Self {
                registration <- Registration::new(),
                // Lives as long as its file.
                file <- directory.read_only_file(c"histogram", counts),
            })
            .pin_chain(move |this| {
                // Each task would need a start of its own.
                let (name, follow) = (c"slowpath_latency", Follow::None);
                this.registration
                    .attach_tid(tid, name, follow, timer)
                    .map(drop)
            }))
        })
    }
}

/// For each call, how many took how long.
#[derive(Clone)]
struct Histogram(Arc<KVVec<[Atomic<u64>; NR_BUCKETS]>>);

impl Histogram {
    fn new() -> Result<Self> {
        let mut counts = KVVec::with_capacity(NR_CALLS, GFP_KERNEL)?;
        for _ in 0..NR_CALLS {
            counts.push([const { Atomic::new(0) }; NR_BUCKETS], GFP_KERNEL)?;
        }
        Ok(Self(Arc::new(counts, GFP_KERNEL)?))
    }

    fn add(&self, number: usize, nanos: u64) {
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        if let Some(buckets) = self.0.get(number) {
            buckets[bucket.min(NR_BUCKETS - 1)].add(1, Relaxed);
        }
    }
}

impl debugfs::Writer for Histogram {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, buckets) in self.0.iter().enumerate() {
            if buckets.iter().any(|count| count.load(Relaxed) != 0) {
                write!(f, "{number}")?;
                for count in buckets {
                    write!(f, " {}", count.load(Relaxed))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Belongs to one task, which is in one call at a time.
#[pin_data]
struct Timer {
    counts: Histogram,
    #[pin]
    started: Mutex<Option<(i32, Instant<Monotonic>)>>,
}

#[vtable]
impl Handler for Timer {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        if call.arch() == Arch::X86_64 {
            *self.started.lock() = Some((call.number(), Instant::now()));
        }
        Verdict::Call
    }

    fn exit_work(&self, _exit: Exit<'_>) -> ExitPath {
        // None at the exit of the call in which the task was attached.
        if let Some((number, start)) = self.started.lock().take() {
            let nanos = start.elapsed().as_nanos();
            if let (Ok(number), Ok(nanos)) = (number.try_into(), nanos.try_into()) {
                self.counts.add(number, nanos);
            }
        }
        ExitPath::Auto
    }
}
