// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/slowpath`.

use super::{
    configfs::{self, ConfigDir},
    input::{parse_switch, parse_tid, require_admin, show_switch, value},
    knobs::{show_stats, Of},
    policies::Policies,
    tasks, //
};
use crate::control::Control;
use kernel::{
    configfs::Subsystem,
    fmt::Write,
    kobject::{Attribute, Attributes, Dir, KernelDir, Page},
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    syscall_slowpath::fast_path_off, //
};

type RootDir = Arc<Dir<RootFiles, KernelDir>>;

/// `/sys/kernel/slowpath/tasks`.
type TasksDir = Arc<Dir<NoFiles, RootDir>>;

/// The directories that exist while the module does.
pub(crate) struct Root {
    dir: RootDir,
    config: Option<Pin<KBox<Subsystem<ConfigDir>>>>,
}

impl Root {
    /// Makes them. Tasks can be attached, and policies made.
    ///
    /// The last step of loading the module: what users made keeps it loaded.
    pub(crate) fn new(control: &Arc<Control>) -> Result<Self> {
        let files = RootFiles {
            control: control.clone(),
            policies: Policies::new()?,
            tasks: KBox::pin_init(new_mutex!(None), GFP_KERNEL)?,
        };
        let dir: RootDir = Arc::new(Dir::new(KernelDir, c"slowpath", files)?, GFP_KERNEL)?;
        let mut root = Self { dir, config: None };
        let tasks = Dir::new(root.dir.clone(), c"tasks", NoFiles)?;
        let tasks = Arc::new(tasks, GFP_KERNEL)?;
        // From here on there may be policies and groups: nothing fails any more.
        root.config = Some(configfs::register(control, &root.files().policies)?);
        *root.files().tasks.lock() = Some(tasks);
        Ok(root)
    }

    fn files(&self) -> &RootFiles {
        self.dir.data()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Which keeps the root directory.
        let tasks = self.files().tasks.lock().take();
        drop(tasks);
    }
}

/// Holds directories.
struct NoFiles;

impl Attributes for NoFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];
}

/// The knobs of the module.
struct RootFiles {
    control: Arc<Control>,
    policies: Arc<Policies>,
    /// A directory for each group; until the module is unloaded.
    tasks: Pin<KBox<Mutex<Option<TasksDir>>>>,
}

impl Attributes for RootFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::rw(c"enabled", 0o600, Self::show_enabled, Self::store_enabled),
        Attribute::rw(
            c"force_all",
            0o600,
            Self::show_force_all,
            Self::store_force_all,
        ),
        Attribute::ro(c"fastpath", 0o400, Self::show_fastpath),
        Attribute::ro(c"stats", 0o400, Self::show_stats),
        Attribute::wo(c"attach", 0o200, Self::store_attach),
        Attribute::wo(c"detach", 0o200, Self::store_detach),
    ];
}

impl RootFiles {
    fn show_enabled(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.control.enabled())
    }

    fn store_enabled(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.control.enable(parse_switch(text)?)
    }

    fn show_force_all(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.control.force_all())
    }

    fn store_force_all(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.control.set_force_all(parse_switch(text)?)
    }

    fn show_fastpath(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        Ok(writeln!(page, "{}", fast_path_off().unwrap_or("1"))?)
    }

    fn show_stats(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_stats(page, Of::All(&self.control.totals))
    }

    fn store_attach(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.control.attach(parse_tid(value(text))?, |task, group| {
            let tasks = self.tasks.lock().clone().ok_or(ESHUTDOWN)?;
            tasks::make_dir(tasks, task.pid(), group, self.policies.clone())
        })
    }

    fn store_detach(&self, text: &[u8]) -> Result {
        require_admin()?;
        if value(text) == b"all" {
            self.control.detach_all()
        } else {
            self.control.detach(parse_tid(value(text))?)
        }
    }
}
