// SPDX-License-Identifier: GPL-2.0

//! Expressions by which strace(1) injects: `openat:error=ENOENT:when=3+2`.

use super::set::{self, Set};
use crate::error::{Error, Result};

/// What becomes of the calls of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expression {
    pub set: Set,
    pub result: Option<Outcome>,
    /// As rules have it.
    pub signal: Option<String>,
    /// In nanoseconds.
    pub delay_enter: Option<u64>,
    pub delay_exit: Option<u64>,
    /// The argument, from 0, and the bytes.
    pub poke_enter: Vec<(u8, String)>,
    pub poke_exit: Vec<(u8, String)>,
    /// As rules have it.
    pub when: Option<String>,
}

/// What a call returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A name or number of an error.
    Error(String),
    Value(u64),
}

fn refused(option: &str, why: impl std::fmt::Display) -> Error {
    Error::usage(format!("'{option}': {why}"))
}

impl Expression {
    /// Reads the value of an option `-e`.
    pub fn parse(text: &str) -> Result<Self> {
        let (is_fault, rest) = match text.split_once('=') {
            Some(("inject", rest)) => (false, rest),
            Some(("fault", rest)) => (true, rest),
            Some((word, _)) if !word.contains([':', '/', ',', '%']) => {
                let what = format!("'{word}=' is no injection");
                return Err(Error::usage(what).help("inject=SET:OPTION... or fault=SET"));
            }
            _ => (false, text),
        };
        let mut options = rest.split(':');
        let set = set::parse(options.next().unwrap_or_default())?;
        let mut this = Self {
            set,
            ..Self::default()
        };
        for option in options.filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if is_fault && !["error", "when"].contains(&name) {
                return Err(refused(option, "fault= has error= and when= only")
                    .help("inject= has this as well"));
            }
            this.option(option, name, value)?;
        }
        if is_fault && this.result.is_none() {
            this.result = Some(Outcome::Error("ENOSYS".into()));
        }
        if this.does_nothing() {
            let what = format!("'{text}' does nothing");
            return Err(Error::usage(what).help(
                "say one of error=, retval=, signal=, delay_enter=, delay_exit=, poke_enter=, \
                 poke_exit=",
            ));
        }
        if this.set.is_empty() {
            return Err(Error::usage(format!("'{text}' is for no call")));
        }
        Ok(this)
    }

    fn does_nothing(&self) -> bool {
        self.result.is_none()
            && self.signal.is_none()
            && self.delay_enter.is_none()
            && self.delay_exit.is_none()
            && self.poke_enter.is_empty()
            && self.poke_exit.is_empty()
    }

    fn option(&mut self, option: &str, name: &str, value: &str) -> Result<()> {
        let twice = || refused(option, "there is one already");
        match name {
            "error" | "retval" if self.result.is_some() => {
                return Err(refused(option, "there is an error= or retval= already"));
            }
            "error" => self.result = Some(Outcome::Error(error(option, value)?)),
            "retval" => self.result = Some(Outcome::Value(retval(option, value)?)),
            "signal" if self.signal.is_some() => return Err(twice()),
            "signal" => self.signal = Some(signal(option, value)?),
            "delay_enter" if self.delay_enter.is_some() => return Err(twice()),
            "delay_enter" => self.delay_enter = Some(delay(option, value)?),
            "delay_exit" if self.delay_exit.is_some() => return Err(twice()),
            "delay_exit" => self.delay_exit = Some(delay(option, value)?),
            "poke_enter" if !self.poke_enter.is_empty() => return Err(twice()),
            "poke_enter" => self.poke_enter = pokes(option, value)?,
            "poke_exit" if !self.poke_exit.is_empty() => return Err(twice()),
            "poke_exit" => self.poke_exit = pokes(option, value)?,
            // What strace makes in place of the call changes nothing, and its result is replaced, or
            // the call is made after all: there is nothing to do for it.
            "syscall" => {
                let mut pure = super::classes::PURE.split_ascii_whitespace();
                if !pure.any(|name| name == value) {
                    return Err(refused(option, "not a call of the class %pure")
                        .help("a rule can have another call made: redirect CALL"));
                }
            }
            // The last one counts.
            "when" => self.when = Some(when(option, value)?),
            _ => return Err(refused(option, "there is no such option")),
        }
        Ok(())
    }
}

fn decimal<T: std::str::FromStr>(word: &str) -> Option<T> {
    let is_decimal = !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_digit());
    is_decimal.then(|| word.parse().ok()).flatten()
}

fn error(option: &str, word: &str) -> Result<String> {
    let name = match decimal::<u16>(word) {
        Some(number) => number.to_string(),
        None => word.to_ascii_uppercase(),
    };
    let of_the_kernel = [
        "ERESTARTSYS",
        "ERESTARTNOINTR",
        "ERESTARTNOHAND",
        "ERESTART_RESTARTBLOCK",
    ];
    if ["512", "513", "514", "516"].contains(&name.as_str())
        || of_the_kernel.contains(&name.as_str())
    {
        return Err(refused(
            option,
            "by this the kernel tells itself to restart a call: no program is to see it",
        ));
    }
    match can_be_said(&format!("read errno {name}")) {
        true => Ok(name),
        false => Err(refused(option, "not an error: a name, or 1 to 4095")),
    }
}

/// Whether the engine takes a rule.
fn can_be_said(rule: &str) -> bool {
    crate::text::Text::parse("", rule.as_bytes()).is_ok()
}

/// As strtoull(3) reads it.
fn retval(option: &str, word: &str) -> Result<u64> {
    let junk = || refused(option, "not a number of 64 bits");
    let word = word.trim_start();
    let (is_negative, digits) = match (word.strip_prefix('-'), word.strip_prefix('+')) {
        (Some(digits), _) => (true, digits),
        (_, Some(digits)) => (false, digits),
        _ => (false, word),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(junk());
    }
    let value = u64::from_str_radix(digits, radix).map_err(|_| junk())?;
    let value = if is_negative {
        value.wrapping_neg()
    } else {
        value
    };
    // CAST: Signed, as rules have it.
    match can_be_said(&format!("read return {}", value as i64)) {
        true => Ok(value),
        false => Err(refused(
            option,
            "by this the kernel tells itself to restart a call: no program is to see it",
        )),
    }
}

fn signal(option: &str, word: &str) -> Result<String> {
    let junk = || refused(option, "not a signal: a name, or 1 to 64");
    if let Some(number) = decimal::<u8>(word) {
        let is_one = (1..=64).contains(&number);
        return is_one.then(|| number.to_string()).ok_or_else(junk);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // The first one is that of the kernel, not of the C library.
    let real_time = match name.strip_prefix("RT_") {
        Some(number) => decimal::<u8>(number).filter(|number| (1..=32).contains(number)),
        None => (name == "RTMIN").then_some(0),
    };
    if let Some(number) = real_time {
        return Ok((32 + number).to_string());
    }
    let name = format!("SIG{name}");
    match can_be_said(&format!("read signal {name}")) {
        true => Ok(name),
        false => Err(junk()),
    }
}

/// A decimal number as strtod(3) reads it, in microseconds or with a unit; in nanoseconds.
fn delay(option: &str, word: &str) -> Result<u64> {
    let junk = || {
        refused(
            option,
            "not a time: like 20ms, 1.5s, or 500 for microseconds",
        )
    };
    let word = word.trim_start();
    let word = word.strip_prefix('+').unwrap_or(word);
    let units = [("ns", 0i64), ("us", 3), ("ms", 6), ("s", 9)];
    let unit = units
        .iter()
        .find_map(|(name, zeros)| Some((word.strip_suffix(name)?, *zeros)));
    let (number, mut zeros) = unit.unwrap_or((word, 3));
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, exponent)) => (
            number,
            i64::from(exponent.parse::<i32>().map_err(|_| junk())?),
        ),
        None => (number, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(junk());
    }
    let too_long = || refused(option, "longer than a year is not delayed");
    // What is left of the digits without the zeros at their ends.
    let significant = digits.trim_end_matches('0');
    let trimmed = i64::try_from(digits.len() - significant.len()).map_err(|_| junk())?;
    let places = i64::try_from(fraction.len()).map_err(|_| junk())?;
    zeros += exponent - places + trimmed;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    if zeros < 0 {
        return Err(refused(option, "less than a nanosecond is not counted"));
    }
    let value = significant.parse::<u64>().map_err(|_| too_long())?;
    let factor = u32::try_from(zeros)
        .ok()
        .and_then(|zeros| 10u64.checked_pow(zeros));
    let nanos = factor.and_then(|factor| value.checked_mul(factor));
    let nanos = nanos.ok_or_else(too_long)?;
    match can_be_said(&format!("read delay {nanos}ns")) {
        true => Ok(nanos),
        false => Err(too_long()),
    }
}

/// `@argN=HEX,...`, with arguments from 1.
fn pokes(option: &str, value: &str) -> Result<Vec<(u8, String)>> {
    let mut pokes: Vec<(u8, String)> = Vec::new();
    for word in value.split(',').filter(|word| !word.is_empty()) {
        let parsed = word
            .strip_prefix("@arg")
            .and_then(|word| word.split_once('='));
        let Some((argument, bytes)) = parsed else {
            return Err(refused(option, "not like @arg1=0000DEAD"));
        };
        let argument = match decimal::<u8>(argument) {
            Some(number @ 1..=6) => number - 1,
            Some(7) => return Err(refused(option, "a call of x86 has six arguments")),
            _ => return Err(refused(option, "not arg1 to arg6")),
        };
        let bytes = bytes.strip_prefix("0x").unwrap_or(bytes);
        let is_hex = bytes.bytes().all(|digit| digit.is_ascii_hexdigit());
        if bytes.is_empty() || bytes.len() % 2 == 1 || !is_hex {
            return Err(refused(option, "not bytes of two hexadecimal digits each"));
        }
        if pokes.iter().any(|(other, _)| *other == argument) {
            return Err(refused(option, "an argument is there twice"));
        }
        pokes.push((argument, bytes.to_ascii_lowercase()));
    }
    if pokes.is_empty() {
        return Err(refused(option, "not like @arg1=0000DEAD"));
    }
    Ok(pokes)
}

/// `FIRST[..LAST][+[STEP]]`, as rules have it.
fn when(option: &str, word: &str) -> Result<String> {
    let junk = || {
        refused(option, "not FIRST[..LAST][+[STEP]]")
            .help("numbers are from 1 to 65535, LAST is to 65534")
    };
    let count = |word: &str| decimal::<u16>(word).filter(|number| *number > 0);
    let (range, step) = match word.split_once('+') {
        None => (word, None),
        Some((range, "")) => (range, Some(1)),
        Some((range, step)) => (range, Some(count(step).ok_or_else(junk)?)),
    };
    let (first, last) = match range.split_once("..") {
        None => (range, None),
        Some((first, last)) => {
            let last = count(last).filter(|last| *last < u16::MAX);
            (first, Some(last.ok_or_else(junk)?))
        }
    };
    let first = count(first).ok_or_else(junk)?;
    if last.is_some_and(|last| last < first) {
        return Err(junk());
    }
    Ok(match (last, step) {
        (None, None) => first.to_string(),
        (None, Some(1)) => format!("{first}+"),
        (None, Some(step)) => format!("{first}+{step}"),
        (Some(last), None | Some(1)) => format!("{first}..{last}"),
        (Some(last), Some(step)) => format!("{first}..{last}+{step}"),
    })
}
