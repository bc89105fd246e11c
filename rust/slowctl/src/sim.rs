// SPDX-License-Identifier: GPL-2.0

//! What rules say about a call, without a kernel that has them.

use crate::{
    effect::{call, effect},
    error::{Error, Result},
    rules::{syscall_number_of, Abi, Call, RuleSet},
    text::{canonical_line, Text},
};
use serde::Serialize;
use std::{cell::RefCell, convert::Infallible, fmt};

/// An architecture, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "i386")]
    I386,
    #[value(name = "x32")]
    X32,
}

impl From<Arch> for Abi {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::X86_64,
            Arch::I386 => Self::I386,
            Arch::X32 => Self::X32,
        }
    }
}

/// A call that somebody may make.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub abi: Abi,
    pub number: i32,
    pub arguments: [u64; 6],
    /// Which one of such calls it is, from 1, if that is known.
    pub nth: Option<u32>,
}

impl Question {
    /// From the words of a command line: a name or number, and arguments.
    pub fn new(abi: Abi, syscall: &str, words: &[String], nth: Option<u32>) -> Result<Self> {
        let mut arguments = [0; 6];
        if words.len() > arguments.len() {
            return Err(Error::usage("a call has at most 6 arguments"));
        }
        for (argument, word) in arguments.iter_mut().zip(words) {
            *argument = parse_argument(word).ok_or_else(|| {
                Error::usage(format!("'{word}' is not a number of 64 bits"))
                    .help("like 5, -100, 0x5412 or 0644")
            })?;
            if abi == Abi::I386 {
                *argument &= u64::from(u32::MAX);
            }
        }
        Ok(Self {
            abi,
            number: parse_call(syscall, abi)?,
            arguments,
            nth,
        })
    }
}

fn parse_call(syscall: &str, abi: Abi) -> Result<i32> {
    if let Some(number) = syscall_number_of(syscall, abi) {
        return Ok(i32::from(number));
    }
    if let Ok(number) = syscall.parse() {
        return Ok(number);
    }
    let mut others = Abi::ALL.into_iter();
    let other = others.find(|abi| syscall_number_of(syscall, *abi).is_some());
    Err(match other {
        Some(other) => Error::usage(format!("{} has no syscall '{syscall}'", abi.name()))
            .help(format!("{0} has: --arch {0}", other.name())),
        None => Error::usage(format!("'{syscall}' is not a syscall")),
    })
}

/// A number as in C, with a sign or without.
fn parse_argument(word: &str) -> Option<u64> {
    let (is_negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    // Signs have been dealt with.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if is_negative {
        (magnitude <= 1 << 63).then(|| magnitude.wrapping_neg())
    } else {
        Some(magnitude)
    }
}

/// Which line decides, of some or all of the calls that are asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// For which of the calls only; the next decision is for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The line of the text, from 1. None is for the default that nothing says.
    pub line: Option<usize>,
    /// The line as the kernel writes it; none is for what is never judged.
    pub rule: Option<String>,
    /// The strictest of its actions.
    pub verdict: &'static str,
    /// What becomes of the call, in the order in which it is done.
    pub effect: Vec<String>,
}

/// What rules say about a call.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub file: String,
    pub arch: &'static str,
    pub call: String,
    pub number: i32,
    pub arguments: [u64; 6],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
    pub decisions: Vec<Decision>,
}

impl Answer {
    pub fn new(file: &str, text: &Text, question: &Question) -> Self {
        Self {
            file: file.into(),
            arch: question.abi.name(),
            call: call(question.number, question.abi),
            number: question.number,
            arguments: question.arguments,
            nth: question.nth,
            decisions: decide(text, question),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, decision) in self.decisions.iter().enumerate() {
            let file = &self.file;
            match (decision.line, &decision.rule) {
                (Some(line), Some(rule)) => writeln!(f, "{file}:{line}: {rule}")?,
                (None, Some(rule)) => writeln!(f, "{file}: no line is for it: {rule}")?,
                (_, None) => writeln!(f, "such calls are never judged")?,
            }
            let who = match (&decision.when, index) {
                (Some(when), _) => format!("when {when}, "),
                (None, 0) => String::new(),
                (None, _) => "else ".into(),
            };
            writeln!(f, "    {}: {who}{}", self.call, decision.effect.join("; "))?;
        }
        Ok(())
    }
}

/// The decisions for a call: several if it depends on which one of such calls it is.
fn decide(text: &Text, question: &Question) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut lines: Vec<String> = text.lines().to_vec();
    let mut rules: Vec<usize> = text.rule_lines().collect();
    let nr_defaults = text.set.nr_lines() - rules.len();
    // First as if each of those that may give their action did, then without those that decided.
    // A line that decides then does so whenever it gives its action.
    let open: Vec<Option<String>> = lines
        .iter()
        .map(|line| open_when(line, question.nth).map(String::from))
        .collect();
    for (line, when) in lines.iter_mut().zip(&open) {
        if when.is_some() {
            let always = line.split(" when ").next().unwrap_or_default();
            *line = always.to_string();
        }
    }
    loop {
        let variant = Text::parse("", lines.join("\n").as_bytes());
        // What is left of rules that make sense makes sense.
        let Ok(variant) = variant else {
            return decisions;
        };
        let judgement = judge(&variant.set, question);
        let rule = judgement
            .line
            .and_then(|line| line.checked_sub(nr_defaults));
        let origin = match (judgement.line, rule) {
            (_, Some(rule)) => Some(rules[rule]),
            (Some(line), None) => text.origin(line),
            (None, None) => None,
        };
        let when = origin.and_then(|line| open[line].clone());
        let canonical = judgement.line.map(|line| {
            let of_text = rule.and(origin).and_then(|line| {
                let rule = text.rule_lines().position(|rule| rule == line)?;
                Some(canonical_line(&text.set, nr_defaults + rule))
            });
            of_text.unwrap_or_else(|| canonical_line(&variant.set, line))
        });
        decisions.push(Decision {
            line: origin.map(|line| line + 1),
            rule: canonical,
            verdict: judgement.action.kind().name(),
            effect: effect(
                &variant.set,
                judgement.action,
                question.abi,
                &question.arguments,
            ),
            when: when.clone(),
        });
        match (when, origin, rule) {
            (Some(_), Some(line), Some(rule)) => {
                lines[line].clear();
                rules.remove(rule);
            }
            _ => return decisions,
        }
    }
}

/// For which of its calls a rule gives its action, if that is not known: it is chance, or it is not
/// said which call is asked about.
fn open_when(line: &str, nth: Option<u32>) -> Option<&str> {
    let (_, when) = line.split_once(" when ")?;
    let when = when.trim();
    let is_chance = when.ends_with('%') && when != "100%";
    (nth.is_none() || is_chance).then_some(when)
}

/// Somebody who makes the same call again and again.
pub struct Caller {
    pub arguments: [u64; 6],
    pub counts: RefCell<Vec<u64>>,
}

impl Call for Caller {
    fn argument(&self, index: u8) -> u64 {
        self.arguments[usize::from(index)]
    }
}

/// What rules say about the first call of a number, with 0 for its arguments.
pub fn judge_first(set: &RuleSet, abi: Abi, number: u16) -> crate::rules::Judgement {
    let question = Question {
        abi,
        number: i32::from(number),
        arguments: [0; 6],
        nth: None,
    };
    judge(set, &question)
}

/// What rules say about a call, of which all before were such calls, too.
pub fn judge(set: &RuleSet, question: &Question) -> crate::rules::Judgement {
    let caller = Caller {
        arguments: question.arguments,
        counts: RefCell::new(vec![0; set.nr_counters()]),
    };
    let count = |counter: usize| {
        let count = &mut caller.counts.borrow_mut()[counter];
        *count += 1;
        Ok::<u64, Infallible>(*count)
    };
    let judge = || {
        set.judge(question.abi, question.number, &caller, count)
            .unwrap_or_else(|never| match never {})
    };
    for _ in 1..question.nth.unwrap_or(1) {
        judge();
    }
    judge()
}
