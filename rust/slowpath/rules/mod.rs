// SPDX-License-Identifier: GPL-2.0

//! The rule engine: from a policy's text to a verdict for each syscall.
//!
//! Plain safe Rust without kernel types, so that the same files are tested on the host.

mod list;
mod names;
mod parse;
mod set;
mod verdict;

pub(crate) use parse::ParseError;
pub(crate) use set::{Judgement, RuleSet};
pub(crate) use verdict::Verdict;
