// SPDX-License-Identifier: GPL-2.0

//! The views of a syscall that hooks get.

use crate::{
    bindings,
    error::Error,
    types::NotThreadSafe, //
};
use core::marker::PhantomData;

/// Evidence that a hook is running in the current task.
///
/// What was [published](super::Published) stays valid while it exists.
pub trait HookContext: private::Sealed {}

mod private {
    pub trait Sealed {}
}

/// What becomes of a syscall.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// It goes on: to seccomp, and then to the kernel.
    Call,
    /// It is not made, and fails with this error.
    Errno(Error),
    /// It is not made, and returns this value.
    Return(isize),
}

/// How to return to user space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ExitPath {
    /// As the entry code sees fit: by SYSRET if the registers allow it.
    Auto,
    /// By IRET, which restores every register from the frame.
    Iret,
}

/// The architecture whose syscall convention a call follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// The 64-bit convention.
    X86_64,
    /// The 32-bit convention.
    I386,
    /// The 64-bit convention with 32-bit pointers.
    X32,
}

// CAST: The bit is far below the sign bit.
const X32_SYSCALL_BIT: i32 = bindings::__X32_SYSCALL_BIT as i32;

/// A syscall that was entered and is to be judged.
///
/// Lent to [`Handler::enter`](super::Handler::enter); it cannot be kept.
///
/// # Invariants
///
/// `regs` is the complete frame of the current task, which entered a syscall with it and uses it
/// through this object only.
pub struct Entry<'a> {
    regs: *mut bindings::pt_regs,
    _p: PhantomData<&'a mut bindings::pt_regs>,
    _not_send: NotThreadSafe,
}

impl private::Sealed for Entry<'_> {}
impl HookContext for Entry<'_> {}

impl Entry<'_> {
    /// # Safety
    ///
    /// `regs` must satisfy the type invariants while the object exists.
    #[inline]
    pub(super) unsafe fn new(regs: *mut bindings::pt_regs) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            regs,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Sets the result of a call that is not made.
    #[inline]
    pub(super) fn skip(self, error: i32, value: isize) {
        // SAFETY: `regs` is valid by the type invariants.
        unsafe { bindings::syscall_set_return_value(self.regs, error, value) };
    }

    /// The convention that the call follows, and its number there, which is never -1.
    #[inline]
    pub fn arch_and_number(&self) -> (Arch, i32) {
        // SAFETY: `regs` is valid by the type invariants.
        let nr = unsafe { bindings::syscall_get_nr(self.regs) };
        // SAFETY: Always safe to call in a syscall.
        // CAST: The C function returns the audit number as an `int`.
        if unsafe { bindings::syscall_get_arch() } as u32 != bindings::AUDIT_ARCH_X86_64 {
            (Arch::I386, nr)
        } else if nr & X32_SYSCALL_BIT != 0 {
            (Arch::X32, nr & !X32_SYSCALL_BIT)
        } else {
            (Arch::X86_64, nr)
        }
    }

    /// The convention that the call follows.
    #[inline]
    pub fn arch(&self) -> Arch {
        self.arch_and_number().0
    }

    /// The number of the call, of the convention that [`Self::arch`] says; never -1.
    #[inline]
    pub fn number(&self) -> i32 {
        self.arch_and_number().1
    }

    /// All six arguments, whether the call has them or not.
    #[inline]
    pub fn arguments(&self) -> [usize; 6] {
        let mut args = [0; 6];
        // SAFETY: `regs` is valid by the type invariants, `args` has room for six arguments.
        unsafe { bindings::syscall_get_arguments(self.regs, args.as_mut_ptr()) };
        args
    }

    /// Where in user space the call returns to.
    #[inline]
    pub fn instruction_pointer(&self) -> usize {
        // SAFETY: `regs` is valid by the type invariants.
        unsafe { bindings::instruction_pointer(self.regs) }
    }
}

/// A class of work that a syscall's exit has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// Another task is to run.
    Reschedule,
    /// A tracer wants a stop at syscall exit.
    Trace,
    /// A tracer single-steps the task.
    Step,
    /// The `raw_syscalls` tracepoints are on.
    Tracepoint,
    /// The task is audited.
    Audit,
    /// A uprobe was hit.
    Uprobe,
    /// A signal is pending.
    Signal,
    /// Task work, or memory or cgroup accounting, is to be done.
    NotifyResume,
    /// A live patch waits for the task.
    PatchPending,
    /// A user-return notifier is armed.
    UserReturnNotify,
}

impl ExitClass {
    /// Every class, in the order of their declaration.
    pub const ALL: [ExitClass; 10] = [
        Self::Reschedule,
        Self::Trace,
        Self::Step,
        Self::Tracepoint,
        Self::Audit,
        Self::Uprobe,
        Self::Signal,
        Self::NotifyResume,
        Self::PatchPending,
        Self::UserReturnNotify,
    ];

    /// The bits of `syscall_work` and of the thread flags that mean this class.
    const fn masks(self) -> (usize, usize) {
        use bindings::*;

        const fn bit(bit: u32) -> usize {
            1 << bit
        }

        match self {
            Self::Reschedule => (0, bit(TIF_NEED_RESCHED) | bit(TIF_NEED_RESCHED_LAZY)),
            Self::Trace => (bit(syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_TRACE), 0),
            Self::Step => (bit(syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_EXIT_TRAP), 0),
            Self::Tracepoint => (bit(syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_TRACEPOINT), 0),
            Self::Audit => (bit(syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_AUDIT), 0),
            Self::Uprobe => (0, bit(TIF_UPROBE)),
            Self::Signal => (0, bit(TIF_SIGPENDING) | bit(TIF_NOTIFY_SIGNAL)),
            Self::NotifyResume => (0, bit(TIF_NOTIFY_RESUME)),
            Self::PatchPending => (0, bit(TIF_PATCH_PENDING)),
            Self::UserReturnNotify => (0, bit(TIF_USER_RETURN_NOTIFY)),
        }
    }
}

/// The work that a syscall's exit had to do when it began.
#[derive(Clone, Copy)]
pub struct ExitWork {
    syscall_work: usize,
    ti_work: usize,
}

impl ExitWork {
    /// Whether there was any, of any class.
    #[inline]
    pub fn any(self) -> bool {
        const MASKS: (usize, usize) = {
            let mut masks = (0, 0);
            let mut i = 0;
            while i < ExitClass::ALL.len() {
                let (syscall_work, ti_work) = ExitClass::ALL[i].masks();
                masks = (masks.0 | syscall_work, masks.1 | ti_work);
                i += 1;
            }
            masks
        };
        self.syscall_work & MASKS.0 != 0 || self.ti_work & MASKS.1 != 0
    }

    /// Whether there was work of this class.
    #[inline]
    pub fn has(self, class: ExitClass) -> bool {
        let (syscall_work, ti_work) = class.masks();
        self.syscall_work & syscall_work != 0 || self.ti_work & ti_work != 0
    }
}

/// A syscall that is about to return.
///
/// Lent to [`Handler::exit_work`](super::Handler::exit_work); it cannot be kept.
///
/// # Invariants
///
/// `regs` is the complete frame of the current task, which returns from a syscall with it and uses
/// it through this object only.
pub struct Exit<'a> {
    regs: *mut bindings::pt_regs,
    work: ExitWork,
    _p: PhantomData<&'a mut bindings::pt_regs>,
    _not_send: NotThreadSafe,
}

impl private::Sealed for Exit<'_> {}
impl HookContext for Exit<'_> {}

impl Exit<'_> {
    /// # Safety
    ///
    /// `regs` must satisfy the type invariants while the object exists.
    #[inline]
    pub(super) unsafe fn new(
        regs: *mut bindings::pt_regs,
        syscall_work: usize,
        ti_work: usize,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            regs,
            work: ExitWork {
                syscall_work,
                ti_work,
            },
            _p: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// The call's result: a value, or a negative error.
    #[inline]
    pub fn result(&self) -> isize {
        // SAFETY: `regs` is valid by the type invariants.
        unsafe { bindings::syscall_get_return_value(self.regs) }
    }

    /// The work that is to be done.
    #[inline]
    pub fn work(&self) -> ExitWork {
        self.work
    }
}
