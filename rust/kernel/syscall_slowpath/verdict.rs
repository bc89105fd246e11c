// SPDX-License-Identifier: GPL-2.0

//! What becomes of a syscall.

use super::Entry;
use crate::{
    bindings,
    error::Error,
    time::Delta, //
};

/// What becomes of a syscall.
///
/// What takes time or ends the task is done by the C side when the hook has returned: see
/// `enum syscall_slowpath_action` in `include/linux/syscall_slowpath.h`.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// It goes on: to seccomp, and then to the kernel.
    Call,
    /// It goes on, and the tracepoint `syscall_slowpath_verdict` says so, as it does of all that
    /// follow.
    Log,
    /// The same, and there is an audit record of the type `SECCOMP` with this code, for which the
    /// task may have to wait, as for one of seccomp's.
    Audit(AuditCode),
    /// It is not made, and fails with this error.
    Errno(Error),
    /// It is not made, and returns this value.
    Return(isize),
    /// It goes on after this time at least, `Verdict::Delay(Delta::from_millis(5))`; or when
    /// [`SharedGroup::end_delays`](super::SharedGroup::end_delays) is called, the group is switched
    /// off, or the task is detached. Of signals, only one that kills the task comes before.
    Delay(Delta),
    /// It goes on, and the task is sent this signal before. There are 1 to 64: with another number,
    /// none is sent.
    Signal(u8),
    /// It is not made, and the task gets the `SIGSYS` of seccomp, with this value in `si_errno`.
    Trap(u16),
    /// The thread dies, as it would by seccomp.
    KillThread,
    /// The process dies, as it would by seccomp.
    KillProcess,
    /// What [`Entry::plan`] was told.
    Planned,
}

/// Several things that are to become of a syscall, one after the other.
///
/// # Examples
///
/// Has each `fsync` wait, fail, and return late.
///
/// ```
/// use kernel::{prelude::*, time::Delta};
/// use kernel::syscall_slowpath::{Arch, Entry, Handler, Plan, Verdict};
///
/// struct SlowDisk;
///
/// #[vtable]
/// impl Handler for SlowDisk {
///     fn enter(&self, mut call: Entry<'_>) -> Verdict {
///         if call.arch_and_number() != (Arch::X86_64, 74) {
///             return Verdict::Call;
///         }
///         let plan = Plan {
///             delay: Delta::from_millis(20),
///             exit_delay: Delta::from_millis(5),
///             ..Plan::new(Verdict::Errno(EIO))
///         };
///         call.plan(plan).unwrap_or_else(Verdict::Errno)
///     }
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Plan {
    /// First, there is an audit record, as of [`Verdict::Audit`]. What kills has its own.
    pub audit: Option<AuditCode>,
    /// Then, as [`Verdict::Delay`].
    pub delay: Delta,
    /// Then, as [`Verdict::Signal`]; 0 for none.
    pub signal: u8,
    /// Then this. A plan has no other one in it: the process would die.
    pub verdict: Verdict,
    /// When it returns, whether it was made or not, it is delayed again.
    pub exit_delay: Delta,
}

impl Plan {
    /// Nothing but this.
    #[inline]
    pub fn new(verdict: Verdict) -> Self {
        Self {
            audit: None,
            delay: Delta::ZERO,
            signal: 0,
            verdict,
            exit_delay: Delta::ZERO,
        }
    }
}

impl Verdict {
    /// The action that the C side takes, and its value, with the result of a call that is not made
    /// set.
    #[inline(always)]
    pub(super) fn carry_out(self, entry: &mut Entry<'_>) -> usize {
        use bindings::*;

        // CAST: The values are not negative, and small enough to be shifted.
        let (action, value) = match self {
            Self::Call => (syscall_slowpath_action_SYSCALL_SLOWPATH_CALL, 0),
            Self::Log => (syscall_slowpath_action_SYSCALL_SLOWPATH_LOG, 0),
            Self::Audit(code) => (
                syscall_slowpath_action_SYSCALL_SLOWPATH_LOG,
                audit_value(code) as usize,
            ),
            Self::Errno(error) => {
                entry.skip(error.to_errno() as isize);
                (syscall_slowpath_action_SYSCALL_SLOWPATH_SKIP, 0)
            }
            Self::Return(value) => {
                entry.skip(value);
                (syscall_slowpath_action_SYSCALL_SLOWPATH_SKIP, 0)
            }
            Self::Delay(delta) => (
                syscall_slowpath_action_SYSCALL_SLOWPATH_DELAY,
                nanos(delta) as usize,
            ),
            Self::Signal(signal) => (
                syscall_slowpath_action_SYSCALL_SLOWPATH_SIGNAL,
                usize::from(signal),
            ),
            Self::Trap(data) => (
                syscall_slowpath_action_SYSCALL_SLOWPATH_TRAP,
                usize::from(data),
            ),
            Self::KillThread => (syscall_slowpath_action_SYSCALL_SLOWPATH_KILL_THREAD, 0),
            Self::KillProcess => (syscall_slowpath_action_SYSCALL_SLOWPATH_KILL_PROCESS, 0),
            Self::Planned => (syscall_slowpath_action_SYSCALL_SLOWPATH_PLAN, 0),
        };
        action as usize | value << SYSCALL_SLOWPATH_VALUE_SHIFT
    }
}

/// A time as the C side can be told.
#[inline]
pub(super) fn nanos(delta: Delta) -> u64 {
    // Longer than any system runs, and the highest that there is.
    const MAX: i64 = i64::MAX >> bindings::SYSCALL_SLOWPATH_VALUE_SHIFT;

    // CAST: Not negative.
    delta.as_nanos().clamp(0, MAX) as u64
}

/// What an audit record says that becomes of a call, in the words of seccomp.
#[derive(Clone, Copy)]
pub enum AuditCode {
    /// It is made.
    Log,
    /// It is not made, and returns an error or a value.
    Errno,
    /// It is not made, and the task gets a `SIGSYS`.
    Trap,
    /// The thread dies.
    KillThread,
    /// The process dies.
    KillProcess,
}

/// As the C side is told that there is to be a record.
pub(super) fn audit_value(code: AuditCode) -> u64 {
    // Seccomp's records are without the data of these.
    let code = match code {
        AuditCode::Log => bindings::SECCOMP_RET_LOG,
        AuditCode::Errno => bindings::SECCOMP_RET_ERRNO,
        AuditCode::Trap => bindings::SECCOMP_RET_TRAP,
        AuditCode::KillThread => bindings::SECCOMP_RET_KILL_THREAD,
        AuditCode::KillProcess => bindings::SECCOMP_RET_KILL_PROCESS,
    };
    bindings::SYSCALL_SLOWPATH_AUDIT | u64::from(code)
}
