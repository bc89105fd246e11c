// SPDX-License-Identifier: GPL-2.0

//! Has every Nth syscall of a task fail: `insmod slowpath_flaky.ko tid=TID every=100 seed=1`; or of
//! a process, `pid=PID`, or of the cgroups that name its group, `group=NAME`.
//!
//! The seed says which is the first, so that a test that found something can be repeated. Calls
//! that a program cannot do without, such as `exit_group`, are left alone.

use core::num::NonZeroU64;
use kernel::{
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
    syscall_slowpath::{Arch, Entry, Handler, Verdict}, //
};

kernel::module_syscall_handler! {
    type: Flaky,
    data: Flaky::new(module_parameters::every.value(), module_parameters::seed.value()),
    params: {
        every: u64 {
            default: 100,
            description: "One in this many calls fails",
        },
        seed: u64 {
            default: 0,
            description: "Which is the first",
        },
    },
    name: "slowpath_flaky",
    authors: ["The Slowpath developers"],
    description: "Sample: every Nth syscall of a task fails",
    license: "GPL",
}

struct Flaky {
    every: NonZeroU64,
    /// How many the task made, and the seed.
    calls: Atomic<u64>,
}

impl Flaky {
    fn new(every: u64, seed: u64) -> Result<Self> {
        Ok(Self {
            every: NonZeroU64::new(every).ok_or(EINVAL)?,
            calls: Atomic::new(seed),
        })
    }
}

/// `rt_sigreturn`, `exit`, `restart_syscall` and `exit_group`, and `sigreturn` for i386.
fn is_vital(call: &Entry<'_>) -> bool {
    let vital: &[i32] = match call.arch() {
        Arch::X86_64 => &[15, 60, 219, 231],
        Arch::X32 => &[513, 60, 219, 231],
        Arch::I386 => &[173, 1, 0, 252, 119],
    };
    vital.contains(&call.number())
}

#[vtable]
impl Handler for Flaky {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        if is_vital(&call) {
            return Verdict::Call;
        }
        if self.calls.fetch_add(1, Relaxed) % self.every == 0 {
            Verdict::Errno(EIO)
        } else {
            Verdict::Call
        }
    }
}
