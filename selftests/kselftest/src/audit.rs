// SPDX-License-Identifier: GPL-2.0

//! The kernel's audit records.

use crate::process::until;
use anyhow::{ensure, Context, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const AUDIT_SET: u16 = 1001;
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;
const AUDIT_SYSCALL: u16 = 1300;
const AUDIT_NLGRP_READLOG: u32 = 1;
const AUDIT_STATUS_ENABLED: u32 = 1;
const AUDIT_FILTER_TASK: u32 = 1;
const AUDIT_FILTER_EXIT: u32 = 4;
const AUDIT_NEVER: u32 = 0;
const AUDIT_ALWAYS: u32 = 2;

/// The header of `struct audit_rule_data`, of a rule without fields.
#[repr(C)]
#[derive(Clone, Copy)]
struct Rule {
    flags: u32,
    action: u32,
    field_count: u32,
    mask: [u32; 64],
    fields: [u32; 3 * 64],
    buflen: u32,
}

impl Rule {
    fn new(flags: u32, action: u32, calls: &[i64]) -> Self {
        let mut mask = [0; 64];
        for call in calls {
            mask[*call as usize / 32] |= 1 << (call % 32);
        }
        Self {
            flags,
            action,
            field_count: 0,
            mask,
            fields: [0; 3 * 64],
            buflen: 0,
        }
    }
}

/// A record of a syscall.
#[derive(Debug)]
pub struct Record {
    pub syscall: i64,
    pub first_argument: u64,
}

/// Auditing of some calls, for tasks that are made from now on.
pub struct Audit {
    socket: OwnedFd,
    rule: Rule,
    log: OwnedFd,
}

/// A socket that gets what is sent to these groups.
fn netlink(groups: u32) -> Result<OwnedFd> {
    // SAFETY: Only makes a socket, and binds it to an address that is valid for reads.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_AUDIT);
        ensure!(fd >= 0, "a netlink socket");
        let socket = OwnedFd::from_raw_fd(fd);
        let mut address: libc::sockaddr_nl = std::mem::zeroed();
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = groups;
        let len = size_of_val(&address) as u32;
        ensure!(
            libc::bind(fd, (&raw const address).cast(), len) == 0,
            "bind"
        );
        Ok(socket)
    }
}

impl Audit {
    pub fn of_calls(calls: &[i64]) -> Result<Self> {
        let log = netlink(AUDIT_NLGRP_READLOG)?;
        let audit = Self {
            socket: netlink(0)?,
            rule: Rule::new(AUDIT_FILTER_EXIT, AUDIT_ALWAYS, calls),
            log,
        };
        audit.send(AUDIT_DEL_RULE, Self::never()).ok();
        audit.enable(1)?;
        audit.send(AUDIT_ADD_RULE, audit.rule)?;
        Ok(audit)
    }

    /// No task is audited: what tests find otherwise.
    fn never() -> Rule {
        let mut rule = Rule::new(AUDIT_FILTER_TASK, AUDIT_NEVER, &[]);
        rule.mask = [u32::MAX; 64];
        rule
    }

    fn enable(&self, enabled: u32) -> Result<()> {
        // `struct audit_status`: a mask of what is set, and this first.
        self.send(
            AUDIT_SET,
            [AUDIT_STATUS_ENABLED, enabled, 0, 0, 0, 0, 0, 0, 0, 0],
        )
    }

    /// Sends a request, and takes the acknowledgement.
    fn send<T: Copy>(&self, kind: u16, payload: T) -> Result<()> {
        #[repr(C)]
        struct Message<T> {
            header: libc::nlmsghdr,
            payload: T,
        }

        let message = Message {
            header: libc::nlmsghdr {
                nlmsg_len: size_of::<Message<T>>() as u32,
                nlmsg_type: kind,
                nlmsg_flags: (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16,
                nlmsg_seq: 1,
                nlmsg_pid: 0,
            },
            payload,
        };
        let mut answer = [0u8; 8192];
        // SAFETY: Both buffers are as long as is said.
        let (sent, received) = unsafe {
            let fd = self.socket.as_raw_fd();
            let len = size_of_val(&message);
            (
                libc::send(fd, (&raw const message).cast(), len, 0),
                libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0),
            )
        };
        ensure!(sent > 0 && received >= 20, "netlink: {sent}, {received}");
        // Behind the header.
        let error = i32::from_ne_bytes(answer[16..20].try_into()?);
        ensure!(error == 0, "audit request {kind}: error {error}");
        Ok(())
    }

    /// The next record that is there: its type and its text.
    fn next(&self) -> Option<(u16, String)> {
        let mut message = [0u8; 8192];
        // SAFETY: The buffer is as long as is said.
        let len = unsafe {
            let buffer = message.as_mut_ptr().cast();
            let fd = self.log.as_raw_fd();
            libc::recv(fd, buffer, message.len(), libc::MSG_DONTWAIT)
        };
        let len = usize::try_from(len).ok()?;
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let text = String::from_utf8_lossy(&message[size_of::<libc::nlmsghdr>()..len]);
        Some((kind, text.into_owned()))
    }

    /// Waits for a record of this type with all these words.
    pub fn until_record(&self, kind: u16, words: &[&str]) -> Result<()> {
        self.up_to_record(kind, words).map(drop)
    }

    /// The records of this type up to the first one with all these words.
    pub fn up_to_record(&self, kind: u16, words: &[&str]) -> Result<Vec<String>> {
        let mut seen: Vec<String> = Vec::new();
        let found = until("recorded", || {
            let Some((found, line)) = self.next() else {
                return Ok(false);
            };
            if found != kind {
                return Ok(false);
            }
            let has = |word: &&str| line.split_whitespace().any(|had| had == *word);
            let is_wanted = words.iter().all(has);
            seen.push(line);
            Ok(is_wanted)
        });
        found.with_context(|| format!("{words:?} is not in\n{}", seen.join("\n")))?;
        Ok(seen)
    }

    /// The records of a task, up to one of the call `last`.
    pub fn records(&self, pid: i32, last: i64) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        until("audited", || {
            let Some((kind, line)) = self.next() else {
                return Ok(false);
            };
            let field = |name: &str| {
                let mut words = line.split_whitespace();
                words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            };
            if kind == AUDIT_SYSCALL && field("pid") == Some(&pid.to_string()) {
                records.push(Record {
                    syscall: field("syscall").context("no syscall")?.parse()?,
                    first_argument: u64::from_str_radix(field("a0").context("no a0")?, 16)?,
                });
            }
            Ok(records.last().is_some_and(|record| record.syscall == last))
        })?;
        Ok(records)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let _ = self.send(AUDIT_DEL_RULE, self.rule);
        let _ = self.send(AUDIT_ADD_RULE, Self::never());
        let _ = self.enable(0);
    }
}
