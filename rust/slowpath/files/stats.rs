// SPDX-License-Identifier: GPL-2.0

//! The `stats` directories: one counter a file.

use super::input::require_admin;
use crate::group::{Event, Stats, Sum, Totals, ENTRIES, EXITS};
use kernel::{
    fmt::Write,
    kobject::{Attribute, Attributes, Page},
    prelude::*,
    sync::Arc,
    syscall_slowpath::ExitClass, //
};

/// Whose counters a directory shows.
pub(super) enum StatsFiles {
    One(Arc<Stats>),
    All(Arc<Totals>),
}

impl StatsFiles {
    fn show(&self, page: &mut Page<'_>, what: Sum) -> Result {
        require_admin()?;
        let sum = match self {
            Self::One(stats) => what.of(stats),
            Self::All(totals) => what.of_all(totals),
        };
        Ok(writeln!(page, "{sum}")?)
    }
}

macro_rules! counter {
    ($name:literal, $events:expr) => {
        Attribute::ro($name, 0o400, |files: &StatsFiles, page| {
            files.show(page, Sum::Events($events))
        })
    };
}

impl Attributes for StatsFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        counter!(c"entries", ENTRIES),
        counter!(c"exits", EXITS),
        counter!(c"allow", &[Event::Allow]),
        counter!(c"log", &[Event::Log]),
        counter!(c"after", &[Event::After]),
        counter!(c"set", &[Event::Set]),
        counter!(c"redirect", &[Event::Redirect]),
        counter!(c"delay", &[Event::Delay]),
        Attribute::ro(c"delay_ns", 0o400, |files: &StatsFiles, page| {
            files.show(page, Sum::DelayNanos)
        }),
        counter!(c"return", &[Event::Return]),
        counter!(c"errno", &[Event::Errno]),
        counter!(c"signal_sent", &[Event::Signal]),
        counter!(c"trap", &[Event::Trap]),
        counter!(c"kill_thread", &[Event::KillThread]),
        counter!(c"kill_process", &[Event::KillProcess]),
        counter!(c"sysret", &[Event::Sysret]),
        counter!(c"iret", &[Event::Iret]),
        counter!(c"reschedule", &[Event::Work(ExitClass::Reschedule)]),
        counter!(c"trace", &[Event::Work(ExitClass::Trace)]),
        counter!(c"step", &[Event::Work(ExitClass::Step)]),
        counter!(c"tracepoint", &[Event::Work(ExitClass::Tracepoint)]),
        counter!(c"audit", &[Event::Work(ExitClass::Audit)]),
        counter!(c"uprobe", &[Event::Work(ExitClass::Uprobe)]),
        counter!(c"signal", &[Event::Work(ExitClass::Signal)]),
        counter!(c"notify_resume", &[Event::Work(ExitClass::NotifyResume)]),
        counter!(c"patch_pending", &[Event::Work(ExitClass::PatchPending)]),
        counter!(
            c"user_return_notify",
            &[Event::Work(ExitClass::UserReturnNotify)]
        ),
    ];
}
