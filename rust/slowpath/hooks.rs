// SPDX-License-Identifier: GPL-2.0

//! The hooks, and what an attachment consists of.

use crate::{
    policies::Pinned,
    policy::{Applied, Policy},
    stats::{Event, Stats, Totals},
    sysfs, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        ArcBorrow,
        Mutex, //
    },
    syscall_slowpath::{
        Attachment,
        Entry,
        Exit,
        ExitClass,
        ExitPath,
        Flag,
        Handler,
        Published,
        Unpublished,
        Verdict, //
    },
    task::Task,
    time::Delta, //
};

/// An attachment: one task, and the children that share it.
#[pin_data(PinnedDrop)]
pub(crate) struct Hooks {
    #[pin]
    pub(crate) applied: Published<Option<Applied>>,
    iret: Flag,
    pub(crate) stats: Arc<Stats>,
    totals: Arc<Totals>,
    pub(crate) inherit: Atomic<bool>,
    #[pin]
    knobs: Mutex<Knobs>,
    #[pin]
    shown: Mutex<Option<sysfs::TaskDirs>>,
}

/// What the files show.
struct Knobs {
    enabled: bool,
    policy: Option<Pinned>,
}

impl Hooks {
    pub(crate) fn new(totals: Arc<Totals>) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let applied = Unpublished::new(None)?;
            let stats = totals.add()?;
            Ok(try_pin_init!(Self {
                applied <- Published::new(applied),
                iret: Flag::new(false),
                stats,
                totals,
                inherit: Atomic::new(false),
                knobs <- new_mutex!(Knobs {
                    enabled: true,
                    policy: None,
                }),
                shown <- new_mutex!(None),
            }? Error))
        })
    }

    /// Makes the directory of an attachment that was just made.
    pub(crate) fn show(
        attachment: &Arc<Attachment<Self>>,
        task: &Task,
        parent: sysfs::TasksDir,
    ) -> Result {
        let mut shown = attachment.data().shown.lock();
        // `left()` takes the directory when the last task has left: it may have been here.
        if attachment.nr_tasks() == 0 {
            return Err(ESRCH);
        }
        *shown = Some(sysfs::TaskDirs::new(
            parent,
            task.pid(),
            attachment.clone(),
        )?);
        Ok(())
    }

    pub(crate) fn enabled(&self) -> bool {
        self.knobs.lock().enabled
    }

    pub(crate) fn enable(attachment: &Attachment<Self>, enable: bool) {
        let mut knobs = attachment.data().knobs.lock();
        knobs.enabled = enable;
        attachment.enable(enable);
    }

    /// Calls `f` with the name of the policy.
    pub(crate) fn policy_name<R>(&self, f: impl FnOnce(&CStr) -> R) -> R {
        match &self.knobs.lock().policy {
            Some(policy) => f(policy.policy().name()),
            None => f(c"none"),
        }
    }

    /// Puts the attachment under a policy, or under none. It stays as it was if this fails.
    pub(crate) fn set_policy(
        attachment: &Arc<Attachment<Self>>,
        mut policy: Option<Pinned>,
    ) -> Result {
        let mut knobs = attachment.data().knobs.lock();
        Policy::switch(
            attachment,
            knobs.policy.as_ref().map(Pinned::policy),
            policy.as_ref().map(Pinned::policy),
        )?;
        core::mem::swap(&mut knobs.policy, &mut policy);
        drop(knobs);
        // What was set goes when the lock is free again: it takes locks of configfs.
        drop(policy);
        Ok(())
    }

    pub(crate) fn iret(&self) -> bool {
        self.iret.get()
    }

    pub(crate) fn set_iret(&self, iret: bool) {
        self.iret.set(iret);
    }

    /// What only few exits need.
    #[cold]
    #[inline(never)]
    fn count_work(&self, exit: &Exit<'_>) {
        for class in ExitClass::ALL {
            if exit.work().has(class) {
                self.stats.count(Event::Work(class));
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Hooks {
    fn drop(self: Pin<&mut Self>) {
        self.totals.retire(&self.stats);
    }
}

#[vtable]
impl Handler for Hooks {
    #[inline]
    fn pass(&self, call: &Entry<'_>) -> bool {
        let passes = match self.applied.get(call.context()) {
            Some(applied) => applied.pass(call),
            None => true,
        };
        if passes {
            self.stats.count(Event::Allow);
        }
        passes
    }

    #[inline]
    fn enter(&self, call: Entry<'_>) -> Verdict {
        match self.applied.get(call.context()) {
            Some(applied) => applied.judge(call, self),
            // Taken away a moment ago.
            None => {
                self.stats.count(Event::Allow);
                Verdict::Call
            }
        }
    }

    #[inline]
    fn exit_work(&self, exit: Exit<'_>) -> ExitPath {
        if exit.work().any() {
            self.count_work(&exit);
        }
        if self.iret.get() {
            self.stats.count(Event::Iret);
            ExitPath::Iret
        } else {
            self.stats.count(Event::Sysret);
            ExitPath::Auto
        }
    }

    fn delayed(&self, waited: Delta) {
        // CAST: Time does not go back.
        self.stats.add_delay(waited.as_nanos() as u64);
    }

    fn inherit(&self, _child: &Task) -> bool {
        self.inherit.load(Relaxed)
    }

    fn left(attachment: ArcBorrow<'_, Attachment<Self>>) {
        let hooks = attachment.data();
        let shown = hooks.shown.lock().take();
        // Removing the directory waits for writers of its files, which may want our locks.
        drop(shown);
        let policy = hooks.knobs.lock().policy.take();
        if let Some(policy) = policy {
            policy.policy().remove_user(&attachment);
        }
    }
}
