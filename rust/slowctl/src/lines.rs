// SPDX-License-Identifier: GPL-2.0

//! The canonical lines of rules, taken apart: which calls each is for, and under which conditions.

use crate::{
    rules::{syscall_name_of, syscall_number_of, Abi, RuleSet},
    sim::judge_first,
    text::{canonical_line, Text},
};
use std::ops::RangeInclusive;

/// A call, by its architecture and number.
pub type Number = (Abi, u16);

/// The numbers that rules can have.
pub const NUMBERS: std::ops::Range<u16> = 0..560;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 0, among the lines that can decide.
    pub index: usize,
    pub text: String,
    /// For which numbers it is on which architectures.
    calls: Vec<(Abi, RangeInclusive<u16>)>,
    pub conditions: Vec<String>,
    pub actions: String,
    pub when: Option<String>,
}

impl Line {
    /// From a canonical line that is not of a default.
    fn parse(index: usize, text: &str) -> Self {
        let (rule, when) = match text.split_once(" when ") {
            Some((rule, when)) => (rule, Some(when.to_string())),
            None => (text, None),
        };
        let mut words = rule.split(' ').peekable();
        let call = words.next().unwrap_or_default();
        let mut arch = None;
        if words.next_if_eq(&"arch").is_some() {
            arch = words.next();
        }
        let mut conditions = Vec::new();
        while let Some(argument) = words.next_if(|w| w.starts_with("arg") || w.ends_with(')')) {
            let mut condition = vec![argument];
            if words.next_if_eq(&"&").is_some() {
                condition.push("&");
                condition.extend(words.next());
            }
            condition.extend(words.by_ref().take(2));
            conditions.push(condition.join(" "));
        }
        let abis = Abi::ALL.into_iter();
        let abis = abis.filter(|abi| arch.is_none_or(|arch| arch == abi.name()));
        let calls = abis.filter_map(|abi| Some((abi, numbers(call, abi)?)));
        Self {
            index,
            text: text.into(),
            calls: calls.collect(),
            conditions,
            actions: words.collect::<Vec<_>>().join(" "),
            when,
        }
    }

    pub fn is_for(&self, (abi, number): Number) -> bool {
        let mut calls = self.calls.iter();
        calls.any(|(of, numbers)| *of == abi && numbers.contains(&number))
    }

    /// Whether it allows whatever it is for, and does nothing else.
    pub fn is_allow(&self) -> bool {
        self.actions == "allow"
    }
}

fn numbers(call: &str, abi: Abi) -> Option<RangeInclusive<u16>> {
    if let Some((first, last)) = call.split_once("..") {
        return Some(first.parse().ok()?..=last.parse().ok()?);
    }
    let number = syscall_number_of(call, abi).or_else(|| call.parse().ok())?;
    Some(number..=number)
}

/// Rules, by their lines.
pub struct Lines {
    pub rules: Vec<Line>,
    /// The defaults, without rules.
    defaults: RuleSet,
    pub first_decides: bool,
}

impl Lines {
    pub fn new(text: &Text) -> Self {
        let canonical = text.set.to_string();
        let mut rules = Vec::new();
        let mut defaults = String::new();
        let deciding = canonical.lines().filter(|line| *line != "order first");
        for (index, line) in deciding.enumerate() {
            if line.starts_with("default ") {
                defaults += line;
                defaults.push('\n');
            } else {
                rules.push(Line::parse(index, line));
            }
        }
        let parsed = Text::parse("defaults", defaults.as_bytes());
        Self {
            rules,
            // What the kernel's own text has makes sense.
            defaults: parsed.unwrap_or_else(|_| unreachable!()).set,
            first_decides: canonical.starts_with("order first\n"),
        }
    }

    /// The rules for a call.
    pub fn of(&self, call: Number) -> impl Iterator<Item = &Line> {
        self.rules.iter().filter(move |line| line.is_for(call))
    }

    /// Above which number another default decides than below, if any does.
    pub fn threshold(&self, abi: Abi) -> Option<u16> {
        let high = self.default_of((abi, NUMBERS.end));
        // Those of x32 from 512 on are old calls, and above none.
        let mut numbers = NUMBERS.rev().filter(|n| abi != Abi::X32 || *n < 512);
        numbers.find(|number| {
            let default = self.default_of((abi, *number));
            default.is_some() && default != high
        })
    }

    /// The actions for a call for which no rule holds; none, if such calls are never judged.
    pub fn default_of(&self, (abi, number): Number) -> Option<String> {
        let line = judge_first(&self.defaults, abi, number).line?;
        let line = canonical_line(&self.defaults, line);
        let mut words = line.split(' ').skip(1).peekable();
        for scope in ["arch", "above"] {
            if words.next_if_eq(&scope).is_some() {
                words.next();
            }
        }
        Some(words.collect::<Vec<_>>().join(" "))
    }
}

/// How strict actions are, as the kernel compares them.
pub fn kind(actions: &str) -> Option<impl Ord + Copy + std::fmt::Debug> {
    // What changes a call is no default.
    let text = Text::parse("", format!("read {actions}").as_bytes());
    Some(judge_first(&text.ok()?.set, Abi::X86_64, 0).action.kind())
}

/// How a rule names a call of one architecture.
pub fn named((abi, number): Number) -> String {
    let name = syscall_name_of(i32::from(number), abi);
    let name = name.map_or(number.to_string(), String::from);
    format!("{name} arch {}", abi.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        Lines::new(&Text::parse("", text.as_bytes()).unwrap())
    }

    #[test]
    fn lines_are_taken_apart() {
        let lines = lines(
            "default errno EPERM\ndefault arch i386 above 300 errno ENOSYS\n\
             openat arg0 & 0x3 == 1 u32(arg1) != 5 delay 1ms errno EIO when 3+2\n\
             socketcall log\n400..410 arch i386 kill_process\n",
        );
        let [openat, socketcall, range] = &lines.rules[..] else {
            panic!();
        };
        assert_eq!(openat.conditions, ["arg0 & 0x3 == 0x1", "u32(arg1) != 5"]);
        assert_eq!(openat.actions, "delay 1ms errno EIO");
        assert_eq!(openat.when.as_deref(), Some("3+2"));
        assert_eq!(openat.index, 2);
        assert!(openat.is_for((Abi::X86_64, 257)) && openat.is_for((Abi::I386, 295)));
        assert!(socketcall.is_for((Abi::I386, 102)) && !socketcall.is_for((Abi::X86_64, 102)));
        assert!(range.is_for((Abi::I386, 410)) && !range.is_for((Abi::I386, 411)));
        let default = |abi, number| lines.default_of((abi, number)).unwrap();
        assert_eq!(default(Abi::X86_64, 301), "errno EPERM");
        assert_eq!(default(Abi::I386, 300), "errno EPERM");
        assert_eq!(default(Abi::I386, 301), "errno ENOSYS");
        assert_eq!(lines.default_of((Abi::X86_64, 219)), None);
    }

    #[test]
    fn kinds_are_those_of_the_kernel() {
        assert_eq!(kind("delay 1ms errno EIO"), kind("errno EPERM"));
        assert!(kind("allow") < kind("set arg0 1"));
        assert!(kind("errno EIO") < kind("kill_process"));
    }
}
