// SPDX-License-Identifier: GPL-2.0

//! A rule in a profile's terms.

use super::{
    super::json::{Arg, Syscall},
    judge::judge,
};
use crate::rules::{errno_number, syscall_number_of, Abi, Report, RuleSet};

/// A rule, as its canonical line has it.
pub struct Line<'a> {
    pub name: &'a str,
    pub abi: Option<Abi>,
    pub words: Vec<&'a str>,
}

fn abi_of(word: &str) -> Option<Abi> {
    Abi::ALL.into_iter().find(|abi| abi.name() == word)
}

impl<'a> Line<'a> {
    pub fn parse(line: &'a str) -> Self {
        let mut words: Vec<&str> = line.split(' ').collect();
        let name = words.remove(0);
        let mut abi = None;
        if words.first() == Some(&"arch") {
            abi = words.get(1).and_then(|word| abi_of(word));
            words.drain(..2);
        }
        Self { name, abi, words }
    }

    /// The rule as a profile has it, and whether it says that there is to be an audit record.
    pub fn syscall(&self) -> Option<(Syscall, bool)> {
        let mut words = self.words.as_slice();
        let mut args = Vec::new();
        while words.first().is_some_and(|word| word.contains("arg")) {
            let (arg, rest) = self.arg(words)?;
            args.push(arg);
            words = rest;
        }
        let (action, errno_ret, audits) = action(words)?;
        let syscall = Syscall {
            names: Some(vec![self.name.into()]),
            action: action.into(),
            errno_ret,
            args: (!args.is_empty()).then_some(args),
            ..Syscall::default()
        };
        Some((syscall, audits))
    }

    /// A condition, and what follows it.
    fn arg<'b>(&self, words: &'b [&'a str]) -> Option<(Arg, &'b [&'a str])> {
        let index = words.first()?.trim_end_matches(')');
        let index = index.bytes().last()?.checked_sub(b'0')?;
        let (mask, rest) = match words.get(1..)? {
            ["&", mask, rest @ ..] => (Some(number(mask)?), rest),
            rest => (None, rest),
        };
        let [operator, value, rest @ ..] = rest else {
            return None;
        };
        let value = number(value)?;
        let narrow = self.bits(words.first()?, index);
        let (op, value, value_two) = match (*operator, mask) {
            ("==", Some(mask)) => ("MASKED_EQ", mask, value),
            // One bit is 0 or is itself.
            ("!=", Some(mask)) if mask.is_power_of_two() => ("MASKED_EQ", mask, value ^ mask),
            ("==", None) if narrow != u64::MAX => ("MASKED_EQ", narrow, value & narrow),
            (_, Some(_)) => return None,
            ("==", None) => ("EQ", value, 0),
            ("!=", None) => ("NE", value, 0),
            ("<", None) => ("LT", value, 0),
            ("<=", None) => ("LE", value, 0),
            (">", None) => ("GT", value, 0),
            (">=", None) => ("GE", value, 0),
            _ => return None,
        };
        let arg = Arg {
            index: u64::from(index),
            value,
            value_two,
            op: format!("SCMP_CMP_{op}"),
        };
        Some((arg, rest))
    }

    /// The bits of an argument that the engine looks at, found by asking it.
    fn bits(&self, argument: &str, index: u8) -> u64 {
        let abi = self.abi.unwrap_or(Abi::X86_64);
        let text = format!(
            "{} arch {} {argument} == 0 errno EPERM",
            self.name,
            abi.name()
        );
        let Ok(set) = RuleSet::parse(text.as_bytes(), 0, &mut Report::new()) else {
            return u64::MAX;
        };
        let Some(number) = syscall_number_of(self.name, abi) else {
            return u64::MAX;
        };
        let is_seen = |bit: &u32| {
            let mut arguments = [0; 6];
            arguments[usize::from(index)] = 1 << bit;
            judge(&set, abi, i32::from(number), &arguments).as_deref() == Some("allow")
        };
        let seen = (0..u64::BITS).filter(is_seen);
        let bits = seen.fold(0, |bits, bit| bits | 1 << bit);
        // Where registers are no wider, nothing is to be said.
        if abi != Abi::X86_64 && bits == u64::from(u32::MAX) {
            return u64::MAX;
        }
        bits
    }
}

/// A number of 64 bits, with a sign or without.
pub fn number(word: &str) -> Option<u64> {
    if let Some(digits) = word.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = word.strip_prefix('-') {
        return digits.parse::<u64>().ok().map(u64::wrapping_neg);
    }
    word.parse().ok()
}

/// An action, its error, and whether it says that there is to be an audit record.
pub fn action(words: &[&str]) -> Option<(&'static str, Option<u64>, bool)> {
    let (words, audits) = match words {
        [words @ .., "audit"] if !words.is_empty() => (words, true),
        words => (words, false),
    };
    let (action, errno) = match words {
        ["allow"] => ("ALLOW", None),
        ["log" | "audit"] => ("LOG", None),
        ["kill_thread"] => ("KILL_THREAD", None),
        ["kill_process"] => ("KILL_PROCESS", None),
        ["trap"] => ("TRAP", None),
        ["return", "0"] => ("ERRNO", Some(0)),
        ["errno", word] => {
            let errno = errno_number(word).or_else(|| word.parse().ok())?;
            ("ERRNO", Some(u64::from(errno)))
        }
        _ => return None,
    };
    let name = match action {
        "ALLOW" => "SCMP_ACT_ALLOW",
        "LOG" => "SCMP_ACT_LOG",
        "KILL_THREAD" => "SCMP_ACT_KILL_THREAD",
        "KILL_PROCESS" => "SCMP_ACT_KILL_PROCESS",
        "TRAP" => "SCMP_ACT_TRAP",
        _ => "SCMP_ACT_ERRNO",
    };
    Some((name, errno, audits))
}
