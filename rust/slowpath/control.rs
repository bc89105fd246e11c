// SPDX-License-Identifier: GPL-2.0

//! Attaching and detaching tasks, and the switches that are for all.

use crate::group::{GroupData, Kept, Totals};
use kernel::{
    new_mutex, new_srcu,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        Srcu, //
    },
    syscall_slowpath::{Follow, ForceAll, Group, Registration, SharedGroup},
    task::{
        Pid,
        Task, //
    },
};

/// What all groups belong to.
///
/// Lock order: `names`, then those of a group. `switches` and `registration` are taken by
/// themselves. None is held over the core's attach, which waits for an exec of the task: that may
/// be about to read one of our files.
#[pin_data]
pub(crate) struct Control {
    pub(crate) totals: Arc<Totals>,
    /// Until the module is unloaded. Used by a reference of one's own, in a section of `users`.
    #[pin]
    registration: Mutex<Option<Arc<Registration<GroupData>>>>,
    #[pin]
    users: Srcu,
    /// Held while groups are shown, and while tasks are detached, so that who wants the name of one
    /// that is detached waits. Not taken by a group's own files: detaching waits for those.
    #[pin]
    names: Mutex<()>,
    /// Held while one is turned.
    #[pin]
    switches: Mutex<Switches>,
}

struct Switches {
    enabled: bool,
    force_all: Option<ForceAll>,
    closed: bool,
}

impl Control {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let totals = Totals::new()?;
        let registration = Arc::pin_init(Registration::new(), GFP_KERNEL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                totals,
                registration <- new_mutex!(Some(registration)),
                users <- new_srcu!(),
                names <- new_mutex!(()),
                switches <- new_mutex!(Switches {
                    enabled: true,
                    force_all: None,
                    closed: false,
                }),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Detaches every task, for good, and waits for all who do something here.
    pub(crate) fn close(&self) {
        let mut switches = self.switches.lock();
        switches.closed = true;
        let force_all = switches.force_all.take();
        drop(switches);
        let registration = self.registration.lock().take();
        // A user may wait for an exec, and that for nothing that a handler does.
        if let Some(registration) = &registration {
            registration.detach_all();
        }
        // Or one of the users would be the last, and remove what it is called by.
        self.users.synchronize();
        // Not under a lock: this waits for callbacks.
        drop((registration, force_all));
    }

    /// Calls `f` with the registration, which is not dropped meanwhile.
    fn with_registration<R>(
        &self,
        f: impl FnOnce(&Registration<GroupData>) -> Result<R>,
    ) -> Result<R> {
        let _guard = self.users.read_lock();
        let registration = self.registration.lock().clone().ok_or(ESHUTDOWN)?;
        f(&registration)
    }

    fn task(tid: Pid) -> Result<ARef<Task>> {
        Task::from_vpid(tid).ok_or(ESRCH)
    }

    /// Makes a group without tasks, with no policy, which lasts until what is returned is dropped.
    pub(crate) fn group(&self, name: &CStr) -> Result<Group<GroupData>> {
        let follow = Follow::All;
        let data = GroupData::new(self.totals.clone(), follow);
        self.with_registration(|registration| registration.group(name, follow, data))
    }

    /// Attaches the task `tid` of the current PID namespace, with no policy. `show` makes what
    /// shows its group, by the name that it has in the initial namespace. May sleep.
    pub(crate) fn attach(
        &self,
        tid: Pid,
        show: impl Fn(&Task, Arc<SharedGroup<GroupData>>) -> Result<Kept>,
    ) -> Result {
        let task = Self::task(tid)?;
        self.with_registration(|registration| {
            let name = CString::try_from_fmt(fmt!("task/{}", task.pid()))?;
            let attach = || -> Result {
                let data = GroupData::new(self.totals.clone(), Follow::None);
                let group = registration.attach(&task, &name, Follow::None, data)?;
                let _guard = self.names.lock();
                GroupData::show(&group, || show(&task, group.clone())).inspect_err(|_| {
                    // It may have left meanwhile, and be attached anew; under the lock it can only
                    // exit.
                    if group.nr_tasks() != 0 {
                        let _ = registration.detach(&task);
                    }
                })
            };
            let mut result = attach();
            if result == Err(EEXIST) {
                // One that had the TID before may have exited just now.
                registration.flush_left();
                result = attach();
            }
            result.map_err(|e| {
                // One that has another TID by now is still shown by this one.
                if e == EEXIST {
                    EBUSY
                } else {
                    e
                }
            })
        })
    }

    /// Detaches the task `tid` of the current PID namespace.
    pub(crate) fn detach(&self, tid: Pid) -> Result {
        let task = Self::task(tid)?;
        self.with_registration(|registration| {
            let _guard = self.names.lock();
            registration.detach(&task)
        })
    }

    pub(crate) fn detach_all(&self) -> Result {
        self.with_registration(|registration| {
            let _guard = self.names.lock();
            registration.detach_all();
            Ok(())
        })
    }

    pub(crate) fn enabled(&self) -> bool {
        self.switches.lock().enabled
    }

    pub(crate) fn enable(&self, enable: bool) -> Result {
        self.with_registration(|registration| {
            let mut switches = self.switches.lock();
            registration.enable(enable);
            switches.enabled = enable;
            Ok(())
        })
    }

    pub(crate) fn force_all(&self) -> bool {
        self.switches.lock().force_all.is_some()
    }

    pub(crate) fn set_force_all(&self, force: bool) -> Result {
        let mut switches = self.switches.lock();
        if !force {
            switches.force_all = None;
        } else if switches.closed {
            return Err(ESHUTDOWN);
        } else if switches.force_all.is_none() {
            switches.force_all = Some(ForceAll::new());
        }
        Ok(())
    }
}
