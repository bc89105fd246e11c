// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/slowpath`.

use super::{
    parse_switch,
    parse_tid,
    require_admin,
    show_switch,
    stats::StatsFiles,
    value, //
};
use crate::control::Control;
use kernel::{
    fmt::Write,
    kobject::{Attribute, Attributes, Dir, KernelDir, Page},
    prelude::*,
    sync::Arc,
    syscall_slowpath::fast_path_off, //
};

/// `/sys/kernel/slowpath`.
pub(super) type RootDir = Arc<Dir<RootFiles, KernelDir>>;

/// `/sys/kernel/slowpath/tasks`.
pub(crate) type TasksDir = Arc<Dir<TasksFiles, RootDir>>;

/// The directories that exist while the module does.
pub(crate) struct Root {
    _stats: Dir<StatsFiles, RootDir>,
}

impl Root {
    pub(crate) fn new(control: &Arc<Control>) -> Result<Self> {
        let root: RootDir = Arc::new(
            Dir::new(KernelDir, c"slowpath", RootFiles(control.clone()))?,
            GFP_KERNEL,
        )?;
        let stats = Dir::new(
            root.clone(),
            c"stats",
            StatsFiles::All(control.totals.clone()),
        )?;
        let tasks = TasksFiles {
            control: control.clone(),
        };
        control.open(Arc::new(Dir::new(root, c"tasks", tasks)?, GFP_KERNEL)?)?;
        Ok(Self { _stats: stats })
    }
}

/// Holds a directory for each attachment.
pub(crate) struct TasksFiles {
    pub(super) control: Arc<Control>,
}

impl Attributes for TasksFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];
}

/// The knobs of the module.
pub(crate) struct RootFiles(Arc<Control>);

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
        Attribute::wo(c"attach", 0o200, Self::store_attach),
        Attribute::wo(c"detach", 0o200, Self::store_detach),
    ];
}

impl RootFiles {
    fn show_enabled(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.0.enabled())
    }

    fn store_enabled(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.0.enable(parse_switch(text)?)
    }

    fn show_force_all(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.0.force_all())
    }

    fn store_force_all(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.0.set_force_all(parse_switch(text)?)
    }

    fn show_fastpath(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        Ok(writeln!(page, "{}", fast_path_off().unwrap_or("1"))?)
    }

    fn store_attach(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.0.attach(parse_tid(text)?)
    }

    fn store_detach(&self, text: &[u8]) -> Result {
        require_admin()?;
        if value(text) == b"all" {
            self.0.detach_all()
        } else {
            self.0.detach(parse_tid(text)?)
        }
    }
}
