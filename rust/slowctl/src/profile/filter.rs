// SPDX-License-Identifier: GPL-2.0

//! What a container runtime hands to libseccomp.

use super::condition::Condition;
use crate::rules::Abi;
use serde::Serialize;

/// What is done about a call, in seccomp's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Allow,
    Log,
    /// The call is not made; it fails with the error, or returns 0.
    Errno(u16),
    Trap,
    /// The tracer is asked, and told this value.
    Trace(u16),
    /// The supervisor is asked.
    Notify,
    KillThread,
    KillProcess,
}

impl Action {
    /// Whether runc takes it for one that has newer calls made, too.
    pub fn is_permissive(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace(_))
    }
}

/// A rule for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub action: Action,
    /// All of them have to hold, unless two are about the same argument: then one has to.
    pub conditions: Vec<Condition>,
}

/// What becomes of calls above the highest number that the profile names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above {
    /// They fail with ENOSYS, if the default is not permissive.
    Enosys,
    /// The default decides.
    Default,
}

/// A filter, as runc builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub default: Action,
    /// The architectures that it is for; calls of others are killed.
    pub abis: Vec<Abi>,
    pub entries: Vec<Entry>,
    pub above: Above,
    /// Whether there is an audit record of each call that is refused.
    pub log: bool,
}

/// What is to be said about a profile that does not change what its rules do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// Names that are no calls of this kernel's x86 tables: their rules do nothing, as with runc.
    pub unknown_names: Vec<String>,
    pub others: Vec<String>,
}

impl Notes {
    pub fn say(&mut self, note: impl Into<String>) {
        self.others.push(note.into());
    }

    pub fn tidy(&mut self) {
        self.unknown_names.sort();
        self.unknown_names.dedup();
        let mut seen = Vec::new();
        self.others.retain(|note| {
            let is_new = !seen.contains(note);
            seen.push(note.clone());
            is_new
        });
    }
}
