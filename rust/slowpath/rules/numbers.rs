// SPDX-License-Identifier: GPL-2.0

//! Words that are numbers, or stand for some.

use super::{action::UNITS, names, when::When, when::NO_LAST, width::Width};

/// The kernel's own codes for "restart this call", which no program ever sees.
const RESTART_ERRNOS: [u16; 4] = [512, 513, 514, 516];

const MAX_ERRNO: u16 = 4095;

const MAX_SIGNAL: u64 = 64;

/// What the C side can be told: more than a year.
const MAX_DELAY: u64 = (1 << 55) - 1;

/// As in C: digits, of which octal ones begin with `0`, or `0x` and hexadecimal digits. No sign, no
/// separators.
pub(super) fn parse_u64(word: &str) -> Option<u64> {
    let (digits, radix) = match (word.strip_prefix("0x"), word.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (word, 10),
    };
    if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        u64::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

pub(super) fn parse_u16(word: &str) -> Option<u16> {
    u16::try_from(parse_u64(word)?).ok()
}

/// The same, with a sign or without.
pub(super) fn parse_number(word: &str) -> Option<i128> {
    match word.strip_prefix('-') {
        Some(magnitude) => Some(-i128::from(parse_u64(magnitude)?)),
        None => Some(i128::from(parse_u64(word)?)),
    }
}

/// A value to return; not one that the kernel would take for "restart this call". Of a 32-bit call
/// it looks at 32 bits.
pub(super) fn parse_value(word: &str) -> Option<i64> {
    let value = i64::try_from(parse_number(word)?).ok()?;
    // CAST: Drops the upper half.
    let restarts = RESTART_ERRNOS
        .iter()
        .any(|&e| value as i32 == -i32::from(e));
    (!restarts).then_some(value)
}

pub(super) fn parse_errno(word: &str) -> Option<u16> {
    let errno = match names::errno_number(word) {
        Some(errno) => errno,
        None => parse_u16(word)?,
    };
    let valid = (1..=MAX_ERRNO).contains(&errno) && !RESTART_ERRNOS.contains(&errno);
    valid.then_some(errno)
}

pub(super) fn parse_signal(word: &str) -> Option<u8> {
    let signal = match names::signal_number(word) {
        Some(signal) => u64::from(signal),
        None => parse_u64(word)?,
    };
    let valid = (1..=MAX_SIGNAL).contains(&signal);
    valid.then_some(u8::try_from(signal).ok()?)
}

/// A number and its unit, without a space: `20ms`.
pub(super) fn parse_delay(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = UNITS.iter().find(|u| u.0 == &word[digits.len()..])?.1;
    // Only as people write it.
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    let nanos = parse_u64(digits)?.checked_mul(unit)?;
    (nanos <= MAX_DELAY).then_some(nanos)
}

/// `FIRST`, `FIRST+`, `FIRST+STEP`, `FIRST..LAST`, `FIRST..LAST+STEP` or `PERCENT%`.
pub(super) fn parse_when(word: &str) -> Option<When> {
    let count = |word| parse_u16(word).filter(|&n| n > 0);
    if let Some(percent) = word.strip_suffix('%') {
        let percent = parse_u64(percent).filter(|p| (1..=100).contains(p))?;
        return Some(When::Share {
            percent: u8::try_from(percent).ok()?,
            seeded: false,
            seed: 0,
        });
    }
    let (range, step) = match word.split_once('+') {
        None => (word, None),
        Some((range, step)) => (range, Some(step)),
    };
    let (first, last, step) = match (range.split_once(".."), step) {
        (None, None) => (count(range)?, count(range)?, 1),
        (None, Some("")) => (count(range)?, NO_LAST, 1),
        (None, Some(step)) => (count(range)?, NO_LAST, count(step)?),
        (Some((first, last)), None) => (count(first)?, count(last)?, 1),
        (Some((first, last)), Some(step)) => (count(first)?, count(last)?, count(step)?),
    };
    (last == NO_LAST || first <= last).then_some(When::Steps { first, last, step })
}

pub(super) fn parse_seed(word: &str) -> Option<u32> {
    u32::try_from(parse_u64(word)?).ok()
}

/// Two hexadecimal digits for each byte.
pub(super) fn parse_bytes(word: &str) -> Option<impl Iterator<Item = u8> + '_> {
    let digits = word.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some(digits.filter_map(|digits| {
        let digits = core::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    }))
}

/// `arg0` to `arg5`.
pub(super) fn parse_argument(word: &str) -> Option<u8> {
    match word.strip_prefix("arg")?.as_bytes() {
        &[digit @ b'0'..=b'5'] => Some(digit - b'0'),
        _ => None,
    }
}

/// The same, or a width of it: `i32(arg0)`.
pub(super) fn parse_sized_argument(word: &str) -> Option<(u8, Option<Width>)> {
    match word.strip_suffix(')') {
        None => Some((parse_argument(word)?, None)),
        Some(inner) => {
            let (width, argument) = inner.split_once('(')?;
            Some((parse_argument(argument)?, Some(Width::from_name(width)?)))
        }
    }
}
