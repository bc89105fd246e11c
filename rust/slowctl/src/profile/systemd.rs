// SPDX-License-Identifier: GPL-2.0

//! A unit's `SystemCallFilter=` and what goes with it, as systemd.exec(5) has it.

use super::{
    filter::{Above, Action, Entry, Filter, Notes},
    Loss, Mistake,
};
use crate::rules::{errno_number, syscall_number_of, Abi};
use std::collections::BTreeMap;

/// The members of systemd's groups of calls, as `systemd-analyze syscall-filter` lists them: which
/// ones they are depends on its version.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<String, Vec<String>>);

impl Groups {
    /// A group begins in the first column; its members are indented.
    pub fn parse(text: &str) -> Self {
        let mut groups = BTreeMap::<String, Vec<String>>::new();
        let mut current = None;
        for line in text.lines() {
            let word = line.trim();
            let is_indented = line.starts_with([' ', '\t']);
            match (&current, word) {
                (_, "") => current = None,
                (_, word) if word.starts_with('#') => {}
                (_, word) if !is_indented && word.starts_with('@') => {
                    groups.entry(word.into()).or_default();
                    current = Some(word.to_string());
                }
                (Some(group), word) => {
                    groups.entry(group.clone()).or_default().push(word.into());
                }
                (None, _) => {}
            }
        }
        Self(groups)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All calls of a group, and of groups in it.
    fn calls(&self, group: &str, depth: usize) -> Result<Vec<&str>, Mistake> {
        let members = self.0.get(group).filter(|_| depth < 16);
        let members = members.ok_or_else(|| {
            Mistake::new(format!(
                "'{group}' is no group of calls that this systemd has"
            ))
        })?;
        let mut calls = Vec::new();
        for member in members {
            if member.starts_with('@') {
                calls.extend(self.calls(member, depth + 1)?);
            } else {
                calls.push(member.as_str());
            }
        }
        Ok(calls)
    }
}

/// What a call that is listed fails with, if not with what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Usual,
    Kill,
    Errno(u16),
}

/// What has been said so far.
#[derive(Default)]
struct Said {
    /// Whether those that are listed are allowed; none, before anything is listed.
    is_allow_list: Option<bool>,
    listed: BTreeMap<String, Failure>,
    error: Option<Failure>,
    architectures: Vec<String>,
}

/// Other settings that have calls refused.
const OTHER_SETTINGS: [&str; 19] = [
    "SystemCallLog",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RestrictFileSystems",
    "MemoryDenyWriteExecute",
    "LockPersonality",
    "PrivateDevices",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "DynamicUser",
    "PrivateUsers",
    "NoNewPrivileges",
    "SecureBits",
    "Personality",
];

/// The settings of a service: those of `[Service]`, or of `[Socket]` and the like.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut joined = String::new();
    let mut settings = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let is_comment = line.starts_with(['#', ';']);
        if is_comment || (line.is_empty() && joined.is_empty()) {
            continue;
        }
        joined.push_str(line);
        if joined.ends_with('\\') {
            joined.pop();
            joined.push(' ');
            continue;
        }
        if let Some((key, value)) = joined.split_once('=') {
            settings.push((key.trim().to_string(), value.trim().to_string()));
        }
        joined.clear();
    }
    settings
}

/// The filter of a unit.
pub fn parse_unit(
    text: &[u8],
    groups: &Groups,
    losses: &mut Vec<Loss>,
    notes: &mut Notes,
) -> Result<Filter, Mistake> {
    let text = std::str::from_utf8(text).map_err(|_| Mistake::new("not text"))?;
    let mut said = Said::default();
    for (key, value) in settings(text) {
        match key.as_str() {
            "SystemCallFilter" => said.list(&value, groups)?,
            "SystemCallErrorNumber" if value.is_empty() => said.error = None,
            "SystemCallErrorNumber" => said.error = Some(failure(&value)?),
            "SystemCallArchitectures" if value.is_empty() => said.architectures.clear(),
            "SystemCallArchitectures" => {
                said.architectures
                    .extend(value.split_whitespace().map(String::from));
            }
            other if OTHER_SETTINGS.contains(&other) => {
                losses.push(Loss(format!(
                    "{other}=: only SystemCallFilter= is looked at"
                )));
            }
            _ => {}
        }
    }
    said.filter(groups, notes)
}

/// An error by its name or number, or `kill`.
fn failure(word: &str) -> Result<Failure, Mistake> {
    if word == "kill" {
        return Ok(Failure::Kill);
    }
    let number = word.parse().ok().or_else(|| errno_number(word));
    match number {
        Some(errno) if errno <= 4095 => Ok(Failure::Errno(errno)),
        _ => Err(Mistake::new(format!("'{word}' is no error"))),
    }
}

impl Said {
    /// One more list: what is said first says what kind it is; what is of the other kind is taken
    /// out again.
    fn list(&mut self, value: &str, groups: &Groups) -> Result<(), Mistake> {
        let (denies, value) = match value.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        if value.trim().is_empty() && !denies {
            self.is_allow_list = None;
            self.listed.clear();
            return Ok(());
        }
        let is_first = self.is_allow_list.is_none();
        let is_allow_list = *self.is_allow_list.get_or_insert(!denies);
        if is_first && is_allow_list {
            // What no program does without.
            for call in groups.calls("@default", 0)? {
                self.listed.insert(call.into(), Failure::Usual);
            }
        }
        for word in value.split_whitespace() {
            let (name, how) = match word.split_once(':') {
                Some((name, error)) => (name, failure(error)?),
                None => (word, Failure::Usual),
            };
            let calls = if name.starts_with('@') {
                groups.calls(name, 0)?
            } else {
                vec![name]
            };
            for call in calls {
                // An allow list may list what fails in another way than all else.
                if denies == is_allow_list && how == Failure::Usual {
                    self.listed.remove(call);
                } else if denies != is_allow_list || is_allow_list {
                    self.listed.insert(call.into(), how);
                }
            }
        }
        Ok(())
    }

    fn filter(&self, groups: &Groups, notes: &mut Notes) -> Result<Filter, Mistake> {
        let Some(is_allow_list) = self.is_allow_list else {
            return Err(Mistake::new("there is no SystemCallFilter= in this"));
        };
        let action = |how: Failure| match how {
            Failure::Usual | Failure::Kill => Action::KillProcess,
            Failure::Errno(errno) => Action::Errno(errno),
        };
        let usual = action(self.error.unwrap_or(Failure::Usual));
        let mut entries: Vec<Entry> = self
            .listed
            .iter()
            .map(|(name, how)| Entry {
                name: name.clone(),
                action: match how {
                    Failure::Usual if is_allow_list => Action::Allow,
                    Failure::Usual => usual,
                    how => action(*how),
                },
                conditions: Vec::new(),
            })
            .collect();
        let mut default = Action::Allow;
        if is_allow_list {
            // Calls that are newer than systemd are not there; all others that are not listed
            // fail.
            default = Action::Errno(38);
            for call in groups.calls("@known", 0)? {
                if !self.listed.contains_key(call) {
                    entries.push(Entry {
                        name: call.into(),
                        action: usual,
                        conditions: Vec::new(),
                    });
                }
            }
        }
        // systemd's groups have the names of all machines.
        entries.retain(|entry| {
            let is_here = Abi::ALL
                .iter()
                .any(|abi| syscall_number_of(&entry.name, *abi).is_some());
            let is_group = groups.0.values().flatten().any(|name| *name == entry.name);
            if !is_here && !is_group {
                notes.unknown_names.push(entry.name.clone());
            }
            is_here
        });
        Ok(Filter {
            default,
            abis: self.abis(notes)?,
            entries,
            above: Above::Default,
            log: false,
        })
    }

    /// Without a list, the filter is for all.
    fn abis(&self, notes: &mut Notes) -> Result<Vec<Abi>, Mistake> {
        if self.architectures.is_empty() {
            return Ok(Abi::ALL.to_vec());
        }
        // systemd itself is native.
        let mut abis = vec![Abi::X86_64];
        for word in &self.architectures {
            match word.as_str() {
                "native" | "x86-64" => {}
                "x86" => abis.push(Abi::I386),
                "x32" => abis.push(Abi::X32),
                other => notes.say(format!("{other} is not an architecture of this machine")),
            }
        }
        Ok(abis)
    }
}
