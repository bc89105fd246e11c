// SPDX-License-Identifier: GPL-2.0

//! Per-task handlers on the syscall slow path.
//!
//! A [`Handler`] sees, and may decide, the syscalls of the tasks in its groups. A task can join a
//! [`Group`], and leave it, at any time, whatever it is doing; it takes effect at the task's next
//! syscall entry or exit. Tasks that it makes from then on are in its group, too, before they make
//! their first call: all of them, or as [`Follow`] says.
//!
//! C header: [`include/linux/syscall_slowpath.h`](srctree/include/linux/syscall_slowpath.h)
//!
//! # Examples
//!
//! A handler, and how a process comes to it. Numbers of syscalls are those of the call's own
//! [`Arch`]: a handler that is to refuse something looks at that, too.
//!
//! ```
//! use kernel::prelude::*;
//! use kernel::syscall_slowpath::{Arch, Entry, Follow, Handler, Registration, Verdict, Whom};
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
//! // Set up first: nobody escapes in between.
//! let group = registration.group(c"no_reboot", Follow::All, Ok(NoReboot))?;
//! // There is no such process.
//! assert_eq!(group.join(&Whom::process(-1)).err(), Some(ESRCH));
//! // A kernel thread makes no syscalls, and this code runs in one.
//! let me = Whom::task_of(current!());
//! assert_eq!(group.join(&me).err(), Some(EPERM));
//! assert_eq!(group.leave(&me).err(), Some(ESRCH));
//! assert_eq!(group.nr_tasks(), 0);
//!
//! // Lets its tasks go. Each name is given to one group at a time.
//! drop(group);
//! let group = registration.group(c"no_reboot", Follow::Threads, Ok(NoReboot))?;
//! let other = registration.group(c"no_reboot", Follow::None, Ok(NoReboot));
//! assert_eq!(other.err(), Some(EEXIST));
//!
//! // Lets all tasks go, and waits for hooks that run.
//! drop(registration);
//! assert_eq!(group.nr_tasks(), 0);
//! # Ok::<(), Error>(())
//! ```
//!
//! [`module_syscall_handler!`] makes a module of a handler, and has an example that is one.
//!
//! [`module_syscall_handler!`]: crate::module_syscall_handler
//!
//! # Who keeps what
//!
//! A group's data, which is the type that implements [`Handler`], is owned by the group, and
//! dropped when that is closed, its tasks have left, and no hook uses it. What a hook gets is lent
//! to it: an [`Entry`] or an [`Exit`] has the lifetime of the call, cannot be sent elsewhere, and
//! is the only way to the registers. A module cannot be unloaded while its hooks run: its
//! [`Registration`] waits for them when it is dropped. As with the kernel's other registrations,
//! that takes one that is dropped: keep it in the module, and do not leak it. What a [`Published`]
//! has still to drop then is dropped before the module's code goes.

use crate::{
    bindings,
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
mod group;
mod module;
mod passing;
mod published;
mod verdict;

pub use call::{Arch, Comm, Entry, Exit, ExitClass, ExitPath, ExitWork, Frame, HookContext};
pub use flag::{Choice, Flag};
pub use group::{Follow, Group, Members, SharedGroup, Whom};
pub use passing::{PassTable, Passing, NR_PASSES};
pub use published::{Published, PublishedGuard, Unpublished};
pub use verdict::{AuditCode, Plan, Verdict};

/// What a handler does with the syscalls of the tasks in its groups.
///
/// A value of the implementing type belongs to each group, and is dropped after that was closed,
/// the last of its tasks has left, and no hook uses it. It is shared by all of them, whose hooks
/// run concurrently.
#[vtable]
pub trait Handler: Sized + Send + Sync + 'static {
    /// Whether [`Handler::exit_work`] runs in a group that was just made; see
    /// [`SharedGroup::set_exit_work`].
    const EXIT_WORK_AT_FIRST: bool = true;

    /// Judges a syscall before seccomp sees it.
    ///
    /// # Context
    ///
    /// Runs in the task that makes the call, with interrupts and preemption on. May sleep, allocate
    /// and fault in user memory; having the task leave does not wait for it, but unloading the
    /// module does. Must not drop the [`Registration`].
    ///
    /// # Examples
    ///
    /// Every tenth call of a group fails, but for those that a program cannot do without.
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

    /// Whether a call goes on without being judged by [`Handler::enter`], in the same context.
    ///
    /// For handlers that let most calls through: this runs without a stack frame, if it calls
    /// nothing. Those that can say so by the number of the call alone have
    /// [`SharedGroup::set_passing`], too.
    fn pass(&self, _call: &Entry<'_>) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs once on the way out of each syscall but those that pass, in the context of
    /// [`Handler::enter`]; not while [it is not wanted](SharedGroup::set_exit_work).
    ///
    /// The entry of the same syscall may not have been seen: the task has joined while the call
    /// slept, or is a new child that returns for the first time; or the call [has
    /// passed](Exit::passed), and C has to end it. Calls that were not made, because
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
    /// Says when a call of the group has failed, and leaves by IRET if a signal is pending.
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

    /// The last task has left a group that was made by [`Registration::attach`], or that is being
    /// closed; no other will join it.
    ///
    /// Called once. Hooks may still run in a task that was taken off it. May sleep, and delays no
    /// task that exits; but must not wait for the registration to be dropped.
    fn left(_group: ArcBorrow<'_, SharedGroup<Self>>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A registered handler.
///
/// Dropping it closes its groups, and waits for hooks that are running, for as long as they take.
///
/// # Invariants
///
/// `inner` holds a handler registered with `syscall_slowpath_register()`, all groups of which are
/// embedded in a `SharedGroup<T>`.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Handler> {
    #[pin]
    inner: Opaque<bindings::syscall_slowpath_handler>,
    _p: PhantomData<T>,
}

// SAFETY: `syscall_slowpath_unregister()` may be called by any task, and there is no `T` in here.
unsafe impl<T: Handler> Send for Registration<T> {}
// SAFETY: The C functions that get `inner` take `syscall_slowpath_mutex` for all that they change
// of it.
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

    /// Makes a group without tasks, which lasts until what is returned is dropped, or this
    /// registration.
    ///
    /// `data` is an initializer for what its hooks get, or `Ok` and a value; it is dropped if this
    /// fails. May sleep.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the name is empty, longer than 63 bytes, `none`, or has blanks or control
    ///   characters in it.
    /// - `EEXIST`: there is another group with this name, of this handler or another.
    /// - `ESHUTDOWN`: the registration is being dropped.
    pub fn group(
        &self,
        name: &CStr,
        follow: Follow,
        data: impl PinInit<T, Error>,
    ) -> Result<Group<T>> {
        SharedGroup::new(self, name, group::Kind::Lasting, follow, data).map(Group::from_lasting)
    }

    /// Has one task join a group of its own, which is closed when the last task has left that it
    /// ever had.
    ///
    /// Nobody finds the group by its name, which others may have, too. `data` is as for
    /// [`Registration::group`]. May sleep.
    ///
    /// # Errors
    ///
    /// As for [`Registration::group`] and [`SharedGroup::join`].
    pub fn attach(
        &self,
        task: &Task,
        name: &CStr,
        follow: Follow,
        data: impl PinInit<T, Error>,
    ) -> Result<Arc<SharedGroup<T>>> {
        let group = SharedGroup::new(self, name, group::Kind::Single, follow, data)?;
        group
            .join(&Whom::task_of(task))
            .inspect_err(|_| group.close_by_force())?;
        Ok(group)
    }

    /// The same for the task with this TID in the current task's PID namespace; `ESRCH` if there is
    /// none.
    pub fn attach_tid(
        &self,
        tid: Pid,
        name: &CStr,
        follow: Follow,
        data: impl PinInit<T, Error>,
    ) -> Result<Arc<SharedGroup<T>>> {
        self.attach(&*Task::from_vpid(tid).ok_or(ESRCH)?, name, follow, data)
    }

    /// Has `task` leave its group; `ESRCH` if that is not one of this handler's, `EBUSY` if it is
    /// there because of its cgroup. May sleep.
    pub fn detach(&self, task: &Task) -> Result {
        Whom::task_of(task).with_pid(|pid, _| {
            // SAFETY: By the type invariants, `inner` is a registered handler. `pid` is valid for
            // the call.
            to_result(unsafe { bindings::syscall_slowpath_detach(self.inner.get(), pid) })
        })
    }

    /// Has every task leave its group of this handler, but for those that are there because of
    /// their cgroups. May sleep.
    pub fn detach_all(&self) {
        // SAFETY: By the type invariants, `inner` is a registered handler.
        unsafe { bindings::syscall_slowpath_detach_all(self.inner.get()) };
    }

    /// Waits until [`Handler::left`] has returned for all groups that were closed because their
    /// last task has exited; not for those whose last task is being taken off. May sleep; not in
    /// that function.
    pub fn flush_left(&self) {
        // SAFETY: Always safe to call where sleeping is.
        unsafe { bindings::syscall_slowpath_flush_left() };
    }

    /// Switches all groups of this handler on or off. Process context.
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
/// with which result. Joining, leaving, switching all off and killing leave theirs without this.
/// Process context, may sleep.
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
        left: if T::HAS_LEFT { Some(Self::left) } else { None },
        release: Some(Self::release),
    };

    const fn vtable() -> *const bindings::syscall_slowpath_ops {
        &Self::OPS
    }

    /// # Safety
    ///
    /// As for all functions here: called by the C side for a group of a `Registration<T>`,
    /// before it calls `release()`. `regs` is the complete frame of the current task, used by
    /// nobody else while this runs.
    unsafe extern "C" fn enter(
        group: *mut bindings::syscall_slowpath_group,
        regs: *mut bindings::pt_regs,
        arch: u32,
        nr: i32,
    ) -> usize {
        if T::HAS_PASS {
            // SAFETY: By the safety requirements, `group` is one of a `Registration<T>`, so by the
            // invariants of that it is embedded in a `SharedGroup<T>`, whose count the C side owns
            // until `release()`.
            let shared = unsafe { SharedGroup::<T>::from_inner(group) };
            // SAFETY: By the safety requirements.
            let entry = unsafe { Entry::new(regs, arch, nr) };
            if shared.data().pass(&entry) {
                return bindings::syscall_slowpath_action_SYSCALL_SLOWPATH_CALL as usize;
            }
        }
        // SAFETY: By the safety requirements.
        unsafe { Self::judge(group, regs, arch, nr) }
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    #[inline(never)]
    unsafe extern "C" fn judge(
        group: *mut bindings::syscall_slowpath_group,
        regs: *mut bindings::pt_regs,
        arch: u32,
        nr: i32,
    ) -> usize {
        // SAFETY: By the safety requirements, `group` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in a `SharedGroup<T>`, whose count the C side owns
        // until `release()`.
        let shared = unsafe { SharedGroup::<T>::from_inner(group) };
        // SAFETY: By the safety requirements.
        let entry = unsafe { Entry::new(regs, arch, nr) };
        let verdict = shared.data().enter(entry);
        // SAFETY: By the safety requirements; the only other object for this frame was moved into
        // `enter()`, and cannot outlive it.
        verdict.carry_out(&mut unsafe { Entry::new(regs, arch, nr) })
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn exit_work(
        group: *mut bindings::syscall_slowpath_group,
        regs: *mut bindings::pt_regs,
        classes: u32,
    ) -> bool {
        // SAFETY: By the safety requirements, `group` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in a `SharedGroup<T>`, whose count the C side owns
        // until `release()`.
        let shared = unsafe { SharedGroup::<T>::from_inner(group) };
        // SAFETY: By the safety requirements.
        let exit = unsafe { Exit::new(regs, classes) };
        matches!(shared.data().exit_work(exit), ExitPath::Auto)
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn delayed(group: *mut bindings::syscall_slowpath_group, ns: u64) {
        // SAFETY: By the safety requirements, `group` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in a `SharedGroup<T>`, whose count the C side owns
        // until `release()`.
        let shared = unsafe { SharedGroup::<T>::from_inner(group) };
        // CAST: No task waits for centuries.
        shared.data().delayed(Delta::from_nanos(ns as i64));
    }

    /// # Safety
    ///
    /// As for [`Self::enter`].
    unsafe extern "C" fn left(group: *mut bindings::syscall_slowpath_group) {
        // SAFETY: By the safety requirements, `group` is one of a `Registration<T>`, so by the
        // invariants of that it is embedded in a `SharedGroup<T>`, whose count the C side owns
        // until `release()`.
        T::left(unsafe { SharedGroup::<T>::from_inner(group) });
    }

    /// # Safety
    ///
    /// Called once by the C side, which does not use `group` afterwards.
    unsafe extern "C" fn release(group: *mut bindings::syscall_slowpath_group) {
        // SAFETY: By the invariants of `Registration`, `group` is embedded in a `SharedGroup<T>`;
        // the reference is the one that `SharedGroup::new()` has made for the C side, which calls
        // this once.
        drop(unsafe { SharedGroup::<T>::from_c_side(group) });
    }
}
