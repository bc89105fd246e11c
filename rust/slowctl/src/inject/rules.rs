// SPDX-License-Identifier: GPL-2.0

//! From expressions to the rules that do the same.

use super::{
    expression::{Expression, Outcome},
    set::{all, Callee, LAST_SOCKETCALL},
};
use crate::{
    error::{Error, Result},
    lines::{named, Lines},
    rules::{syscall_name_of, syscall_number_of, Abi},
    text::Text,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rules, and what is to be said about them.
#[derive(Debug)]
pub struct Rules {
    pub text: String,
    pub notes: Vec<String>,
    /// Whether calls are counted.
    pub counts: bool,
}

impl Rules {
    /// Of several expressions for a call, the last one is for it.
    pub fn new(expressions: &[Expression]) -> Result<Self> {
        let mut chosen: BTreeMap<Callee, usize> = BTreeMap::new();
        for (index, expression) in expressions.iter().enumerate() {
            chosen.extend(expression.set.iter().map(|callee| (*callee, index)));
        }
        refuse_unjudged(&chosen)?;
        let mut rules = Self {
            text: String::new(),
            notes: Vec::new(),
            counts: false,
        };
        for (index, expression) in expressions.iter().enumerate() {
            let callees = chosen.iter().filter(|(_, of)| **of == index);
            let callees: BTreeSet<Callee> = callees.map(|(callee, _)| *callee).collect();
            if !callees.is_empty() {
                rules.add(expression, &callees)?;
            }
        }
        rules.check()
    }

    fn add(&mut self, expression: &Expression, callees: &BTreeSet<Callee>) -> Result<()> {
        self.counts |= expression.when.is_some();
        self.warn(expression, callees);
        let actions = actions(expression);
        for callee in callees {
            for calls in self.calls(*callee, expression, callees)? {
                self.text += &format!("{calls} {actions}\n");
            }
        }
        Ok(())
    }

    /// The beginnings of the lines for what is called.
    fn calls(
        &mut self,
        callee: Callee,
        expression: &Expression,
        callees: &BTreeSet<Callee>,
    ) -> Result<Vec<String>> {
        let multiplexed = |condition: String| {
            if !expression.poke_enter.is_empty() || !expression.poke_exit.is_empty() {
                let name = named(callee.number());
                let what = format!("'poke': the arguments of {name} are other ones, in memory");
                return Err(Error::usage(what).help("for x86_64 alone: CALL@64"));
            }
            Ok(vec![format!("{} {condition}", named(callee.number()))])
        };
        let (abi, number) = match callee {
            Callee::Socketcall(number) => return multiplexed(format!("arg0 == {number}")),
            Callee::Ipc(number) => return multiplexed(format!("arg0 & 0xffff == {number}")),
            Callee::Number(..) => callee.number(),
        };
        let name = syscall_name_of(i32::from(number), abi).unwrap_or_default();
        // What these are told to do has a name of its own: left is what is no call.
        let rest: Vec<String> = match (abi, name) {
            (Abi::I386, "socketcall") => {
                vec!["arg0 < 1".into(), format!("arg0 > {LAST_SOCKETCALL}")]
            }
            (Abi::I386, "ipc") => [("0", "0"), ("5", "10"), ("15", "20"), ("25", "0xffff")]
                .map(|(first, last)| format!("arg0 & 0xffff >= {first} arg0 & 0xffff <= {last}"))
                .to_vec(),
            _ => Vec::new(),
        };
        if !rest.is_empty() && expression.when.is_some() {
            self.notes.push(format!(
                "{} is left out where it is told to do what there is not: several rules would count",
                named((abi, number))
            ));
            return Ok(Vec::new());
        }
        if !rest.is_empty() {
            let line = |condition| format!("{} {condition}", named((abi, number)));
            return Ok(rest.into_iter().map(line).collect());
        }
        // Each architecture counts by itself.
        let having: Vec<Callee> = Abi::ALL
            .into_iter()
            .filter_map(|abi| {
                let number = syscall_number_of(name, abi)?;
                Some(Callee::Number(abi as usize, number))
            })
            .collect();
        let is_everywhere = having.iter().all(|other| callees.contains(other));
        if expression.when.is_none() && is_everywhere {
            let is_first = having.first() == Some(&callee);
            return Ok(is_first.then(|| name.to_string()).into_iter().collect());
        }
        Ok(vec![named((abi, number))])
    }

    /// Says of a result what strace warns of.
    fn warn(&mut self, expression: &Expression, callees: &BTreeSet<Callee>) {
        let Some(Outcome::Value(value)) = expression.result else {
            return;
        };
        let is_for = |abi| callees.iter().any(|callee| callee.abi() == abi);
        // CAST: Looks at the sign.
        let is_error = |value: i64| (-4095..0).contains(&value);
        if is_error(value as i64) && is_for(Abi::X86_64) {
            self.notes.push(format!(
                "retval={value} is the error {}",
                value.wrapping_neg()
            ));
        }
        // CAST: Registers of i386 have 32 bits.
        let low = value as u32;
        if is_for(Abi::I386) && u64::from(low) != value {
            self.notes.push(format!("retval={value} is {low} on i386"));
        }
        if is_for(Abi::I386) && is_error(i64::from(low as i32)) {
            let error = low.wrapping_neg();
            self.notes
                .push(format!("retval={value} is the error {error} on i386"));
        }
    }

    /// Makes sure that the kernel takes them.
    fn check(mut self) -> Result<Self> {
        match Text::parse("the injection", self.text.as_bytes()) {
            Ok(text) => {
                // The rules for socketcall and ipc are there, too.
                let warnings = text.warnings.iter().filter(|w| w.reason.contains("vDSO"));
                let lines: Vec<&str> = self.text.lines().collect();
                for warning in warnings {
                    let line = (warning.line as usize).checked_sub(1);
                    let line = line.and_then(|line| lines.get(line)).copied();
                    let call = line.and_then(|line| line.split(' ').next()).unwrap_or("?");
                    let reason = warning.reason.trim_start_matches("warning: ");
                    self.notes
                        .push(format!("{call} and others like it: {reason}"));
                }
                Ok(self)
            }
            Err(places) => Err(Error::rules("the injection", places).help(
                "the kernel takes 2048 rules, 255 of them with 'when', one for each architecture: \
                 say fewer calls, or @64",
            )),
        }
    }
}

/// What no rule can do anything to.
fn refuse_unjudged(chosen: &BTreeMap<Callee, usize>) -> Result<()> {
    let empty = Text::parse("", b"").map_err(|places| Error::rules("", places))?;
    let lines = Lines::new(&empty);
    let unjudged = all().filter(|(callee, _)| {
        chosen.contains_key(callee) && lines.default_of(callee.number()).is_none()
    });
    let names: BTreeSet<&str> = unjudged.map(|(_, name)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.into_iter().collect();
    let what = format!("{}: such calls are never judged", names.join(", "));
    Err(Error::usage(what).help("all others are '!restart_syscall,uprobe,uretprobe'"))
}

/// In the order in which they are done.
fn actions(expression: &Expression) -> String {
    let mut words = Vec::new();
    for (argument, bytes) in &expression.poke_enter {
        words.push(format!("poke arg{argument} {bytes}"));
    }
    if let Some(nanos) = expression.delay_enter {
        words.push(format!("delay {nanos}ns"));
    }
    if let Some(signal) = &expression.signal {
        words.push(format!("signal {signal}"));
    }
    match &expression.result {
        Some(Outcome::Error(error)) => words.push(format!("errno {error}")),
        // CAST: Signed, as rules have it.
        Some(Outcome::Value(value)) => words.push(format!("return {}", *value as i64)),
        None => {}
    }
    for (argument, bytes) in &expression.poke_exit {
        words.push(format!("after poke arg{argument} {bytes}"));
    }
    if let Some(nanos) = expression.delay_exit {
        words.push(format!("after delay {nanos}ns"));
    }
    if let Some(when) = &expression.when {
        words.push(format!("when {when}"));
    }
    words.join(" ")
}
