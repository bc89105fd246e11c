// SPDX-License-Identifier: GPL-2.0

//! The rule engine: from a policy's text to an action for each syscall.
//!
//! Plain safe Rust without kernel types, so that the same files are tested on the host.

// Each uses those above it.

mod list;

mod report;

mod abi;

mod names;

mod width;

mod calls;

mod action;

mod actions;

mod condition;

mod when;

mod defaults;

mod table;

mod set;

mod text;

mod build;

mod words;

mod numbers;

mod warn;

mod parse_line;

mod parse;

pub(crate) use abi::Abi;
pub(crate) use action::Action;
#[cfg(CONFIG_RUST)]
pub(crate) use action::Kind;
pub(crate) use build::MAX_RULES;
pub(crate) use condition::Call;
#[cfg(CONFIG_RUST)]
pub(crate) use defaults::MAX_DEFAULTS;
#[cfg(CONFIG_RUST)]
pub(crate) use names::{syscall_name_of, NR_SYSCALLS};
pub(crate) use parse::MAX_TEXT;
pub(crate) use report::{ParseError, Remark, Report};
pub(crate) use set::{Judgement, RuleSet};
#[cfg(CONFIG_RUST)]
pub(crate) use when::scatter;

// For the tests on the host, and for the command line.
#[cfg(not(CONFIG_RUST))]
pub(crate) use {
    action::{Change, Poke},
    build::MAX_COUNTERS,
    calls::Calls,
    names::{errno_name, errno_number, signal_name, syscall_name_of, syscall_number_of},
    parse::MAX_LINE,
    report::MAX_MISTAKES, //
};
