// SPDX-License-Identifier: GPL-2.0

//! What the files of the module act on.

use crate::{
    hooks::Hooks,
    policies::{self, Pinned, Policies},
    stats::Totals,
    sysfs, //
};
use kernel::{
    configfs::Subsystem,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    syscall_slowpath::{find_task, ForceAll, Registration},
    task::{
        Pid,
        Task, //
    },
};

/// The module's state.
#[pin_data]
pub(crate) struct Control {
    #[pin]
    registration: Registration<Hooks>,
    pub(crate) totals: Arc<Totals>,
    policies: SetOnce<Arc<Subsystem<Policies>>>,
    /// Taken by whoever attaches, detaches or writes a file of the root directory, but not by an
    /// attachment's own files: detaching waits for those.
    #[pin]
    state: Mutex<State>,
}

struct State {
    enabled: bool,
    force_all: Option<ForceAll>,
    tasks: Option<sysfs::TasksDir>,
}

impl Control {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let totals = Totals::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                registration <- Registration::new(),
                totals,
                policies: SetOnce::new(),
                state <- new_mutex!(State {
                    enabled: true,
                    force_all: None,
                    tasks: None,
                }),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Lets tasks be attached; their attachments appear in this directory. Policies can be made.
    ///
    /// The last step of loading the module: what users made keeps it loaded.
    pub(crate) fn open(&self, tasks: sysfs::TasksDir) -> Result {
        let policies = policies::subsystem()?;
        let mut state = self.state.lock();
        state.tasks = Some(tasks);
        drop(state);
        self.policies.populate(policies);
        Ok(())
    }

    /// Detaches every task, for good.
    pub(crate) fn close(&self) {
        // Not under the lock: this waits for callbacks.
        self.registration.close();

        let mut state = self.state.lock();
        let tasks = state.tasks.take();
        let force_all = state.force_all.take();
        drop(state);
        drop((tasks, force_all));
    }

    fn task(tid: Pid) -> Result<kernel::sync::aref::ARef<Task>> {
        find_task(tid).ok_or(ESRCH)
    }

    /// Attaches the task `tid` of the current PID namespace, with no policy.
    pub(crate) fn attach(&self, tid: Pid) -> Result {
        let task = Self::task(tid)?;
        let state = self.state.lock();
        let tasks = state.tasks.clone().ok_or(ESHUTDOWN)?;

        let attachment = self
            .registration
            .attach(&task, Hooks::new(self.totals.clone()))?;
        Hooks::show(&attachment, &task, tasks).map_err(|e| {
            // It may have exited meanwhile, or be about to.
            let _ = self.registration.detach(&task);
            // Its TID is still the name of what another task is just leaving.
            if e == EEXIST {
                EBUSY
            } else {
                e
            }
        })
    }

    /// Finds a policy, and keeps it from being removed; `ENOENT` if there is none.
    pub(crate) fn find_policy(&self, name: &CStr) -> Result<Pinned> {
        Pinned::find(self.policies.as_ref().ok_or(ENOENT)?.clone(), name)
    }

    /// Detaches the task `tid` of the current PID namespace.
    pub(crate) fn detach(&self, tid: Pid) -> Result {
        let task = Self::task(tid)?;
        let _state = self.state.lock();
        self.registration.detach(&task)
    }

    pub(crate) fn detach_all(&self) {
        let _state = self.state.lock();
        self.registration.detach_all();
    }

    pub(crate) fn enabled(&self) -> bool {
        self.state.lock().enabled
    }

    pub(crate) fn enable(&self, enable: bool) {
        let mut state = self.state.lock();
        state.enabled = enable;
        self.registration.enable(enable);
    }

    pub(crate) fn force_all(&self) -> bool {
        self.state.lock().force_all.is_some()
    }

    pub(crate) fn set_force_all(&self, force: bool) -> Result {
        let mut state = self.state.lock();
        if !force {
            state.force_all = None;
        } else if state.tasks.is_none() {
            return Err(ESHUTDOWN);
        } else if state.force_all.is_none() {
            state.force_all = Some(ForceAll::new());
        }
        Ok(())
    }
}
