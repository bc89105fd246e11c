// SPDX-License-Identifier: GPL-2.0

//! Tracepoints, read from an instance of tracefs of our own.

use crate::process;
use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

/// An instance with one event switched on; removed when dropped.
pub struct Trace {
    dir: PathBuf,
}

const TRACEFS: &str = "/sys/kernel/tracing";

impl Trace {
    /// Traces one event, which is named with its system, or all of a system.
    pub fn of(event: &str) -> Result<Self> {
        Self::of_those(event, "")
    }

    /// The same, if a filter of the kernel's kind is true, where there is one.
    pub fn of_those(event: &str, filter: &str) -> Result<Self> {
        process::mount(
            c"tracefs",
            c"/sys/kernel/tracing",
            "/sys/kernel/tracing/trace",
        )?;
        let dir = PathBuf::from(format!("{TRACEFS}/instances/slowpath"));
        // Of a test that died.
        if dir.exists() {
            fs::remove_dir(&dir)?;
        }
        fs::create_dir(&dir).context("a trace instance")?;
        let trace = Self { dir };
        if !filter.is_empty() {
            fs::write(trace.dir.join(format!("events/{event}/filter")), filter)
                .context(filter.to_string())?;
        }
        fs::write(trace.switch(event), "1").context("the event")?;
        Ok(trace)
    }

    /// The file that switches an event on and off.
    pub fn switch(&self, event: &str) -> PathBuf {
        self.dir.join(format!("events/{event}/enable"))
    }

    /// The events of ours of a task, oldest first: what comes behind their names.
    pub fn lines_of(&self, tid: i32) -> Result<Vec<String>> {
        self.lines_with(tid, "syscall_slowpath_")
    }

    /// What comes behind a word in the events of a task, oldest first.
    pub fn lines_with(&self, tid: i32, word: &str) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.dir.join("trace"))?;
        let task = format!("-{tid} ");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(&task));
        Ok(lines
            .filter_map(|line| Some(line.split_once(word)?.1.to_string()))
            .collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}
