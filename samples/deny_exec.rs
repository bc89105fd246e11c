// SPDX-License-Identifier: GPL-2.0

//! Lets a process, and what it makes from then on, execute only what is under `/usr/`:
//! `insmod slowpath_deny_exec.ko pid=PID`, or `tid=TID` for one task, or `group=NAME` for the
//! cgroups that name it.
//!
//! A guard against mistakes, and no sandbox. An interpreter in the directory, such as a shell or
//! the dynamic loader, runs what is elsewhere. The path may lead elsewhere by a symbolic link, or
//! in a mount namespace or a chroot. The kernel reads it again when it makes the call, and another
//! thread may have changed it by then. An open file cannot be executed by its descriptor.

use kernel::{
    prelude::*,
    syscall_slowpath::{Arch, Entry, Follow, Handler, Verdict}, //
};

kernel::module_syscall_handler! {
    type: DenyExec,
    data: Ok(DenyExec),
    follow: Follow::All,
    name: "slowpath_deny_exec",
    authors: ["The Slowpath developers"],
    description: "Sample: refuses execve outside of a directory",
    license: "GPL",
}

const DIRECTORY: &[u8] = b"/usr/";

/// Which argument of the call is the path of a program.
fn path_argument(call: &Entry<'_>) -> Option<usize> {
    match (call.arch(), call.number()) {
        // execve
        (Arch::X86_64, 59) | (Arch::I386, 11) | (Arch::X32, 520) => Some(0),
        // execveat
        (Arch::X86_64, 322) | (Arch::I386, 358) | (Arch::X32, 545) => Some(1),
        _ => None,
    }
}

/// A relative path is refused, and so is one that goes up, or that is too long for the buffer.
fn is_allowed(path: &[u8], buffer: usize) -> bool {
    path.starts_with(DIRECTORY)
        && path.len() + 1 < buffer
        && !path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

struct DenyExec;

#[vtable]
impl Handler for DenyExec {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        let Some(index) = path_argument(&call) else {
            return Verdict::Call;
        };
        let mut buffer = [0; 256];
        let size = buffer.len();
        match call.user_string(index, &mut buffer) {
            Ok(path) if is_allowed(path.to_bytes(), size) => Verdict::Call,
            Ok(_) => Verdict::Errno(EACCES),
            Err(error) => Verdict::Errno(error),
        }
    }
}
