// SPDX-License-Identifier: GPL-2.0

//! The rule engine: from a policy's text to a verdict for each syscall.
//!
//! Plain safe Rust without kernel types, so that the same files are tested on the host.

mod arch;
mod build;
mod calls;
mod condition;
mod list;
mod names;
mod parse;
mod set;
mod table;
mod verdict;

pub(crate) use arch::Arch;
pub(crate) use build::MAX_RULES;
pub(crate) use condition::Call;
#[cfg(CONFIG_RUST)]
pub(crate) use names::syscall_name_of;
pub(crate) use parse::{ParseError, Place, MAX_TEXT};
pub(crate) use set::{Judgement, RuleSet};
pub(crate) use verdict::Verdict;

// For the tests on the host.
#[cfg(not(CONFIG_RUST))]
pub(crate) use {build::MAX_COUNTERS, calls::Calls, parse::MAX_LINE};
