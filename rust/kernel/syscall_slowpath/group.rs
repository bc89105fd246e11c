// SPDX-License-Identifier: GPL-2.0

//! Groups of tasks.

use super::{
    Handler,
    Passing,
    Published,
    Registration,
    Unpublished, //
};
use crate::{
    bindings,
    container_of,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    task::{
        Pid,
        Task, //
    },
    types::Opaque, //
};
use core::{
    marker::PhantomPinned,
    ops::Deref,
    ptr::NonNull, //
};

/// Which new tasks come to their parent's group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// Children and threads.
    All,
    /// Threads; children are free.
    Threads,
    /// None.
    None,
}

impl Follow {
    const fn to_c(self) -> bindings::syscall_slowpath_follow {
        match self {
            Self::All => bindings::syscall_slowpath_follow_SYSCALL_SLOWPATH_FOLLOW_ALL,
            Self::Threads => bindings::syscall_slowpath_follow_SYSCALL_SLOWPATH_FOLLOW_THREADS,
            Self::None => bindings::syscall_slowpath_follow_SYSCALL_SLOWPATH_FOLLOW_NONE,
        }
    }
}

/// How long a group lasts.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Lasting,
    Single,
}

impl Kind {
    const fn to_c(self) -> bindings::syscall_slowpath_kind {
        match self {
            Self::Lasting => bindings::syscall_slowpath_kind_SYSCALL_SLOWPATH_LASTING,
            Self::Single => bindings::syscall_slowpath_kind_SYSCALL_SLOWPATH_SINGLE,
        }
    }
}

/// Who joins or leaves a group: a task, or all threads of a process.
///
/// It stands for what had the number when it was made: if that is gone, it is nobody, and not what
/// may have the number now.
///
/// # Invariants
///
/// `pid` is null, or points to a `struct pid` to which `self` has a reference.
pub struct Whom {
    pid: *mut bindings::pid,
    kind: bindings::pid_type,
}

impl Whom {
    /// The task with this TID in the current task's PID namespace.
    pub fn task(tid: Pid) -> Self {
        // SAFETY: Always safe to call in a task.
        let pid = unsafe { bindings::find_get_pid(tid) };
        // INVARIANT: The C function returned a reference for us, or null.
        Self {
            pid,
            kind: bindings::pid_type_PIDTYPE_PID,
        }
    }

    /// The process with this PID in the current task's PID namespace.
    pub fn process(pid: Pid) -> Self {
        let mut whom = Self::task(pid);
        whom.kind = bindings::pid_type_PIDTYPE_TGID;
        whom
    }

    /// What a pidfd of the current task stands for: a process, or a task if it was opened for a
    /// thread.
    pub fn pidfd(fd: u32) -> Result<Self> {
        let mut kind = 0;
        // SAFETY: Always safe to call in a task; `kind` is valid for writes.
        let pid = unsafe { bindings::syscall_slowpath_pid_of_fd(fd, &mut kind) };
        // INVARIANT: The C function returned a reference for us, if no error.
        Ok(Self {
            pid: from_err_ptr(pid)?,
            kind,
        })
    }

    /// This task.
    pub fn task_of(task: &Task) -> Self {
        let kind = bindings::pid_type_PIDTYPE_PID;
        // SAFETY: A `&Task` keeps its task.
        let pid = unsafe { bindings::get_task_pid(task.as_ptr(), kind) };
        // INVARIANT: The C function returned a reference for us, or null.
        Self { pid, kind }
    }

    /// Calls `f`, or fails with `ESRCH` if there is nobody.
    pub(super) fn with_pid(
        &self,
        f: impl FnOnce(*mut bindings::pid, bindings::pid_type) -> Result,
    ) -> Result {
        if self.pid.is_null() {
            return Err(ESRCH);
        }
        f(self.pid, self.kind)
    }
}

impl Drop for Whom {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we have a reference, or `pid` is null, which the C
        // function ignores.
        unsafe { bindings::put_pid(self.pid) };
    }
}

/// A group as its hooks, and others who do not decide how long it lasts, share it.
///
/// # Invariants
///
/// `inner` was passed to `syscall_slowpath_create()`, with success, before anybody but
/// [`SharedGroup::new`] could refer to it. From then on until `release()` the C side uses it, and
/// owns one reference count of the [`Arc`] that holds the group.
///
/// What `syscall_slowpath_set_pass()` was told last is null, or that of what `passing` has.
#[pin_data]
pub struct SharedGroup<T: Handler> {
    #[pin]
    inner: Opaque<bindings::syscall_slowpath_group>,
    #[pin]
    passing: Published<Option<Passing>>,
    #[pin]
    data: T,
}

// SAFETY: Of `inner` we only hand the address to C functions, which take its lock for what they
// change of it wherever they run, and `T` is `Send`.
unsafe impl<T: Handler> Send for SharedGroup<T> {}
// SAFETY: As above, for functions that run at the same time; and `T` is `Sync`.
unsafe impl<T: Handler> Sync for SharedGroup<T> {}

impl<T: Handler> SharedGroup<T> {
    pub(super) fn new(
        registration: &Registration<T>,
        name: &CStr,
        kind: Kind,
        follow: Follow,
        data: impl PinInit<T, Error>,
    ) -> Result<Arc<Self>> {
        let none = Unpublished::new(None)?;
        // INVARIANT: Zeroed, it is as if null had been told.
        let group = Arc::pin_init(
            try_pin_init!(Self {
                inner <- pin_init::init_zeroed(),
                passing <- Published::new(none),
                data <- data,
            }? Error),
            GFP_KERNEL,
        )?;
        // The reference that the C side owns until it calls `release()`.
        let owned = group.clone().into_raw();

        // SAFETY: By the invariants of `Registration`, its `inner` is a registered handler. The
        // group was zeroed above, and is embedded in the type that the functions in `Ops<T>` take
        // it for. `owned` keeps it until `release()`. `name` ends in NUL.
        let ret = to_result(unsafe {
            bindings::syscall_slowpath_create(
                registration.inner.get(),
                group.inner.get(),
                name.as_char_ptr(),
                kind.to_c(),
                follow.to_c(),
            )
        });
        if ret.is_err() {
            // SAFETY: `owned` comes from `into_raw()`, and after an error the C side does not own
            // it.
            drop(unsafe { Arc::from_raw(owned) });
        }
        ret?;
        if !T::EXIT_WORK_AT_FIRST {
            group.set_exit_work(false);
        }
        // INVARIANT: Created.
        Ok(group)
    }

    /// The handler's own data.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Says which calls of the group's tasks are made without asking the handler, from now on; or
    /// with [`None`] has it asked about each. Process context, may sleep; `ENOMEM`, then it is as
    /// it was.
    ///
    /// Only calls that the assembly fast path could make, of tasks that have no other entry work,
    /// pass: all others are asked about, whatever this says; and all calls are while the group
    /// is switched off, or all tasks are forced. Of a call that has passed neither hook runs;
    /// but where C has to end it, as it does if there is work for its exit,
    /// [`Handler::exit_work`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     percpu::Counters,
    ///     prelude::*,
    ///     sync::Arc,
    ///     syscall_slowpath::{Handler, PassTable, Passing, SharedGroup}, //
    /// };
    ///
    /// /// Has `getppid` pass.
    /// fn let_getppid_pass<T: Handler>(group: &SharedGroup<T>) -> Result<Arc<Counters>> {
    ///     let made = Arc::new(Counters::new(1)?, GFP_KERNEL)?;
    ///     let table = PassTable::new(|number| (number == 110).then_some(0))?;
    ///     let table = Arc::new(table, GFP_KERNEL)?;
    ///     group.set_passing(Some(Passing::new(table, made.clone(), made.clone(), 0)?))?;
    ///     // Counts each of them twice.
    ///     Ok(made)
    /// }
    /// ```
    pub fn set_passing(&self, passing: Option<Passing>) -> Result {
        let passing = Unpublished::new(passing)?;
        let mut current = self.passing.lock();
        self.set_pass(passing.value().as_ref());
        current.replace(passing);
        Ok(())
    }

    /// Has the handler asked about each call from now on, as `set_passing(None)` does. Process
    /// context, may sleep.
    pub fn stop_passing(&self) {
        let _current = self.passing.lock();
        self.set_pass(None);
    }

    /// With the lock of `passing` held, which `passing` is in, or comes to before it is released.
    fn set_pass(&self, passing: Option<&Passing>) {
        let pass = passing.map_or(core::ptr::null(), Passing::as_ptr);
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed. Nobody else calls this, as the lock is held. By the invariants of
        // `Passing`, `pass` is null or points to what the C function asks for, which lasts: what is
        // in `passing` is dropped deferred when it was replaced, after this was told something
        // else; or with the group, which is when the C side has released that.
        unsafe { bindings::syscall_slowpath_set_pass(self.inner.get(), pass) };
    }

    /// How many live tasks are in the group.
    pub fn nr_tasks(&self) -> u32 {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_nr_tasks(self.inner.get()) }
    }

    /// Has a task, or all threads of a process, join the group: all, or none.
    ///
    /// When this returns, the next call of each is judged; so is the first one of what they make
    /// from now on, as the group follows it. Threads that are born meanwhile are not missed. Those
    /// that are in the group stay. Waits for an exec of the process; in process context.
    ///
    /// # Errors
    ///
    /// - `EPERM`: a task of the kernel's own that makes no syscalls; or one that the current task
    ///   must not attach to as a tracer.
    /// - `ESRCH`: there is nobody that is not exiting.
    /// - `EBUSY`: one of them is in another group, of this handler or another; the kernel log says
    ///   which.
    /// - `EINTR`: the current task was killed while it waited.
    /// - `ESHUTDOWN`: the group is closed.
    pub fn join(&self, whom: &Whom) -> Result {
        whom.with_pid(|pid, kind| {
            // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps
            // it from being freed, as that of `whom` does `pid`.
            to_result(unsafe { bindings::syscall_slowpath_join(self.inner.get(), pid, kind) })
        })
    }

    /// Has a task, or all threads of a process, leave the group. Process context, may sleep.
    ///
    /// # Errors
    ///
    /// - `ESRCH`: none of them is in it.
    /// - `EBUSY`: some are, but all of these because of their cgroup.
    pub fn leave(&self, whom: &Whom) -> Result {
        whom.with_pid(|pid, kind| {
            // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps
            // it from being freed, as that of `whom` does `pid`.
            to_result(unsafe { bindings::syscall_slowpath_leave(self.inner.get(), pid, kind) })
        })
    }

    /// Has all tasks leave the group, but for those that are in it because of their cgroups.
    /// Process context, may sleep.
    pub fn leave_all(&self) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_leave_all(self.inner.get()) };
    }

    /// Says which new tasks come to the group, from now on. Process context.
    pub fn set_follow(&self, follow: Follow) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_set_follow(self.inner.get(), follow.to_c()) };
    }

    /// Switches the group on or off: its tasks stay in it, on the fast path.
    ///
    /// Process context.
    pub fn enable(&self, enable: bool) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_enable_group(self.inner.get(), enable) };
    }

    /// Says whether [`Handler::exit_work`] runs, from now on; at first it does as
    /// [`Handler::EXIT_WORK_AT_FIRST`] says. Calls cost less where it does not.
    ///
    /// Process context.
    pub fn set_exit_work(&self, wanted: bool) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_set_exit_work(self.inner.get(), wanted) };
    }

    /// Lets those of its tasks go on that hooks have delayed by now.
    ///
    /// For delays that are not wanted any more: [`Handler::enter`] must no longer ask for them when
    /// this is called. Process context.
    pub fn end_delays(&self) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        unsafe { bindings::syscall_slowpath_end_delays(self.inner.get()) };
    }

    /// Closes the group if it has no tasks, and no cgroup has it; else fails with `EBUSY`. May
    /// sleep.
    pub fn close(&self) -> Result {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for.
        to_result(unsafe { bindings::syscall_slowpath_close(self.inner.get(), false) })
    }

    /// Closes the group, and lets its tasks go.
    pub(super) fn close_by_force(&self) {
        // SAFETY: By the type invariants, `inner` was created, and the borrow of `self` keeps it
        // from being freed: all that the C function asks for. With this argument it does not fail.
        unsafe { bindings::syscall_slowpath_close(self.inner.get(), true) };
    }

    /// Its tasks, one after another.
    pub fn members(&self) -> impl PinInit<Members<'_, T>> + '_ {
        pin_init!(Members {
            // INVARIANT: Started, for a group that is borrowed as long.
            iter <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and pinned until `drop()` ends the walk. By
                // the type invariants `inner` was created, and `group` keeps it from being freed as
                // long.
                unsafe { bindings::syscall_slowpath_iter_start(slot, self.inner.get()) }
            }),
            _group: self,
            _pin: PhantomPinned,
        })
    }

    /// # Safety
    ///
    /// `inner` must be embedded in a `SharedGroup<T>` that is valid for `'a` and owned by an `Arc`.
    #[inline]
    pub(super) unsafe fn from_inner<'a>(
        inner: *mut bindings::syscall_slowpath_group,
    ) -> ArcBorrow<'a, Self> {
        // SAFETY: By the safety requirements; `Opaque<T>` has the layout of `T`.
        unsafe { ArcBorrow::from_raw(container_of!(Opaque::cast_from(inner), Self, inner)) }
    }

    /// # Safety
    ///
    /// `inner` must be embedded in a `SharedGroup<T>`, and the reference be given up that
    /// [`Self::new`] has made for the C side.
    pub(super) unsafe fn from_c_side(inner: *mut bindings::syscall_slowpath_group) -> Arc<Self> {
        // SAFETY: By the safety requirements.
        let group: *const Self = unsafe { container_of!(Opaque::cast_from(inner), Self, inner) };
        // SAFETY: By the safety requirements the reference, which comes from `into_raw()`, is ours
        // now.
        unsafe { Arc::from_raw(group) }
    }
}

/// A walk over the tasks of a group. Process context.
///
/// Tasks come and go between two steps. Each one that is in the group all the time is met once.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use kernel::syscall_slowpath::{Handler, SharedGroup};
///
/// /// Shows the TIDs as the current task sees them; those that it does not see are 0.
/// fn show<T: Handler>(group: &SharedGroup<T>) {
///     pin_init::stack_pin_init!(let members = group.members());
///     while let Some(tid) = members.as_mut().next_tid() {
///         pr_info!("{tid}\n");
///     }
/// }
/// ```
///
/// # Invariants
///
/// `iter` was started by `syscall_slowpath_iter_start()` for `_group`, and does not move.
#[pin_data(PinnedDrop)]
pub struct Members<'a, T: Handler> {
    #[pin]
    iter: Opaque<bindings::syscall_slowpath_iter>,
    _group: &'a SharedGroup<T>,
    #[pin]
    _pin: PhantomPinned,
}

impl<T: Handler> Members<'_, T> {
    /// The next task.
    #[allow(clippy::should_implement_trait)]
    pub fn next(self: Pin<&mut Self>) -> Option<ARef<Task>> {
        // SAFETY: By the type invariants `iter` was started, and its group is borrowed.
        let task = unsafe { bindings::syscall_slowpath_iter_next(self.iter.get()) };
        // SAFETY: The C function returned a reference for us; `Task` is `repr(transparent)`.
        NonNull::new(task).map(|task| unsafe { ARef::from_raw(task.cast()) })
    }

    /// The TID of the next task in the current task's PID namespace; 0 if it is in none of that.
    pub fn next_tid(self: Pin<&mut Self>) -> Option<Pid> {
        let kind = bindings::pid_type_PIDTYPE_PID;
        let ns = core::ptr::null_mut();
        self.next().map(|task| {
            // SAFETY: A reference keeps its task; null stands for the namespace of the current one.
            unsafe { bindings::__task_pid_nr_ns(task.as_ptr(), kind, ns) }
        })
    }
}

#[pinned_drop]
impl<T: Handler> PinnedDrop for Members<'_, T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants `iter` was started, and its group is borrowed.
        unsafe { bindings::syscall_slowpath_iter_end(self.iter.get()) };
    }
}

/// A group that lasts until this is dropped, which lets its tasks go.
///
/// Made by [`Registration::group`]. It may outlive that, but then it is closed. Dropping it may
/// sleep, and does not wait for hooks that run; it must not happen in one.
pub struct Group<T: Handler>(Arc<SharedGroup<T>>);

impl<T: Handler> Group<T> {
    pub(super) fn from_lasting(group: Arc<SharedGroup<T>>) -> Self {
        Self(group)
    }

    /// The group as others share it, who do not keep it from being closed.
    pub fn shared(&self) -> &Arc<SharedGroup<T>> {
        &self.0
    }
}

impl<T: Handler> Deref for Group<T> {
    type Target = SharedGroup<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: Handler> Drop for Group<T> {
    fn drop(&mut self) {
        self.0.close_by_force();
    }
}
