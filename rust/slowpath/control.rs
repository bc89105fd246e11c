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
    /// Until the module is unloaded.
    registration: Option<Pin<KBox<Registration<Hooks>>>>,
}

impl State {
    fn registration(&self) -> Result<&Registration<Hooks>> {
        self.registration.as_deref().ok_or(ESHUTDOWN)
    }
}

impl Control {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let totals = Totals::new()?;
        let registration = KBox::pin_init(Registration::new(), GFP_KERNEL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                totals,
                policies: SetOnce::new(),
                state <- new_mutex!(State {
                    enabled: true,
                    force_all: None,
                    tasks: None,
                    registration: Some(registration),
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
        let mut state = self.state.lock();
        let registration = state.registration.take();
        let tasks = state.tasks.take();
        let force_all = state.force_all.take();
        drop(state);
        // Not under the lock: this waits for callbacks.
        drop((registration, tasks, force_all));
    }

    fn task(tid: Pid) -> Result<kernel::sync::aref::ARef<Task>> {
        find_task(tid).ok_or(ESRCH)
    }

    /// Attaches the task `tid` of the current PID namespace, with no policy.
    pub(crate) fn attach(&self, tid: Pid) -> Result {
        let task = Self::task(tid)?;
        let state = self.state.lock();
        let tasks = state.tasks.clone().ok_or(ESHUTDOWN)?;

        let registration = state.registration()?;
        let attach = || -> Result {
            let attachment = registration.attach(&task, Hooks::new(self.totals.clone()))?;
            Hooks::show(&attachment, &task, tasks.clone()).inspect_err(|_| {
                // It may have exited meanwhile, or be about to.
                let _ = registration.detach(&task);
            })
        };
        let mut result = attach();
        if result == Err(EEXIST) {
            // One that had the TID before may have exited just now.
            registration.flush_left();
            result = attach();
        }
        result.map_err(|e| {
            // One that has another TID by now is still shown by this one, or by its children.
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
        self.state.lock().registration()?.detach(&task)
    }

    pub(crate) fn detach_all(&self) -> Result {
        self.state.lock().registration()?.detach_all();
        Ok(())
    }

    pub(crate) fn enabled(&self) -> bool {
        self.state.lock().enabled
    }

    pub(crate) fn enable(&self, enable: bool) -> Result {
        let mut state = self.state.lock();
        state.registration()?.enable(enable);
        state.enabled = enable;
        Ok(())
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
