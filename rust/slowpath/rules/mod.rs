// SPDX-License-Identifier: GPL-2.0

//! The rule engine: from a policy's text to an action for each syscall.
//!
//! Plain safe Rust without kernel types, so that the same files are tested on the host.

// Each uses those above it.

mod list;

mod abi;

mod names;

mod calls;

mod action;

mod condition;

mod table;

mod set;

mod build;

mod parse;

pub(crate) use abi::Abi;
pub(crate) use action::Action;
pub(crate) use build::MAX_RULES;
pub(crate) use condition::Call;
#[cfg(CONFIG_RUST)]
pub(crate) use names::syscall_name_of;
pub(crate) use parse::{Mistake, ParseError, MAX_TEXT};
pub(crate) use set::{Judgement, RuleSet};

// For the tests on the host.
#[cfg(not(CONFIG_RUST))]
pub(crate) use {build::MAX_COUNTERS, calls::Calls, parse::MAX_LINE};
