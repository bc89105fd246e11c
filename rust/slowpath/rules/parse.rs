// SPDX-License-Identifier: GPL-2.0

//! The parser of a policy's text.
//!
//! One rule a line: `SYSCALL [arch ARCH] [CONDITION...] VERDICT [when WHEN]`, or the default of
//! what no rule is for: `default [arch ARCH] VERDICT`. `#` starts a comment.

use super::{
    abi::Abi,
    action::{Action, UNITS}, //
    build::{AddError, Builder, UNJUDGED},
    calls::Calls,
    condition::{Comparison, Condition, When},
    list::{List, NoMemory},
    names,
    set::RuleSet,
};
use core::fmt;

/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 256;

/// The longest text, in bytes: room for as many rules as there may be, of a usual length.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// Where a text is wrong, and why; line and column count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) reason: &'static str,
}

/// Why a text is not a policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// It is not in the language of rules.
    Syntax(Mistake),
    /// There is more of something than there may be.
    TooBig(Mistake),
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

const MAX_SIGNAL: u64 = 64;

/// What the C side can be told: more than a year.
const MAX_DELAY: u64 = (1 << 55) - 1;

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

    /// The next word, without taking it.
    fn peek(&self) -> Option<&'a str> {
        let mut ahead = Self { ..*self };
        ahead.next().map(|(_, word)| word)
    }

    /// The next word as `what`.
    fn parse<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ParseError> {
        let (at, word) = self.expect(what)?;
        parse(word).ok_or_else(|| self.error(at, what))
    }

    fn end(&mut self) -> Result<(), ParseError> {
        match self.next() {
            None => Ok(()),
            Some((at, _)) => Err(self.error(at, "nothing more is expected here")),
        }
    }

    fn mistake(&self, at: usize, reason: &'static str) -> Mistake {
        // CAST: Lines are short.
        Mistake {
            line: self.line,
            column: at as u32 + 1,
            reason,
        }
    }

    fn error(&self, at: usize, reason: &'static str) -> ParseError {
        ParseError::Syntax(self.mistake(at, reason))
    }

    fn add_error(&self, at: usize, error: AddError) -> ParseError {
        match error {
            AddError::TooMany(reason) => self.too_big(at, reason),
            AddError::NoMemory => ParseError::NoMemory,
        }
    }

    fn too_big(&self, at: usize, reason: &'static str) -> ParseError {
        ParseError::TooBig(self.mistake(at, reason))
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

/// A value to return; not one that the kernel would take for "restart this call". Of a 32-bit call
/// it looks at 32 bits.
fn parse_value(word: &str) -> Option<i64> {
    let value = parse_i64(word)?;
    // CAST: Drops the upper half.
    let restarts = RESTART_ERRNOS
        .iter()
        .any(|&e| value as i32 == -i32::from(e));
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

fn parse_signal(word: &str) -> Option<u8> {
    let signal = match names::signal_number(word) {
        Some(signal) => u64::from(signal),
        None => parse_u64(word)?,
    };
    let valid = (1..=MAX_SIGNAL).contains(&signal);
    valid.then_some(u8::try_from(signal).ok()?)
}

/// A number and its unit, without a space: `20ms`.
fn parse_delay(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = UNITS.iter().find(|u| u.0 == &word[digits.len()..])?.1;
    if digits.starts_with("0x") {
        return None;
    }
    let nanos = parse_u64(digits)?.checked_mul(unit)?;
    (nanos <= MAX_DELAY).then_some(nanos)
}

/// `FIRST`, `FIRST+` or `FIRST+STEP`.
fn parse_when(word: &str) -> Option<When> {
    let count = |word| u16::try_from(parse_u64(word)?).ok().filter(|&n| n > 0);
    let (first, step) = match word.split_once('+') {
        None => (word, 0),
        Some((first, "")) => (first, 1),
        Some((first, step)) => (first, count(step)?),
    };
    Some(When {
        first: count(first)?,
        step,
    })
}

/// `arg0` to `arg5`.
fn parse_argument(word: &str) -> Option<u8> {
    match word.strip_prefix("arg")?.as_bytes() {
        &[digit @ b'0'..=b'5'] => Some(digit - b'0'),
        _ => None,
    }
}

fn parse_abi(words: &mut Words<'_>) -> Result<Abi, ParseError> {
    let (at, word) = words.expect("an architecture is missing")?;
    Abi::from_name(word).ok_or_else(|| words.error(at, "not x86_64, i386 or x32"))
}

const NO_CALL: &str = "not a syscall";

/// A number is one of `abi`, or of x86_64.
fn parse_calls(word: &str, abi: Option<Abi>) -> Result<Calls, &'static str> {
    let calls = match (names::syscall_index(word), abi) {
        (Some(_), None) => Calls::by_name(word).ok_or(NO_CALL)?,
        (Some(_), Some(abi)) => {
            Calls::by_name_on(word, abi).ok_or("not a syscall of this architecture")?
        }
        (None, _) => {
            let number = parse_u64(word).and_then(|nr| u16::try_from(nr).ok());
            let abi = abi.unwrap_or(Abi::X86_64);
            number
                .and_then(|number| Calls::by_number(number, abi))
                .ok_or(NO_CALL)?
        }
    };
    let is_unjudged = |name| {
        Calls::by_name(name).is_some_and(|unjudged| {
            Abi::ALL.into_iter().any(|abi| {
                let number = calls.number(abi);
                number.is_some() && number == unjudged.number(abi)
            })
        })
    };
    if UNJUDGED.into_iter().any(is_unjudged) {
        return Err("such calls are never judged");
    }
    Ok(calls)
}

/// The condition that begins with the argument `argument`.
fn parse_condition(words: &mut Words<'_>, argument: u8) -> Result<Condition, ParseError> {
    let mut mask = None;
    let (mut at, mut word) = words.expect("a comparison is missing")?;
    if word == "&" {
        let (at_mask, word_mask) = words.expect("a mask is missing")?;
        mask = Some(parse_u64(word_mask).ok_or_else(|| words.error(at_mask, "not a mask"))?);
        (at, word) = words.expect("a comparison is missing")?;
    }
    let comparison = match (Comparison::from_name(word), mask) {
        (None, _) => return Err(words.error(at, "not a comparison")),
        (Some(comparison), None) => comparison,
        (Some(Comparison::Equal), Some(_)) => Comparison::MaskedEqual,
        (Some(_), Some(_)) => return Err(words.error(at, "only '==' goes with a mask")),
    };
    let mask = mask.unwrap_or(u64::MAX);
    let (at, word) = words.expect("a value is missing")?;
    let value = parse_u64(word).ok_or_else(|| words.error(at, "not a value"))?;
    if value & !mask != 0 {
        return Err(words.error(at, "never equal: it has bits outside of the mask"));
    }
    Ok(Condition {
        argument,
        comparison,
        mask,
        value,
    })
}

/// The action that begins with `word`, for the calls of a rule; [`None`] stands for a default.
fn parse_action(
    words: &mut Words<'_>,
    (at, word): (usize, &str),
    rule: Option<(Calls, Option<Abi>)>,
) -> Result<Action, ParseError> {
    Ok(match (word, rule) {
        ("allow", _) => Action::Allow,
        ("log", _) => Action::Log,
        ("return", _) => Action::Return(words.parse("expected a value", parse_value)?),
        ("errno", _) => Action::Errno(words.parse("expected an error", parse_errno)?),
        ("delay", _) => Action::Delay(words.parse("expected a time, like 20ms", parse_delay)?),
        ("signal", _) => Action::Signal(words.parse("expected a signal", parse_signal)?),
        ("trap", _) => Action::Trap(match words.peek() {
            None | Some("when") => 0,
            Some(_) => words.parse("expected a number of 16 bits", |word| {
                u16::try_from(parse_u64(word)?).ok()
            })?,
        }),
        ("kill_thread", _) => Action::KillThread,
        ("kill_process", _) => Action::KillProcess,
        ("after", _) => match words.expect("'return' or 'errno' is missing")? {
            (_, "return") => Action::AfterReturn(words.parse("expected a value", parse_value)?),
            (_, "errno") => Action::AfterErrno(words.parse("expected an error", parse_errno)?),
            (at, _) => return Err(words.error(at, "not 'return' or 'errno'")),
        },
        ("set", Some(_)) => Action::Set {
            argument: words.parse("expected an argument", parse_argument)?,
            value: words.parse("expected a value", parse_u64)?,
        },
        ("redirect", Some((calls, abi))) => {
            let (at, word) = words.expect("a syscall is missing")?;
            if abi.is_none() && names::syscall_index(word).is_none() {
                let reason = match parse_u64(word) {
                    Some(_) => "a number needs 'arch'",
                    None => NO_CALL,
                };
                return Err(words.error(at, reason));
            }
            let target = parse_calls(word, abi).map_err(|e| words.error(at, e))?;
            let everywhere = Abi::ALL
                .into_iter()
                .all(|a| calls.number(a).is_none() || target.number(a).is_some());
            if !everywhere {
                let reason = "not a syscall of every architecture that the rule is for";
                return Err(words.error(at, reason));
            }
            Action::Redirect(target)
        }
        ("set" | "redirect", None) => return Err(words.error(at, "not a verdict for a default")),
        _ => return Err(words.error(at, "not a verdict")),
    })
}

fn parse_default(words: &mut Words<'_>, at: usize, to: &mut Builder) -> Result<(), ParseError> {
    let (mut at_action, mut word) = words.expect("a verdict is missing")?;
    let mut abi = None;
    if word == "arch" {
        abi = Some(parse_abi(words)?);
        (at_action, word) = words.expect("a verdict is missing")?;
    }
    let action = parse_action(words, (at_action, word), None)?;
    match to.default_of(abi) {
        Some(_) => Err(words.error(at, "there is such a default already")),
        default => {
            *default = Some(action);
            Ok(())
        }
    }
}

fn parse_rule(
    words: &mut Words<'_>,
    (at, syscall): (usize, &str),
    to: &mut Builder,
) -> Result<(), ParseError> {
    let mut abi = None;
    let action = loop {
        let (at, word) = words.expect("a verdict is missing")?;
        if word == "arch" {
            if abi.is_some() {
                return Err(words.error(at, "there is an architecture already"));
            }
            abi = Some(parse_abi(words)?);
        } else if let Some(argument) = parse_argument(word) {
            let condition = parse_condition(words, argument)?;
            to.add_condition(condition)
                .map_err(|e| words.add_error(at, e))?;
        } else {
            break (at, word);
        }
    };
    let calls = parse_calls(syscall, abi).map_err(|e| words.error(at, e))?;
    // A number without an architecture is one of x86_64.
    let abi = abi.or(names::syscall_index(syscall)
        .is_none()
        .then_some(Abi::X86_64));
    let action = parse_action(words, action, Some((calls, abi)))?;
    let mut when = None;
    if words.peek() == Some("when") {
        words.next();
        when = Some(words.parse("expected FIRST, FIRST+ or FIRST+STEP", parse_when)?);
    }
    to.add(calls, action, when)
        .map_err(|e| words.add_error(at, e))
}

impl RuleSet {
    /// Parses a policy.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            return Err(ParseError::TooBig(Mistake {
                line: 1,
                column: 1,
                reason: "the text is too long",
            }));
        }
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(e) => return Err(position(text, e.valid_up_to(), "not text")),
        };

        let mut rules = Builder::new();
        // Where each rule comes from.
        let mut lines = List::new();
        for (number, line) in text.split('\n').enumerate() {
            let mut words = Words {
                line: number as u32 + 1,
                text: line.split('#').next().unwrap_or_default(),
                at: 0,
            };
            if line.len() > MAX_LINE {
                return Err(words.too_big(MAX_LINE, "the line is too long"));
            }
            match words.next() {
                None => continue,
                Some((at, "default")) => parse_default(&mut words, at, &mut rules)?,
                Some(syscall) => {
                    parse_rule(&mut words, syscall, &mut rules)?;
                    lines.push(words.line)?;
                }
            }
            words.end()?;
        }
        let set = rules.finish()?;
        set.check_length(&lines)?;
        Ok(set)
    }
}

/// Counts what is written to it.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}

impl RuleSet {
    /// Whatever is accepted can be read and written again: the canonical text has names for
    /// numbers, and may be longer.
    fn check_length(&self, lines: &[u32]) -> Result<(), ParseError> {
        let mut all = Length(0);
        for line in 0..self.nr_lines() {
            let mut length = Length(0);
            // Counting does not fail.
            let _ = self.fmt_line(line, &mut length);
            all.0 += length.0 + 1;
            // The lines of the defaults, which are short, come first.
            let rule = (line + lines.len()).checked_sub(self.nr_lines());
            let source = rule.and_then(|rule| lines.get(rule));
            let reason = if length.0 > MAX_LINE {
                "the line is too long with names for its numbers"
            } else if all.0 > MAX_TEXT {
                "the text is too long with names for its numbers"
            } else {
                continue;
            };
            return Err(ParseError::TooBig(Mistake {
                line: source.copied().unwrap_or(1),
                column: 1,
                reason,
            }));
        }
        Ok(())
    }
}

fn position(text: &[u8], at: usize, reason: &'static str) -> ParseError {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |i| i + 1);
    ParseError::Syntax(Mistake {
        line: before.iter().filter(|&&b| b == b'\n').count() as u32 + 1,
        column: (at - line_start) as u32 + 1,
        reason,
    })
}
