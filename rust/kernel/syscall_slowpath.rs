// SPDX-License-Identifier: GPL-2.0

//! Per-task handlers on the syscall slow path.
//!
//! A [`Handler`] sees, and may decide, the syscalls of the tasks that are attached to it. A task
//! can be attached and detached at any time, whatever it is doing; it takes effect at the task's
//! next syscall entry or exit.
//!
//! C header: [`include/linux/syscall_slowpath.h`](srctree/include/linux/syscall_slowpath.h)
//!
//! # Examples
//!
//! A handler, and how tasks come to it. Numbers of syscalls are those of the call's own [`Arch`]:
//! a handler that is to refuse something looks at that, too.
//!
//! ```
//! use kernel::prelude::*;
//! use kernel::syscall_slowpath::{Arch, Entry, Handler, Registration, Verdict};
//!
//! struct NoReboot;
//!
//! #[vtable]
//! impl Handler for NoReboot {
//!     fn enter(&self, call: Entry<'_>) -> Verdict {
//!         match call.arch_and_number() {
//!             (Arch::X86_64 | Arch::X32, 169) | (Arch::I386, 88) => Verdict::Errno(EPERM),
//!             _ => Verdict::Call,
//!         }
//!     }
//! }
//!
//! // A module keeps this pinned in itself.
//! let registration = KBox::pin_init(Registration::<NoReboot>::new(), GFP_KERNEL)?;
//!
//! // There is no such task.
//! assert_eq!(registration.attach_tid(-1, Ok(NoReboot)).err(), Some(ESRCH));
//! // A kernel thread makes no syscalls, and this code runs in one.
//! assert_eq!(registration.attach(current!(), Ok(NoReboot)).err(), Some(EPERM));
//! assert_eq!(registration.detach(current!()).err(), Some(ESRCH));
//!
//! // Lets all tasks go, and waits for hooks that run.
//! drop(registration);
//! # Ok::<(), Error>(())
//! ```
//!
//! [`module_syscall_handler!`] makes a module of a handler, and has an example that is one.
//!
//! [`module_syscall_handler!`]: crate::module_syscall_handler
//!
//! # Who keeps what
//!
//! An attachment's data, which is the type that implements [`Handler`], is owned by the attachment,
//! and dropped when its last task has left and no hook uses it. What a hook gets is lent to it: an
//! [`Entry`] or an [`Exit`] has the lifetime of the call, cannot be sent elsewhere, and is the only
//! way to the registers. A module cannot be unloaded while its hooks run: its [`Registration`]
//! waits for them when it is dropped. As with the kernel's other registrations, that takes one that
//! is dropped: keep it in the module, and do not leak it. What a [`Published`] has still to drop
//! then is dropped before the module's code goes.

use crate::{
    bindings,
    container_of,
    error::{to_result, VTABLE_DEFAULT_ERROR},
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    task::{
        Pid,
        Task, //
    },
    time::Delta,
    types::Opaque, //
};
use core::marker::PhantomData;

mod call;
mod flag;
mod module;
mod published;

pub use call::{Arch, Entry, Exit, ExitClass, ExitPath, ExitWork, Frame, HookContext, Verdict};
pub use flag::Flag;
pub use published::{Published, PublishedGuard, Unpublished};

/// What a handler does with the syscalls of the tasks attached to it.
///
/// A value of the implementing type belongs to each [`Attachment`], and is dropped after the last
/// of its tasks left and no hook uses it. It may be shared by several tasks, whose hooks run
/// concurrently.
#[vtable]
pub trait Handler: Sized + Send + Sync + 'static {
    /// Judges a syscall before seccomp sees it.
    ///
    /// # Context
    ///
    /// Runs in the task that makes the call, with interrupts and preemption on. May sleep, allocate
    /// and fault in user memory; detaching the task does not wait for it, but unloading the module
    /// does. Must not drop the [`Registration`].
    ///
    /// # Examples
    ///
    /// Every tenth call of an attachment fails, but for those that a program cannot do without.
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use kernel::sync::atomic::{ordering::Relaxed, Atomic};
    /// use kernel::syscall_slowpath::{Arch, Entry, Handler, Verdict};
    ///
    /// struct Tenth(Atomic<u64>);
    ///
    /// #[vtable]
    /// impl Handler for Tenth {
    ///     fn enter(&self, call: Entry<'_>) -> Verdict {
    ///         // rt_sigreturn, exit, restart_syscall, exit_group
    ///         if call.arch() != Arch::X86_64 || [15, 60, 219, 231].contains(&call.number()) {
    ///             Verdict::Call
    ///         } else if self.0.fetch_add(1, Relaxed) % 10 == 9 {
    ///             Verdict::Errno(EIO)
    ///         } else {
    ///             Verdict::Call
    ///         }
    ///     }
    /// }
    /// # let _ = Tenth(Atomic::new(0));
    /// ```
    fn enter(&self, _call: Entry<'_>) -> Verdict {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Whether a call goes on without [`Handler::enter`], which would let it, too. In the same
    /// context.
    ///
    /// Not part of the interface: `enter` is all that a handler needs. This is for one that lets
    /// nearly every call go on, and is spared the stack frame that `enter` needs for the rest.
    #[doc(hidden)]
    fn pass(&self, _call: &Entry<'_>) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs once on the way out of each syscall, in the context of [`Handler::enter`].
    ///
    /// The entry of the same syscall may not have been seen: the task was attached while the call
    /// slept, or is a new child that returns for the first time. Calls that were not made, because
    /// [`Handler::enter`] or seccomp refused them, return by here as others do, with their number
    /// and the result that they were given.
    ///
    /// Signals are handled after this. A call that one has interrupted may have a result from -512
    /// to -516 here: user space never sees that, but `EINTR`, or the call is made again. When the
    /// signal's handler returns, by the call `sigreturn`, that call's exit has the number -1, and
    /// as its result what it has restored, such as the `EINTR` of the first call.
    ///
    /// # Examples
    ///
    /// Says when a call of the attachment has failed, and leaves by IRET if a signal is pending.
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use kernel::syscall_slowpath::{Exit, ExitClass, ExitPath, Handler};
    ///
    /// struct Failures;
    ///
    /// #[vtable]
    /// impl Handler for Failures {
    ///     fn exit_work(&self, exit: Exit<'_>) -> ExitPath {
    ///         // Not what sigreturn restores, nor a call that is interrupted.
    ///         let (_, number) = exit.arch_and_number();
    ///         let restarts = (-516..=-512).contains(&exit.result());
    ///         if number != -1 && !restarts && (-4095..0).contains(&exit.result()) {
    ///             exit.note(c"failed");
    ///         }
    ///         if exit.work().has(ExitClass::Signal) {
    ///             ExitPath::Iret
    ///         } else {
    ///             ExitPath::Auto
    ///         }
    ///     }
    /// }
    /// ```
    fn exit_work(&self, _exit: Exit<'_>) -> ExitPath {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A delay that [`enter`](Handler::enter) asked for is over: the task has waited for so long.
    /// May sleep.
    fn delayed(&self, _waited: Delta) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Decides whether a new child or thread of an attached task shares the attachment. Without
    /// this function, none does. A program that the task executes keeps it in any case.
    ///
    /// # Context
    ///
    /// Runs in the parent, with interrupts off and locks held: must not sleep, nor allocate but
    /// with `GFP_ATOMIC`.
    ///
    /// # Examples
    ///
    /// Those that are made while a switch is on share it.
    ///
    /// ```
    /// use kernel::{prelude::*, syscall_slowpath::{Flag, Handler}, task::Task};
    ///
    /// struct Family {
    ///     grows: Flag,
    /// }
    ///
    /// #[vtable]
    /// impl Handler for Family {
    ///     fn inherit(&self, _child: &Task) -> bool {
    ///         self.grows.get()
    ///     }
    /// }
    /// # let _ = Family { grows: Flag::new(true) };
    /// ```
    fn inherit(&self, _child: &Task) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last task has left, by an exit or because it was detached; no other will share the
    /// attachment.
    ///
    /// Called once. Hooks may still run in a task that was detached. May sleep, and delays no task
    /// that exits; but must not wait for the registration to be dropped.
    fn left(_attachment: ArcBorrow<'_, Attachment<Self>>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// What one task, and the children that share it, are attached to.
///
/// # Invariants
///
/// `inner` was passed to `syscall_slowpath_attach()`, with success, before anybody but
/// [`Registration::attach`] could refer to it. From then on until `release()` the C side uses it,
/// and owns one reference count of the [`Arc`] that holds the attachment.
#[pin_data]
pub struct Attachment<T: Handler> {
    #[pin]
    inner: Opaque<bindings::syscall_slowpath_attachment>,
    #[pin]
    data: T,
}

// SAFETY: Of `inner` we only hand the address to C functions, which take `syscall_slowpath_lock`
// wherever they run, and `T` is `Send`.
unsafe impl<T: Handler> Send for Attachment<T> {}
// SAFETY: As above, for functions that run at the same time; and `T` is `Sync`.
unsafe impl<T: Handler> Sync for Attachment<T> {}

impl<T: Handler> Attachment<T> {
    /// The handler's own data.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// How many live tasks share this attachment.
    pub fn nr_tasks(&self) -> u32 {
        // SAFETY: By the type invariants, `inner` was attached, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_nr_tasks(self.inner.get()) }
    }

    /// Switches the attachment on or off: its tasks stay attached, on the fast path.
    ///
    /// Process context.
    pub fn enable(&self, enable: bool) {
        // SAFETY: By the type invariants, `inner` was attached, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_enable_attachment(self.inner.get(), enable) };
    }

    /// Lets those of its tasks go on that hooks have delayed by now.
    ///
    /// For delays that are not wanted any more: [`Handler::enter`] must no longer ask for them when
    /// this is called. Process context.
    pub fn end_delays(&self) {
        // SAFETY: By the type invariants, `inner` was attached, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_end_delays(self.inner.get()) };
    }

    /// # Safety
    ///
    /// `inner` must be embedded in an `Attachment<T>` that is valid for `'a` and owned by an `Arc`.
    #[inline]
    unsafe fn from_inner<'a>(
        inner: *mut bindings::syscall_slowpath_attachment,
    ) -> ArcBorrow<'a, Self> {
        // SAFETY: By the safety requirements; `Opaque<T>` has the layout of `T`.
        unsafe { ArcBorrow::from_raw(container_of!(Opaque::cast_from(inner), Self, inner)) }
    }
}

/// A registered handler.
///
/// Dropping it detaches its tasks, and waits for hooks that are running, for as long as they take.
///
/// # Invariants
///
/// `inner` holds a handler registered with `syscall_slowpath_register()`, all attachments of which
/// are embedded in an `Attachment<T>`.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Handler> {
    #[pin]
    inner: Opaque<bindings::syscall_slowpath_handler>,
    _p: PhantomData<T>,
}

// SAFETY: `syscall_slowpath_unregister()` may be called by any task, and there is no `T` in here.
unsafe impl<T: Handler> Send for Registration<T> {}
// SAFETY: The C functions that get `inner` take `syscall_slowpath_lock` for all that they change of
// it.
unsafe impl<T: Handler> Sync for Registration<T> {}

impl<T: Handler> Registration<T> {
    /// Registers a handler.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inner <- Opaque::try_ffi_init(|slot: *mut bindings::syscall_slowpath_handler| {
                // SAFETY: By the contract of `try_ffi_init()`, `slot` is valid for writes.
                unsafe { slot.write(pin_init::zeroed()) };
                // SAFETY: As above, and it was initialised by the line above.
                unsafe { (*slot).ops = Ops::<T>::vtable() };
                // INVARIANT: Registered if this succeeds.
                // SAFETY: Its ops are set. It does not move, being pinned, nor go before `drop()`
                // has unregistered it.
                to_result(unsafe { bindings::syscall_slowpath_register(slot) })
            }),
            _p: PhantomData,
        })
    }

    /// Attaches `task`, with `data` for its attachment: an initializer, or `Ok` and a value, which
    /// is dropped if this fails. May sleep.
    ///
    /// # Errors
    ///
    /// - `EPERM`: a kernel thread, or a worker that makes no syscalls.
    /// - `ESRCH`: the task is exiting.
    /// - `EBUSY`: it is attached already, to this handler or another.
    /// - `EINTR`: the current task was killed while it waited for an exec of that task.
    /// - `ESHUTDOWN`: the registration is being dropped.
    pub fn attach(&self, task: &Task, data: impl PinInit<T, Error>) -> Result<Arc<Attachment<T>>> {
        let attachment = Arc::pin_init(
            try_pin_init!(Attachment {
                inner <- pin_init::init_zeroed(),
                data <- data,
            }? Error),
            GFP_KERNEL,
        )?;
        // The reference that the C side owns until it calls `release()`.
        let owned = attachment.clone().into_raw();

        // SAFETY: By the type invariants, `inner` is a registered handler. The attachment was
        // zeroed above, and is embedded in the type that the functions in `Ops<T>` take it for.
        // `owned` keeps it until `release()`. A `&Task` keeps its task.
        let ret = to_result(unsafe {
            bindings::syscall_slowpath_attach(
                self.inner.get(),
                attachment.inner.get(),
                task.as_ptr(),
            )
        });
        if ret.is_err() {
            // SAFETY: `owned` comes from `into_raw()`, and after an error the C side does not own
            // it.
            drop(unsafe { Arc::from_raw(owned) });
        }
        ret.map(|()| attachment)
    }

    /// The same for the task with this TID in the current task's PID namespace; `ESRCH` if there is
    /// none.
    pub fn attach_tid(&self, tid: Pid, data: impl PinInit<T, Error>) -> Result<Arc<Attachment<T>>> {
        self.attach(&*Task::from_vpid(tid).ok_or(ESRCH)?, data)
    }

    /// Detaches `task`; `ESRCH` if it is not attached to this handler. May sleep.
    pub fn detach(&self, task: &Task) -> Result {
        // SAFETY: By the type invariants, `inner` is a registered handler. A `&Task` keeps its
        // task.
        to_result(unsafe { bindings::syscall_slowpath_detach(self.inner.get(), task.as_ptr()) })
    }

    /// The same for the task with this TID in the current task's PID namespace.
    pub fn detach_tid(&self, tid: Pid) -> Result {
        self.detach(&*Task::from_vpid(tid).ok_or(ESRCH)?)
    }

    /// Detaches every task of this handler. May sleep.
    pub fn detach_all(&self) {
        // SAFETY: By the type invariants, `inner` is a registered handler.
        unsafe { bindings::syscall_slowpath_detach_all(self.inner.get()) };
    }

    /// Waits until [`Handler::left`] has returned for all attachments whose last task has exited;
    /// not for those whose last task is being detached. May sleep; not in that function.
    pub fn flush_left(&self) {
        // SAFETY: Always safe to call where sleeping is.
        unsafe { bindings::syscall_slowpath_flush_left() };
    }

    /// Switches all attachments of this handler on or off. Process context.
    pub fn enable(&self, enable: bool) {
        // SAFETY: By the type invariants, `inner` is a registered handler.
        unsafe { bindings::syscall_slowpath_enable(self.inner.get(), enable) };
    }
}

#[pinned_drop]
impl<T: Handler> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, `inner` is a registered handler, and nobody can borrow it
        // any more.
        unsafe { bindings::syscall_slowpath_unregister(self.inner.get()) };
    }
}

/// Keeps every task of the system, present and future, on the slow path while it exists.
pub struct ForceAll(());

impl ForceAll {
    /// Puts every task on the slow path. There may be several at a time. Process context, may
    /// sleep.
    #[inline]
    pub fn new() -> Self {
        // SAFETY: Always safe to call in process context.
        unsafe { bindings::syscall_slowpath_force_all(true) };
        Self(())
    }
}

impl Default for ForceAll {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ForceAll {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: As in `new()`, whose call this is the counterpart of.
        unsafe { bindings::syscall_slowpath_force_all(false) };
    }
}

/// Says in a word why this boot does without the assembly fast path; [`None`] if it has one.
#[inline]
pub fn fast_path_off() -> Option<&'static str> {
    // SAFETY: Always safe to call.
    let word = unsafe { bindings::syscall_fastpath_status() };
    if word.is_null() {
        return None;
    }
    // SAFETY: What the C function returns is null, which was ruled out, or a string constant.
    let word = unsafe { CStr::from_char_ptr(word) };
    Some(word.to_str().unwrap_or("unknown"))
}

/// Leaves an audit record that the current task did this, a word, to what is called `name`, and
/// with which result. Attaching, detaching, switching all off and killing leave theirs without
/// this. Process context, may sleep.
pub fn audit<T>(what: &CStr, name: &CStr, result: &Result<T>) {
    let error = result.as_ref().err().map_or(0, |e| e.to_errno());
    // SAFETY: A `&CStr` points to bytes that end in NUL, and is borrowed for longer than the call.
    unsafe { bindings::syscall_slowpath_audit(what.as_char_ptr(), name.as_char_ptr(), error) };
}

struct Ops<T: Handler>(PhantomData<T>);

impl<T: Handler> Ops<T> {
    const OPS: bindings::syscall_slowpath_ops = bindings::syscall_slowpath_ops {
        enter: if T::HAS_ENTER {
            Some(Self::enter)
        } else {
            None
        },
        exit_work: if T::HAS_EXIT_WORK {
            Some(Self::exit_work)
        } else {
            None
        },
        delayed: if T::HAS_DELAYED {
            Some(Self::delayed)
        } else {
            None
        },
        fork: if T::HAS_INHERIT {
            Some(Self::fork)
        } else {
            None
        },
        left: if T::HAS_LEFT { Some(Self::left) } else { None },
        release: Some(Self::release),
    };

    const fn vtable() -> *const bindings::syscall_slowpath_ops {
        &Self::OPS
    }

    /// # Safety
    ///
    /// As for all functions here: called by the C side for an attachment of a `Registration<T>`,
    /// before it calls `release()`. `regs` is the complete frame of the current task, used by
    /// nobody else while this runs.
    unsafe extern "C" fn enter(
        att: *mut bindings::syscall_slowpath_attachment,
        regs: *mut bindings::pt_regs,
        arch: u32,
        nr: i32,
    ) -> usize {
        if T::HAS_PASS {
            // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
            // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
            // until `release()`.
            let attachment = unsafe { Attachment::<T>::from_inner(att) };
            // SAFETY: By the safety requirements.
            let entry = unsafe { Entry::new(regs, arch, nr) };
            if attachment.data.pass(&entry) {
                return bindings::syscall_slowpath_action_SYSCALL_SLOWPATH_CALL as usize;
            }
        }
        // SAFETY: By the safety requirements.
        unsafe { Self::judge(att, regs, arch, nr) }
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    #[inline(never)]
    unsafe extern "C" fn judge(
        att: *mut bindings::syscall_slowpath_attachment,
        regs: *mut bindings::pt_regs,
        arch: u32,
        nr: i32,
    ) -> usize {
        // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
        // until `release()`.
        let attachment = unsafe { Attachment::<T>::from_inner(att) };
        // SAFETY: By the safety requirements.
        let entry = unsafe { Entry::new(regs, arch, nr) };
        let verdict = attachment.data.enter(entry);
        // SAFETY: By the safety requirements; the only other object for this frame was moved into
        // `enter()`, and cannot outlive it.
        verdict.carry_out(unsafe { Entry::new(regs, arch, nr) })
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn exit_work(
        att: *mut bindings::syscall_slowpath_attachment,
        regs: *mut bindings::pt_regs,
        classes: u32,
    ) -> bool {
        // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
        // until `release()`.
        let attachment = unsafe { Attachment::<T>::from_inner(att) };
        // SAFETY: By the safety requirements.
        let exit = unsafe { Exit::new(regs, classes) };
        matches!(attachment.data.exit_work(exit), ExitPath::Auto)
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn delayed(att: *mut bindings::syscall_slowpath_attachment, ns: u64) {
        // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
        // until `release()`.
        let attachment = unsafe { Attachment::<T>::from_inner(att) };
        // CAST: No task waits for centuries.
        attachment.data.delayed(Delta::from_nanos(ns as i64));
    }

    /// # Safety
    ///
    /// As for [`Self::enter`]; `child` is a task.
    unsafe extern "C" fn fork(
        att: *mut bindings::syscall_slowpath_attachment,
        child: *mut bindings::task_struct,
        _clone_flags: u64,
    ) -> bool {
        // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
        // until `release()`.
        let attachment = unsafe { Attachment::<T>::from_inner(att) };
        // SAFETY: By the safety requirements, `child` is a task, which the C side does not free
        // during the call; `Task` is `repr(transparent)`.
        attachment.data.inherit(unsafe { &*child.cast::<Task>() })
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn left(att: *mut bindings::syscall_slowpath_attachment) {
        // SAFETY: By the safety requirements, `att` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in an `Attachment<T>`, whose count the C side owns
        // until `release()`.
        T::left(unsafe { Attachment::<T>::from_inner(att) });
    }

    /// # Safety
    ///
    /// Called once by the C side, which does not use `att` afterwards.
    unsafe extern "C" fn release(att: *mut bindings::syscall_slowpath_attachment) {
        // SAFETY: By the invariants of `Registration`, `att` is embedded in an `Attachment<T>`.
        let attachment: *const Attachment<T> =
            unsafe { container_of!(Opaque::cast_from(att), Attachment<T>, inner) };
        // SAFETY: This is the reference that `Registration::attach()` has made by `into_raw()` for
        // the C side, which calls this once.
        drop(unsafe { Arc::from_raw(attachment) });
    }
}
