// SPDX-License-Identifier: GPL-2.0

//! The parser of a policy's text.
//!
//! One rule a line, `SYSCALL VERDICT`; one line may be `default VERDICT`. `#` starts a comment.

use super::{
    list::NoMemory,
    names,
    set::{Rule, RuleSet, UNJUDGED},
    verdict::Verdict, //
};

/// Why a text is not a policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// The text is wrong here; line and column count from 1.
    Syntax {
        line: u32,
        column: u32,
        reason: &'static str,
    },
    /// There is no memory for the rules.
    NoMemory,
}

impl From<NoMemory> for ParseError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// The kernel's own codes for "restart this call", which no program ever sees.
const RESTART_ERRNOS: [u16; 4] = [512, 513, 514, 516];

const MAX_ERRNO: u16 = 4095;

/// The words of one line, with their columns.
struct Words<'a> {
    line: u32,
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        while bytes.get(self.at).is_some_and(|b| !b.is_ascii_whitespace()) {
            self.at += 1;
        }
        match self.text.get(start..self.at) {
            None | Some("") => None,
            Some(word) => Some((start, word)),
        }
    }

    fn expect(&mut self, reason: &'static str) -> Result<(usize, &'a str), ParseError> {
        let word = self.next();
        word.ok_or_else(|| self.error(self.at, reason))
    }

    fn end(&mut self) -> Result<(), ParseError> {
        match self.next() {
            None => Ok(()),
            Some((at, _)) => Err(self.error(at, "nothing more is expected here")),
        }
    }

    fn error(&self, at: usize, reason: &'static str) -> ParseError {
        ParseError::Syntax {
            line: self.line,
            column: at as u32 + 1,
            reason,
        }
    }
}

/// Digits only, or `0x` and hexadecimal digits: no sign, no separators.
fn parse_u64(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        u64::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

/// A value to return; not one that the kernel would take for "restart this call".
fn parse_value(word: &str) -> Option<i64> {
    let value = parse_i64(word)?;
    let restarts = RESTART_ERRNOS.iter().any(|&e| value == -i64::from(e));
    (!restarts).then_some(value)
}

fn parse_i64(word: &str) -> Option<i64> {
    match word.strip_prefix('-') {
        Some(magnitude) => 0i64.checked_sub_unsigned(parse_u64(magnitude)?),
        None => i64::try_from(parse_u64(word)?).ok(),
    }
}

fn parse_errno(word: &str) -> Option<u16> {
    let errno = match names::errno_number(word) {
        Some(errno) => errno,
        None => u16::try_from(parse_u64(word)?).ok()?,
    };
    let valid = (1..=MAX_ERRNO).contains(&errno) && !RESTART_ERRNOS.contains(&errno);
    valid.then_some(errno)
}

fn parse_syscall(word: &str) -> Option<u16> {
    match names::syscall_number(word) {
        Some(nr) => Some(nr),
        None => {
            let nr = u16::try_from(parse_u64(word)?).ok()?;
            (usize::from(nr) < names::NR_SYSCALLS).then_some(nr)
        }
    }
}

fn parse_verdict(words: &mut Words<'_>) -> Result<Verdict, ParseError> {
    let (at, word) = words.expect("a verdict is missing")?;
    Ok(match word {
        "allow" => Verdict::Allow,
        "log" => Verdict::Log,
        "return" => {
            let (at, word) = words.expect("a value is missing")?;
            Verdict::Return(parse_value(word).ok_or_else(|| words.error(at, "not a value"))?)
        }
        "errno" => {
            let (at, word) = words.expect("an error is missing")?;
            Verdict::Errno(parse_errno(word).ok_or_else(|| words.error(at, "not an error"))?)
        }
        _ => return Err(words.error(at, "not a verdict")),
    })
}

impl RuleSet {
    /// Parses a policy.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(e) => return Err(position(text, e.valid_up_to(), "not text")),
        };

        let mut set = RuleSet::new()?;
        let mut has_default = false;
        for (number, line) in text.split('\n').enumerate() {
            let mut words = Words {
                line: number as u32 + 1,
                text: line.split('#').next().unwrap_or_default(),
                at: 0,
            };
            let Some((at, word)) = words.next() else {
                continue;
            };

            if word == "default" {
                if has_default {
                    return Err(words.error(at, "there is a default already"));
                }
                set.set_default(parse_verdict(&mut words)?);
                has_default = true;
            } else {
                let nr = parse_syscall(word).ok_or_else(|| words.error(at, "not a syscall"))?;
                if let Some(&(_, reason)) = UNJUDGED.iter().find(|u| u.0 == nr) {
                    return Err(words.error(at, reason));
                }
                let verdict = parse_verdict(&mut words)?;
                set.add(Rule { nr, verdict })?;
            }
            words.end()?;
        }
        Ok(set)
    }
}

fn position(text: &[u8], at: usize, reason: &'static str) -> ParseError {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |i| i + 1);
    ParseError::Syntax {
        line: before.iter().filter(|&&b| b == b'\n').count() as u32 + 1,
        column: (at - line_start) as u32 + 1,
        reason,
    }
}
