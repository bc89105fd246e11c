// SPDX-License-Identifier: GPL-2.0

//! The kernel's fault injection: the nth allocation, or copy from or to user space, of a task fails.

use crate::{process::mount, Skip};
use anyhow::{Context, Result};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
};

const DEBUGFS: &str = "/sys/kernel/debug";

/// While it is there, the kernel's log may have complaints about allocations that failed.
pub struct Faults {
    nth: File,
}

fn mark(text: &str) -> io::Result<()> {
    fs::write("/dev/kmsg", format!("slowpath-selftests: {text}\n"))
}

impl Faults {
    pub fn new() -> Result<Self> {
        let nth = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth");
        let nth = nth.map_err(|_| Skip("the kernel injects no faults"))?;
        mount(
            c"debugfs",
            c"/sys/kernel/debug",
            &format!("{DEBUGFS}/failslab"),
        )?;
        for (kind, file, value) in [
            ("failslab", "ignore-gfp-wait", "N"),
            ("failslab", "verbose", "0"),
            ("fail_page_alloc", "ignore-gfp-wait", "N"),
            ("fail_page_alloc", "min-order", "0"),
            ("fail_page_alloc", "verbose", "0"),
            ("fail_usercopy", "verbose", "0"),
        ] {
            let path = format!("{DEBUGFS}/{kind}/{file}");
            fs::write(&path, value).with_context(|| path)?;
        }
        mark("faults begin")?;
        Ok(Self { nth })
    }

    /// From now on, the nth allocation or copy of this task fails.
    pub fn arm(nth: u32) -> io::Result<()> {
        fs::write("/proc/thread-self/fail-nth", nth.to_string())
    }

    /// Runs `f`, in which the nth allocation or copy fails. Returns what `f` does, and whether there
    /// were so many.
    fn once<T>(&self, nth: u32, f: impl FnOnce() -> T) -> Result<(T, bool)> {
        self.nth.write_all_at(nth.to_string().as_bytes(), 0)?;
        let result = f();
        let mut left = [0; 16];
        // If it is this read that fails, `f` has not.
        let hit = match self.nth.read_at(&mut left, 0) {
            Ok(n) => left[..n].trim_ascii() == b"0",
            Err(_) => false,
        };
        // Nor may this one, once it got that far.
        while self.nth.write_all_at(b"0", 0).is_err() {}
        Ok((result, hit))
    }

    /// Runs `f` until each of its allocations and copies has failed, one in each run, and then none.
    /// `check` gets what `f` returned. Returns how many have failed.
    pub fn each<T>(
        &self,
        mut f: impl FnMut() -> T,
        mut check: impl FnMut(T) -> Result<()>,
    ) -> Result<u32> {
        for nth in 1.. {
            let (result, hit) = self.once(nth, &mut f)?;
            check(result).with_context(|| format!("fault {nth}"))?;
            if !hit {
                return Ok(nth - 1);
            }
        }
        unreachable!()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = mark("faults end");
    }
}
