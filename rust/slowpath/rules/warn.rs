// SPDX-License-Identifier: GPL-2.0

//! Rules that may not do what they seem to.

use super::{
    abi::Abi,
    action::Kind,
    calls::Calls,
    list::NoMemory,
    names,
    report::{Report, Source},
    set::{Rule, RuleSet},
    table,
};

/// A call of i386 that does what others do by themselves.
struct Multiplexer {
    name: &'static str,
    others: &'static [&'static str],
    reason: &'static str,
}

const MULTIPLEXERS: [Multiplexer; 2] = [
    Multiplexer {
        name: "socketcall",
        others: &[
            "accept",
            "accept4",
            "bind",
            "connect",
            "getpeername",
            "getsockname",
            "getsockopt",
            "listen",
            "recv",
            "recvfrom",
            "recvmmsg",
            "recvmsg",
            "send",
            "sendmmsg",
            "sendmsg",
            "sendto",
            "setsockopt",
            "shutdown",
            "socket",
            "socketpair",
        ],
        reason: "warning: i386 has socketcall, too, which stays open",
    },
    Multiplexer {
        name: "ipc",
        others: &[
            "msgctl",
            "msgget",
            "msgrcv",
            "msgsnd",
            "semctl",
            "semget",
            "semop",
            "semtimedop",
            "semtimedop_time64",
            "shmat",
            "shmctl",
            "shmdt",
            "shmget",
        ],
        reason: "warning: i386 has ipc, too, which stays open",
    },
];

const IN_VDSO: &str = "warning: most programs get this from the vDSO, without a call";

/// What is to be said about rules that are taken: each kind once.
pub(super) struct Warnings<'a>(&'a RuleSet);

impl<'a> Warnings<'a> {
    pub(super) fn new(set: &'a RuleSet) -> Self {
        Self(set)
    }

    /// Adds them to a report; `sources` says where each rule comes from.
    pub(super) fn add_to(&self, report: &mut Report, sources: &[Source]) -> Result<(), NoMemory> {
        let find = |matches: &dyn Fn(Calls, &str) -> bool| {
            let mut rules = self.0.rules.iter().zip(sources);
            let found = rules.find(|(rule, _)| self.changes_one(rule, matches));
            found.map(|(_, source)| *source)
        };
        if let Some(source) = find(&|_, name| names::is_in_vdso(name)) {
            report.add(source.remark(IN_VDSO))?;
        }
        for multiplexer in &MULTIPLEXERS {
            let covers = |calls: Calls, name: &str| {
                let is_for_i386 = calls.abi().is_none_or(|abi| abi == Abi::I386);
                is_for_i386 && multiplexer.others.contains(&name)
            };
            if let Some(source) = find(&covers) {
                if self.stays_open(multiplexer.name) {
                    report.add(source.remark(multiplexer.reason))?;
                }
            }
        }
        Ok(())
    }

    /// Whether a rule is for a call of such a name, and does something to it.
    fn changes_one(&self, rule: &Rule, matches: &dyn Fn(Calls, &str) -> bool) -> bool {
        let name = rule.calls.index().map(names::syscall_name);
        name.is_some_and(|name| matches(rule.calls, name))
            && self.0.action(rule).kind() != Kind::Allow
    }

    fn stays_open(&self, name: &str) -> bool {
        let number = Calls::by_name(name).and_then(|calls| calls.number(Abi::I386));
        let slot = number.map(|nr| self.0.table.get(Abi::I386, i32::from(nr)).kind());
        matches!(slot, Some(table::Kind::Allow(_)))
    }
}
