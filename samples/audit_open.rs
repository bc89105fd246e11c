// SPDX-License-Identifier: GPL-2.0

//! Shows the paths that a task gives to `open`, `creat`, `openat` and `openat2`, and the children
//! that it makes from then on: `insmod slowpath_audit_open.ko tid=TID`, or `pid=PID` for a process,
//! or `group=NAME` for the cgroups that name it; then switch on
//! `/sys/kernel/tracing/events/syscall_slowpath/syscall_slowpath_note` and read
//! `/sys/kernel/tracing/trace_pipe`. `perf`, `trace-cmd` and BPF programs get the same event.
//!
//! The path is what the program has in its memory when it makes the call. The kernel reads it
//! again, and another thread may have changed it by then. It may have newlines in it.

use kernel::{
    prelude::*,
    syscall_slowpath::{Arch, Entry, Follow, Handler, Verdict}, //
};

kernel::module_syscall_handler! {
    type: AuditOpen,
    data: Ok(AuditOpen),
    follow: Follow::All,
    name: "slowpath_audit_open",
    authors: ["The Slowpath developers"],
    description: "Sample: traces the paths that a task opens",
    license: "GPL",
}

/// Which argument of the call is the path of a file to open.
fn path_argument(call: &Entry<'_>) -> Option<usize> {
    match (call.arch(), call.number()) {
        // open, creat
        (Arch::X86_64 | Arch::X32, 2 | 85) | (Arch::I386, 5 | 8) => Some(0),
        // openat, openat2
        (Arch::X86_64 | Arch::X32, 257 | 437) | (Arch::I386, 295 | 437) => Some(1),
        _ => None,
    }
}

struct AuditOpen;

#[vtable]
impl Handler for AuditOpen {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        if let Some(index) = path_argument(&call) {
            // What does not fit is cut off.
            let mut buffer = [0; 256];
            match call.user_string(index, &mut buffer) {
                Ok(path) => call.note(path),
                Err(_) => call.note(c"(a bad address)"),
            }
        }
        Verdict::Call
    }
}
