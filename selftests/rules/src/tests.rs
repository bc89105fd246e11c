// SPDX-License-Identifier: GPL-2.0

//! Tests of the rule engine.

mod actions;
mod conditions;
mod errors;
mod generators;
mod limits;
mod lines;
mod order;
mod properties;
mod reference;
mod reports;
mod scopes;
mod texts;
mod widths;
mod writing;

/// The kernel's names, for the reference.
mod names {
    include!(concat!(env!("OUT_DIR"), "/names.rs"));
}

use crate::{
    check::{self, Caller},
    rules::{Abi, Action, Judgement, ParseError, Remark, Report, RuleSet},
};

// The numbers on x86_64.
const GETPID: i32 = 39;
const GETPPID: i32 = 110;
const OPENAT: i32 = 257;

/// A way to give each action, the most lenient first; for a rule for getppid.
const VERDICTS: [&str; 17] = [
    "allow",
    "audit",
    "log",
    "after delay 3ms",
    "after return 3",
    "after errno EIO",
    "after poke arg1 00ff",
    "poke arg1 00ff",
    "set arg0 3",
    "redirect getpid",
    "delay 3ms",
    "signal SIGUSR1",
    "return 3",
    "errno EIO",
    "trap 3",
    "kill_thread",
    "kill_process",
];

fn parse(text: &str) -> RuleSet {
    let mut report = Report::new();
    RuleSet::parse(text.as_bytes(), check::RANDOM, &mut report)
        .unwrap_or_else(|e| panic!("{text:?}: {e:?}: {:?}", report.remarks()))
}

/// Why a text is refused, and what is said about it.
fn refused(text: &[u8]) -> (ParseError, Vec<Remark>) {
    let mut report = Report::new();
    match RuleSet::parse(text, check::RANDOM, &mut report) {
        Err(e) => (e, report.remarks().to_vec()),
        Ok(set) => panic!("accepted as {set}"),
    }
}

/// Judges the first call that is made.
fn judge(set: &RuleSet, abi: Abi, nr: i32, arguments: [u64; 6]) -> Judgement {
    let mut caller = Caller::new(set);
    caller.arguments = arguments;
    check::judge(set, abi, nr, &caller)
}

/// What becomes of a call that has no arguments.
fn action_on(text: &str, abi: Abi, nr: i32) -> Action {
    judge(&parse(text), abi, nr, [0; 6]).action
}

/// What becomes of a call on x86_64.
fn action(text: &str, nr: i32) -> Action {
    action_on(text, Abi::X86_64, nr)
}
