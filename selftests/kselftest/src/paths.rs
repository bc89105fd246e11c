// SPDX-License-Identifier: GPL-2.0

//! The paths of syscalls: which one a task is to take, and which ones it took.

use crate::{
    process::gettid,
    seccomp::seccomp,
    slowpath::{self, Group},
    Skip,
};
use anyhow::{ensure, Context, Result};
use std::fs;

macro_rules! paths {
    ($($name:ident)*) => {
        /// How many syscalls of a task took each path, as `/proc/TID/arch_status` has it.
        #[derive(Clone, Copy, Debug)]
        pub struct Paths {
            $(pub $name: u64),*
        }

        impl Paths {
            /// Of a task that may be running.
            pub fn of(tid: i32) -> Result<Self> {
                let text = fs::read_to_string(format!("/proc/{tid}/arch_status"))?;
                let get = |name: &str| -> Result<u64> {
                    let line = text.lines().find_map(|line| line.strip_prefix(name));
                    let value = line.and_then(|line| line.strip_prefix(":\t"));
                    let value = value.ok_or(Skip("the kernel does not count paths"))?;
                    value.parse().with_context(|| name.to_string())
                };
                Ok(Self { $($name: get(concat!("syscall_", stringify!($name)))?),* })
            }

            pub fn since(self, earlier: Self) -> Self {
                Self { $($name: self.$name - earlier.$name),* }
            }
        }
    };
}

paths! {
    fast slow slow_flags slow_number slow_qualified slow_return sysret iret handled
}

impl Paths {
    /// How many were not dispatched in assembly.
    pub fn in_c(self) -> u64 {
        self.slow + self.handled
    }
}

/// 1 if this boot has the fast path, or why not.
pub fn fast_path_status() -> Result<String> {
    slowpath::read(format!("{}/fastpath", slowpath::SYSFS))
}

pub fn fast_path_is_on() -> Result<bool> {
    Ok(fast_path_status()? == "1")
}

/// The path that a task is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Not attached.
    Fast,
    /// The same, under a seccomp filter that allows whatever it is.
    Filtered,
    Slow,
    Iret,
}

impl Path {
    /// Whether it may be the fast one.
    pub fn is_untagged(self) -> bool {
        matches!(self, Path::Fast | Path::Filtered)
    }

    /// Puts the current task, and its future children, on the path.
    pub fn take(self) -> Result<()> {
        let exit_path = match self {
            Path::Fast => return Ok(()),
            Path::Filtered => return seccomp(-1, libc::SECCOMP_RET_ALLOW),
            Path::Slow => "auto",
            Path::Iret => "iret",
        };
        Group::of(gettid())?.set("exit_path", exit_path)
    }

    /// Runs a test on the path, and makes sure that it was the one.
    pub fn run(self, test: fn(Path) -> Result<()>) -> Result<()> {
        let tid = gettid();
        self.take()?;
        if fast_path_status()? == "not-built" {
            // Nothing is counted, as there is no other way into the kernel.
            return test(self);
        }
        let start = Paths::of(tid)?;
        let before = Paths::of(tid)?;
        // Reading the counters makes calls, too.
        let reading = before.since(start);
        test(self)?;
        let taken = Paths::of(tid)?.since(before);
        if self.is_untagged() && fast_path_is_on()? {
            ensure!(taken.fast > reading.fast, "no call was fast: {taken:?}");
            ensure!(taken.handled == 0, "a call had entry work: {taken:?}");
        } else {
            ensure!(taken.in_c() > reading.in_c(), "no call was slow: {taken:?}");
            ensure!(taken.fast == 0, "a call was fast: {taken:?}");
        }
        if self == Path::Iret {
            ensure!(
                taken.iret >= taken.in_c(),
                "a call left by SYSRET: {taken:?}"
            );
        }
        Ok(())
    }
}
