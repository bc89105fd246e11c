// SPDX-License-Identifier: GPL-2.0

//! The views of a syscall that hooks get.

use super::verdict::{audit_value, nanos, Plan, Verdict};
use crate::{
    bindings,
    error::to_result,
    fmt::{self, Write},
    prelude::*,
    time::Delta,
    types::NotThreadSafe,
    uaccess::{UserPtr, UserSlice}, //
};
use core::{marker::PhantomData, ops::Deref};

/// Evidence that a hook is running in the current task, for as long as the lifetime says.
///
/// What was [published](super::Published) stays valid as long.
#[derive(Clone, Copy)]
pub struct HookContext<'a>(PhantomData<&'a ()>, NotThreadSafe);

/// How to return to user space.
///
/// The numbers are what the C side is told, so that there is nothing to be done about them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ExitPath {
    /// As the entry code sees fit: by SYSRET if the registers allow it.
    Auto = 1,
    /// By IRET, which restores every register from the frame.
    Iret = 0,
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

/// The convention of a call and its number there, from the C side's.
#[inline(always)]
fn arch_and_number(audit_arch: u32, nr: i32) -> (Arch, i32) {
    if audit_arch != bindings::AUDIT_ARCH_X86_64 {
        (Arch::I386, nr)
    } else if nr >= 0 && nr & X32_SYSCALL_BIT != 0 {
        (Arch::X32, nr & !X32_SYSCALL_BIT)
    } else {
        (Arch::X86_64, nr)
    }
}

type CommBytes = [u8; bindings::TASK_COMM_LEN as usize];

/// The name of a task, as `/proc/TID/comm` has it. What cannot be printed is shown as a question
/// mark.
pub struct Comm(CommBytes);

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take_while(|byte| **byte != 0) {
            let is_shown = byte.is_ascii_graphic() || *byte == b' ';
            f.write_char(if is_shown { char::from(*byte) } else { '?' })?;
        }
        Ok(())
    }
}

/// The registers of a task that makes a syscall.
///
/// # Invariants
///
/// `regs` is the complete frame of the current task, which is in a syscall with it and uses it
/// through this object only.
pub struct Frame<'a> {
    regs: *mut bindings::pt_regs,
    _p: PhantomData<&'a mut bindings::pt_regs>,
    _not_send: NotThreadSafe,
}

impl<'a> Frame<'a> {
    /// # Safety
    ///
    /// `regs` must satisfy the type invariants while the object exists.
    #[inline]
    unsafe fn new(regs: *mut bindings::pt_regs) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            regs,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Evidence that the hook runs which this was lent to.
    #[inline]
    pub fn context(&self) -> HookContext<'a> {
        HookContext(PhantomData, NotThreadSafe)
    }

    /// The convention that the call follows, and its number there, for x32 without the bit that
    /// tells it from x86_64. -1 for no call at all, as at the exit of `sigreturn`, and of a call
    /// that a tracer has cancelled.
    #[inline]
    pub fn arch_and_number(&self) -> (Arch, i32) {
        // SAFETY: By the type invariants `regs` is the frame of the current task, in a syscall.
        let nr = unsafe { bindings::syscall_get_nr(self.regs) };
        // SAFETY: The C function looks at the current task alone, which is in a syscall by the type
        // invariants.
        // CAST: The C function returns the audit number as an `int`.
        arch_and_number(unsafe { bindings::syscall_get_arch() } as u32, nr)
    }

    /// All six arguments, whether the call has them or not. Those of a call of [`Arch::I386`] have
    /// 32 bits, whatever the registers hold above. Otherwise they are whole registers, also where
    /// the kernel uses less: a file descriptor is `argument as i32`.
    #[inline]
    pub fn arguments(&self) -> [usize; 6] {
        let mut args = [0; 6];
        // SAFETY: By the type invariants `regs` is a complete frame; `args` has room for the six
        // arguments that the C function writes.
        unsafe { bindings::syscall_get_arguments(self.regs, args.as_mut_ptr()) };
        match self.arch_and_number().0 {
            // CAST: Drops the upper half.
            Arch::I386 => args.map(|arg| arg as u32 as usize),
            Arch::X86_64 | Arch::X32 => args,
        }
    }

    /// Makes a remark on the call: the tracepoint `syscall_slowpath_note` has it, with the call's
    /// `AUDIT_ARCH_*` and its number, for x32 with its bit. Costs next to nothing while nobody
    /// traces.
    ///
    /// With tracefs mounted, `echo 1 > events/syscall_slowpath/syscall_slowpath_note/enable` in
    /// `/sys/kernel/tracing` switches it on, and lines in `trace` end in
    /// `arch=c000003e nr=87 the remark`.
    #[inline]
    pub fn note(&self, text: &CStr) {
        // SAFETY: By the type invariants `regs` is a complete frame; `text` is borrowed for as long
        // as the C function runs, which copies it.
        unsafe { bindings::syscall_slowpath_note(self.regs, text.as_char_ptr()) };
    }

    /// The name of the task that makes the call, which it may change at any time.
    #[inline]
    pub fn comm(&self) -> Comm {
        // SAFETY: The C function has no requirements.
        let task = unsafe { bindings::get_current() };
        // SAFETY: By the type invariants this is in the current task, which exists as long as it
        // runs. Its name is an array of bytes, which others may write meanwhile: each byte that is
        // read is one that was written.
        Comm(unsafe {
            (&raw const (*task).comm)
                .cast::<CommBytes>()
                .read_volatile()
        })
    }

    /// Where in user space the call returns to.
    #[inline]
    pub fn instruction_pointer(&self) -> usize {
        // SAFETY: By the type invariants `regs` is a complete frame, which the C function reads.
        unsafe { bindings::instruction_pointer(self.regs) }
    }

    /// The stack pointer in user space.
    #[inline]
    pub fn stack_pointer(&self) -> usize {
        // SAFETY: By the type invariants `regs` is a complete frame, which the C function reads.
        unsafe { bindings::user_stack_pointer(self.regs) }
    }
}

/// A syscall that was entered and is to be judged.
///
/// Lent to [`Handler::enter`](super::Handler::enter); it cannot be kept.
pub struct Entry<'a> {
    frame: Frame<'a>,
    // In one word, so that the whole is handed on in registers.
    audit_arch_and_nr: u64,
}

impl<'a> Deref for Entry<'a> {
    type Target = Frame<'a>;

    #[inline]
    fn deref(&self) -> &Frame<'a> {
        &self.frame
    }
}

impl Entry<'_> {
    /// # Safety
    ///
    /// `regs` must satisfy the invariants of [`Frame`] while the object exists.
    #[inline]
    pub(super) unsafe fn new(regs: *mut bindings::pt_regs, audit_arch: u32, nr: i32) -> Self {
        Self {
            // SAFETY: The caller promises what the type invariants of `Frame` say of `regs`.
            frame: unsafe { Frame::new(regs) },
            // CAST: Keeps the bits.
            audit_arch_and_nr: u64::from(audit_arch) << 32 | u64::from(nr as u32),
        }
    }

    /// Sets the result of a call that is not made.
    #[inline]
    pub(super) fn skip(&mut self, result: isize) {
        // As `syscall_set_return_value()`, which is inline in C.
        // CAST: Keeps the bits.
        // SAFETY: By the type invariants of `Frame` the task uses its frame through this object
        // only, which `&mut self` keeps from being read or written meanwhile.
        unsafe { (*self.frame.regs).ax = result as usize };
    }

    /// The number as the kernel has it, with the bit of x32.
    #[inline]
    pub fn raw_number(&self) -> i32 {
        // CAST: The low half.
        self.audit_arch_and_nr as i32
    }

    /// The convention that the call followed when it was made, and its number there, which is
    /// never -1.
    #[inline]
    pub fn arch_and_number(&self) -> (Arch, i32) {
        // CAST: The high half.
        arch_and_number((self.audit_arch_and_nr >> 32) as u32, self.raw_number())
    }

    /// An argument, counted from 0; 0 if there is none such. See [`Frame::arguments`].
    #[inline(always)]
    pub fn argument(&self, index: usize) -> usize {
        // SAFETY: By the type invariants of `Frame` the task uses its frame through this object
        // only, which `&self` keeps from being written.
        let regs = unsafe { &*self.frame.regs };
        // As `syscall_get_arguments()`, which copies all.
        if let Arch::I386 = self.arch() {
            let arg = match index {
                0 => regs.bx,
                1 => regs.cx,
                2 => regs.dx,
                3 => regs.si,
                4 => regs.di,
                5 => regs.bp,
                _ => 0,
            };
            // CAST: Drops the upper half.
            arg as u32 as usize
        } else {
            match index {
                0 => regs.di,
                1 => regs.si,
                2 => regs.dx,
                3 => regs.r10,
                4 => regs.r8,
                5 => regs.r9,
                _ => 0,
            }
        }
    }

    /// The convention that the call follows.
    #[inline]
    pub fn arch(&self) -> Arch {
        self.arch_and_number().0
    }

    /// The number of the call when it was made, of the convention that [`Self::arch`] says; never
    /// -1.
    #[inline]
    pub fn number(&self) -> i32 {
        self.arch_and_number().1
    }

    /// The memory of the current task that an argument points to.
    ///
    /// Reading it faults it in, and so may sleep; it fails with `EFAULT` where there is none, and
    /// for an address that is not in user space.
    ///
    /// **This is not what the call will use.** The kernel reads the memory again when it makes the
    /// call, and another thread, or a process that shares the memory, may have changed it by then.
    /// What is read here is good for logs and statistics, and for rules that guard against
    /// mistakes, but not for those that must hold against the program.
    #[inline]
    pub fn user_slice(&self, index: usize, len: usize) -> UserSlice {
        UserSlice::new(UserPtr::from_addr(self.argument(index)), len)
    }

    /// The string that an argument points to, such as a path. See [`Self::user_slice`] for what it
    /// must not be used for.
    ///
    /// One that does not fit into `buf` with its NUL is cut off, and that is no error. A rule about
    /// a path's end needs room for `PATH_MAX` bytes, which is too much for the stack:
    /// `KVec::from_elem(0u8, 4096, GFP_KERNEL)?`.
    ///
    /// # Errors
    ///
    /// - `EFAULT`: it is not in the memory of the task.
    /// - `EINVAL`: `buf` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use kernel::syscall_slowpath::{Arch, Entry, Handler, Verdict};
    ///
    /// /// Traces the programs that are executed.
    /// struct Programs;
    ///
    /// #[vtable]
    /// impl Handler for Programs {
    ///     fn enter(&self, call: Entry<'_>) -> Verdict {
    ///         let exec = call.arch_and_number();
    ///         if let (Arch::X86_64, 59) | (Arch::I386, 11) | (Arch::X32, 520) = exec {
    ///             // The stack of a task is small: no more than this.
    ///             let mut buf = [0; 256];
    ///             if let Ok(path) = call.user_string(0, &mut buf) {
    ///                 call.note(path);
    ///             }
    ///         }
    ///         Verdict::Call
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn user_string<'buf>(&self, index: usize, buf: &'buf mut [u8]) -> Result<&'buf CStr> {
        self.user_slice(index, buf.len())
            .reader()
            .strcpy_into_buf(buf)
    }

    /// Makes it the call `nr` of the same convention, which it is up to its exit; `ENOMEM`.
    ///
    /// It is not judged again here, but by seccomp, and is what tracepoints and audit see. An
    /// emulated vsyscall cannot become another call: its task is killed.
    ///
    /// # Examples
    ///
    /// Has `getuid` answer as `geteuid`, `nanosleep` not wait, and `sync` do nothing.
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use kernel::syscall_slowpath::{Arch, Entry, Handler, Verdict};
    ///
    /// struct Changes;
    ///
    /// impl Changes {
    ///     fn change(&self, mut call: Entry<'_>) -> Result<Verdict> {
    ///         match call.arch_and_number() {
    ///             (Arch::X86_64, 102) => call.redirect(107)?,
    ///             // The remaining time is written nowhere.
    ///             (Arch::X86_64, 35) => call.set_argument(1, 0)?,
    ///             (Arch::X86_64, 162) => return Ok(Verdict::Return(0)),
    ///             _ => (),
    ///         }
    ///         Ok(Verdict::Call)
    ///     }
    /// }
    ///
    /// #[vtable]
    /// impl Handler for Changes {
    ///     fn enter(&self, call: Entry<'_>) -> Verdict {
    ///         // Without memory the call fails: it must not be made as it is.
    ///         self.change(call).unwrap_or_else(Verdict::Errno)
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn redirect(&mut self, nr: i32) -> Result {
        let nr = match self.arch() {
            Arch::X32 => nr | X32_SYSCALL_BIT,
            Arch::I386 | Arch::X86_64 => nr,
        };
        // SAFETY: By the type invariants of `Frame` this is the complete frame of the current task,
        // in the hook that `&mut self` was lent to, as the C function demands.
        to_result(unsafe { bindings::syscall_slowpath_set_number(self.frame.regs, nr) })
    }

    /// Sets an argument, counted from 0, up to the exit; `EINVAL` if there is none such, `ENOMEM`.
    #[inline]
    pub fn set_argument(&mut self, index: usize, value: usize) -> Result {
        let index = index.try_into().map_err(|_| EINVAL)?;
        let value = match self.arch() {
            // CAST: Drops what is no part of the call.
            Arch::I386 => value as u32 as usize,
            Arch::X86_64 | Arch::X32 => value,
        };
        // SAFETY: By the type invariants of `Frame` this is the complete frame of the current task,
        // in the hook that `&mut self` was lent to, as the C function demands.
        to_result(unsafe { bindings::syscall_slowpath_set_argument(self.frame.regs, index, value) })
    }

    /// Says several things that are to become of the call, for the hook to return what this
    /// returns; `ENOMEM`. The registers are put back as by the functions above.
    #[inline]
    pub fn plan(&mut self, plan: Plan) -> Result<Verdict> {
        let c_plan = bindings::syscall_slowpath_plan {
            audit: plan.audit.map_or(0, audit_value),
            delay: nanos(plan.delay),
            exit_delay: nanos(plan.exit_delay),
            action: plan.verdict.carry_out(self),
            signal: i32::from(plan.signal),
        };
        // SAFETY: By the type invariants of `Frame` this is the complete frame of the current task,
        // in the hook that `&mut self` was lent to, as the C function demands, which copies the
        // plan.
        to_result(unsafe { bindings::syscall_slowpath_set_plan(self.frame.regs, &c_plan) })?;
        Ok(Verdict::Planned)
    }

    /// Has bytes written to the memory that an argument points to, when the call returns: the
    /// argument as it is now. Nothing is written where there is no such memory. `ENOMEM`.
    #[inline]
    pub fn write_at_exit(&mut self, index: usize, bytes: &[u8]) -> Result {
        // SAFETY: By the type invariants of `Frame` this is the complete frame of the current task,
        // in the hook that `&mut self` was lent to, as the C function demands, which copies the
        // bytes.
        to_result(unsafe {
            bindings::syscall_slowpath_set_write(
                self.frame.regs,
                self.argument(index),
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        })
    }

    /// Has the call return this, a value or a negative error, whatever it does; `ENOMEM`.
    #[inline]
    pub fn set_result(&mut self, value: isize) -> Result {
        // SAFETY: By the type invariants of `Frame` this is the complete frame of the current task,
        // in the hook that `&mut self` was lent to, as the C function demands.
        to_result(unsafe { bindings::syscall_slowpath_set_result(self.frame.regs, value) })
    }

    /// Remembers that the call was made now, for [`Exit::recall`].
    ///
    /// 0 is nothing. What another handler's hook remembers may be what is recalled: `what` has to
    /// say whose it is. It is forgotten when the task comes to another group.
    #[inline]
    pub fn remember(&self, what: u64) {
        // SAFETY: By the type invariants of `Frame` the current task is in a syscall, and in a hook
        // of its entry, which this was lent to, as the C function demands.
        unsafe { bindings::syscall_slowpath_remember(what) };
    }
}

/// A class of work that a syscall's exit has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitClass {
    /// Another task is to run.
    Reschedule = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_RESCHEDULE,
    /// A tracer wants a stop at syscall exit.
    Trace = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_TRACE,
    /// A tracer single-steps the task.
    Step = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_STEP,
    /// The `raw_syscalls` tracepoints are on.
    Tracepoint = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_TRACEPOINT,
    /// The task is audited.
    Audit = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_AUDIT,
    /// A uprobe was hit.
    Uprobe = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_UPROBE,
    /// A signal is pending.
    Signal = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_SIGNAL,
    /// Task work, or memory or cgroup accounting, is to be done.
    NotifyResume = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_NOTIFY_RESUME,
    /// A live patch waits for the task.
    PatchPending = bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_PATCH_PENDING,
    /// A user-return notifier is armed.
    UserReturnNotify =
        bindings::syscall_slowpath_exit_class_SYSCALL_SLOWPATH_EXIT_USER_RETURN_NOTIFY,
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
}

/// The work that a syscall's exit had to do when it began: a bit for each [`ExitClass`].
#[derive(Clone, Copy)]
pub struct ExitWork(u32);

impl ExitWork {
    /// Whether there was any, of any class.
    #[inline]
    pub fn any(self) -> bool {
        self.0 & !bindings::SYSCALL_SLOWPATH_PASSED != 0
    }

    /// All of it, each class by the bit that has its number. If [`Exit::passed`] is true the
    /// highest bit is set, too.
    #[inline]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether there was work of this class.
    #[inline]
    pub fn has(self, class: ExitClass) -> bool {
        // CAST: The number of the class is its bit's.
        self.0 & 1 << class as u32 != 0
    }
}

/// A syscall that is about to return.
///
/// Lent to [`Handler::exit_work`](super::Handler::exit_work); it cannot be kept.
pub struct Exit<'a> {
    frame: Frame<'a>,
    work: ExitWork,
}

impl<'a> Deref for Exit<'a> {
    type Target = Frame<'a>;

    #[inline]
    fn deref(&self) -> &Frame<'a> {
        &self.frame
    }
}

impl Exit<'_> {
    /// # Safety
    ///
    /// `regs` must satisfy the invariants of [`Frame`] while the object exists.
    #[inline]
    pub(super) unsafe fn new(regs: *mut bindings::pt_regs, classes: u32) -> Self {
        Self {
            // SAFETY: The caller promises what the type invariants of `Frame` say of `regs`.
            frame: unsafe { Frame::new(regs) },
            work: ExitWork(classes),
        }
    }

    /// The call's result: a value, or a negative error.
    #[inline]
    pub fn result(&self) -> isize {
        // SAFETY: By the type invariants of `Frame` this is a complete frame, which the C function
        // reads.
        unsafe { bindings::syscall_get_return_value(self.frame.regs) }
    }

    /// The register that the result is in: [`Self::result`], but that the upper half is zero if a
    /// tracer, or a handler, has set a result of 32 bits.
    #[inline(always)]
    pub fn raw_result(&self) -> isize {
        // SAFETY: By the type invariants of `Frame` this is a complete frame, which the task uses
        // through this object only.
        // CAST: Keeps the bits.
        unsafe { (*self.frame.regs).ax as isize }
    }

    /// The number of the error that the call fails with, if it does; not if a tracer, or a handler,
    /// has set a result that is one in 32 bits only.
    #[inline(always)]
    pub fn error(&self) -> Option<u16> {
        match self.raw_result() {
            // CAST: Below 4096.
            error @ -4095..0 => Some(error.unsigned_abs() as u16),
            _ => None,
        }
    }

    /// Sets the call's result: a value, or a negative error.
    #[inline]
    pub fn set_result(&mut self, value: isize) {
        // SAFETY: By the type invariants of `Frame` the task uses its frame through this object
        // only, which `&mut self` keeps from being read.
        unsafe { bindings::syscall_set_return_value(self.frame.regs, 0, value) };
    }

    /// The work that is to be done.
    #[inline]
    pub fn work(&self) -> ExitWork {
        self.work
    }

    /// Whether the call was made without asking the handler, as
    /// [`SharedGroup::set_passing`](super::SharedGroup::set_passing) had it, and counted then.
    #[inline]
    pub fn passed(&self) -> bool {
        self.work.0 & bindings::SYSCALL_SLOWPATH_PASSED != 0
    }

    /// What [`Entry::remember`] was told, and how long ago, if it was since the task's last exit
    /// that asked for it.
    #[inline]
    pub fn recall(&self) -> Option<(u64, Delta)> {
        let mut ns = 0;
        // SAFETY: By the type invariants of `Frame` the current task is in a syscall, and in a hook
        // of its exit, which this was lent to, as the C function demands.
        let what = unsafe { bindings::syscall_slowpath_recall(&mut ns) };
        // CAST: No call takes centuries.
        (what != 0).then(|| (what, Delta::from_nanos(ns as i64)))
    }
}
