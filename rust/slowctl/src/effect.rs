// SPDX-License-Identifier: GPL-2.0

//! What becomes of a call, in words.

use crate::rules::{errno_name, signal_name, syscall_name_of, Abi, Action, Change, RuleSet};

/// What actions do to a call with these arguments, in the order in which it is done.
pub fn effect(set: &RuleSet, action: Action, abi: Abi, arguments: &[u64; 6]) -> Vec<String> {
    let mut said = Vec::new();
    let mut is_decided = false;
    let mut arguments = *arguments;
    for step in set.steps(&action) {
        // Whether the call is made is said where its result is.
        if is_after(*step) && !is_decided {
            said.push("it is made".into());
            is_decided = true;
        }
        is_decided |= decides(*step);
        said.push(step_in_words(set, *step, abi, &mut arguments));
    }
    if !is_decided {
        said.push("it is made".into());
    }
    said
}

/// Whether a step says that the call is made, or not.
fn decides(step: Action) -> bool {
    matches!(
        step,
        Action::Allow
            | Action::Audit
            | Action::Log
            | Action::AfterReturn(_)
            | Action::AfterErrno(_)
            | Action::Return(_)
            | Action::Errno(_)
            | Action::Trap(_)
            | Action::KillThread
            | Action::KillProcess
    )
}

fn is_after(step: Action) -> bool {
    matches!(step, Action::AfterDelay(_) | Action::AfterPoke(_))
}

fn step_in_words(set: &RuleSet, step: Action, abi: Abi, arguments: &mut [u64; 6]) -> String {
    match step {
        Action::Allow => "it is made".into(),
        Action::Audit => "there is an audit record".into(),
        Action::Log => "it is made, and logged".into(),
        Action::AfterDelay(nanos) => format!("it returns {} later", time(nanos)),
        Action::AfterReturn(value) => {
            format!("it is made, and returns {value} whatever its result is")
        }
        Action::AfterErrno(errno) => {
            format!(
                "it is made, and fails with {} whatever it did",
                error(errno)
            )
        }
        Action::AfterPoke(poke) => format!(
            "when it returns, {} bytes are written to where arg{} points",
            set.bytes(poke).len(),
            poke.argument
        ),
        Action::Poke(poke) => format!(
            "{} bytes are written to where arg{} points",
            set.bytes(poke).len(),
            poke.argument
        ),
        Action::Set {
            argument,
            change,
            value,
        } => {
            let place = &mut arguments[usize::from(argument)];
            *place = change.of(*place, value);
            if abi == Abi::I386 {
                *place &= u64::from(u32::MAX);
            }
            match change {
                Change::Assign => format!("arg{argument} becomes {place}"),
                Change::Or | Change::And => format!("arg{argument} becomes {place:#x}"),
            }
        }
        Action::Redirect(calls) => match calls.number(abi) {
            Some(number) => format!("it becomes {}", call(i32::from(number), abi)),
            None => format!("it becomes {calls}"),
        },
        Action::Delay(nanos) => format!("it waits {}", time(nanos)),
        Action::Signal(signal) => {
            let name = signal_name(signal).map_or(format!("signal {signal}"), String::from);
            format!("the thread gets {name}")
        }
        Action::Return(value) => format!("it is not made, and returns {value}"),
        Action::Errno(errno) => format!("it is not made, and fails with {}", error(errno)),
        Action::Trap(0) => "it is not made, and the thread gets SIGSYS".into(),
        Action::Trap(data) => {
            format!("it is not made, and the thread gets SIGSYS with {data} in si_errno")
        }
        Action::KillThread => "it is not made, and the thread is killed".into(),
        Action::KillProcess => "it is not made, and the process is killed".into(),
        // Steps are not several.
        Action::Several { .. } => step.to_string(),
    }
}

fn error(errno: u16) -> String {
    errno_name(errno).map_or(errno.to_string(), String::from)
}

/// As rules have it.
fn time(nanos: u64) -> String {
    let delay = Action::Delay(nanos).to_string();
    delay.rsplit(' ').next().unwrap_or_default().into()
}

/// The name or number of a call.
pub fn call(number: i32, abi: Abi) -> String {
    syscall_name_of(number, abi).map_or(number.to_string(), String::from)
}
