// SPDX-License-Identifier: GPL-2.0

//! What the files of a group, and those of a task that is one by itself, have in common.

use super::{
    input::{parse_switch, require_admin, value},
    policies::Policies, //
};
use crate::group::{Event, GroupData, Stats, Sum, Totals, ENTRIES, EXITS};
use kernel::{
    fmt::Write,
    prelude::*,
    str::CString,
    sync::Arc,
    syscall_slowpath::{audit, ExitClass, SharedGroup}, //
};

/// The settings of a group.
pub(super) struct Knobs {
    /// As audit records have it.
    pub(super) name: CString,
    pub(super) group: Arc<SharedGroup<GroupData>>,
    pub(super) policies: Arc<Policies>,
}

impl Knobs {
    fn data(&self) -> &GroupData {
        self.group.data()
    }

    /// Leaves an audit record of a write.
    pub(super) fn audit(&self, file: &CStr, value: &CStr, result: &Result) {
        // Without memory for the name there is a record all the same.
        match CString::try_from_fmt(fmt!("{}:{value}", &*self.name)) {
            Ok(name) => audit(file, &name, result),
            Err(_) => audit(file, value, result),
        }
    }

    pub(super) fn show_enabled(&self, out: &mut impl Write) -> Result {
        require_admin()?;
        Ok(writeln!(out, "{}", u8::from(self.data().enabled()))?)
    }

    pub(super) fn store_enabled(&self, text: &[u8]) -> Result {
        require_admin()?;
        let enable = parse_switch(text)?;
        GroupData::enable(&self.group, enable);
        self.audit(c"enabled", if enable { c"1" } else { c"0" }, &Ok(()));
        Ok(())
    }

    pub(super) fn show_policy(&self, out: &mut impl Write) -> Result {
        require_admin()?;
        self.data().policy_name(|name| {
            for &byte in name.to_bytes() {
                out.write_char(char::from(byte))?;
            }
            Ok(out.write_char('\n')?)
        })
    }

    pub(super) fn store_policy(&self, text: &[u8]) -> Result {
        require_admin()?;
        let policy = match value(text) {
            b"" => return Err(EINVAL),
            b"none" => None,
            name => Some(self.policies.find(name)?),
        };
        let name = policy.clone();
        let result = GroupData::set_policy(&self.group, policy);
        let name = name.as_ref().map_or(c"none", |policy| policy.name());
        self.audit(c"policy", name, &result);
        result
    }

    pub(super) fn show_exit_path(&self, out: &mut impl Write) -> Result {
        require_admin()?;
        let iret = self.data().iret();
        Ok(out.write_str(if iret { "iret\n" } else { "auto\n" })?)
    }

    pub(super) fn store_exit_path(&self, text: &[u8]) -> Result {
        require_admin()?;
        let iret = match value(text) {
            b"auto" => false,
            b"iret" => true,
            _ => return Err(EINVAL),
        };
        GroupData::set_iret(&self.group, iret);
        Ok(())
    }

    pub(super) fn show_count_exits(&self, out: &mut impl Write) -> Result {
        require_admin()?;
        Ok(writeln!(out, "{}", u8::from(self.data().count_exits()))?)
    }

    pub(super) fn store_count_exits(&self, text: &[u8]) -> Result {
        require_admin()?;
        GroupData::set_count_exits(&self.group, parse_switch(text)?);
        Ok(())
    }

    pub(super) fn show_stats(&self, out: &mut impl Write) -> Result {
        require_admin()?;
        show_stats(out, Of::One(&self.data().stats))
    }
}

/// Whose counters are shown.
pub(super) enum Of<'a> {
    One(&'a Stats),
    All(&'a Totals),
}

/// The lines of `stats`, and what each counts.
const COUNTERS: &[(&str, Sum)] = &[
    ("entries", Sum::Events(ENTRIES)),
    ("exits", Sum::Events(EXITS)),
    ("allow", Sum::Events(&[Event::Allow])),
    ("log", Sum::Events(&[Event::Log])),
    ("after", Sum::Events(&[Event::After])),
    ("set", Sum::Events(&[Event::Set])),
    ("redirect", Sum::Events(&[Event::Redirect])),
    ("delay", Sum::Events(&[Event::Delay])),
    ("delay_ns", Sum::DelayNanos),
    ("return", Sum::Events(&[Event::Return])),
    ("errno", Sum::Events(&[Event::Errno])),
    ("signal_sent", Sum::Events(&[Event::Signal])),
    ("trap", Sum::Events(&[Event::Trap])),
    ("kill_thread", Sum::Events(&[Event::KillThread])),
    ("kill_process", Sum::Events(&[Event::KillProcess])),
    ("sysret", Sum::Events(&[Event::Sysret])),
    ("iret", Sum::Events(&[Event::Iret])),
    (
        "reschedule",
        Sum::Events(&[Event::Work(ExitClass::Reschedule)]),
    ),
    ("trace", Sum::Events(&[Event::Work(ExitClass::Trace)])),
    ("step", Sum::Events(&[Event::Work(ExitClass::Step)])),
    (
        "tracepoint",
        Sum::Events(&[Event::Work(ExitClass::Tracepoint)]),
    ),
    ("audit", Sum::Events(&[Event::Work(ExitClass::Audit)])),
    ("uprobe", Sum::Events(&[Event::Work(ExitClass::Uprobe)])),
    ("signal", Sum::Events(&[Event::Work(ExitClass::Signal)])),
    (
        "notify_resume",
        Sum::Events(&[Event::Work(ExitClass::NotifyResume)]),
    ),
    (
        "patch_pending",
        Sum::Events(&[Event::Work(ExitClass::PatchPending)]),
    ),
    (
        "user_return_notify",
        Sum::Events(&[Event::Work(ExitClass::UserReturnNotify)]),
    ),
];

/// A line for each counter, its name first.
pub(super) fn show_stats(out: &mut impl Write, of: Of<'_>) -> Result {
    for (name, what) in COUNTERS {
        let sum = match of {
            Of::One(stats) => what.of(stats),
            Of::All(totals) => what.of_all(totals),
        };
        writeln!(out, "{name} {sum}")?;
    }
    Ok(())
}
