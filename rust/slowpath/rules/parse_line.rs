// SPDX-License-Identifier: GPL-2.0

//! The parser of a line.

use super::{
    abi::Abi,
    action::{Action, Change, Poke},
    actions::Actions,
    build::{AddError, Builder, UNJUDGED},
    calls::{Calls, Range},
    condition::{Comparison, Said},
    defaults::{Default, Scope},
    list::List,
    names::{self, NR_SYSCALLS},
    numbers::{
        self,
        parse_argument,
        parse_bytes,
        parse_delay,
        parse_errno,
        parse_number,
        parse_seed,
        parse_signal,
        parse_sized_argument,
        parse_u16,
        parse_u64,
        parse_value, //
    },
    when::When,
    width::Width,
    words::{LineError, Word, Words, MORE},
};

/// What a line was.
pub(super) enum Line {
    /// A rule, the first word of which is in this column, from 1.
    Rule(u32),
    /// Nothing that has a place in the order of rules.
    Other,
}

/// Parses a line.
pub(super) fn parse_line(
    words: &mut Words<'_>,
    seed: u32,
    to: &mut Builder,
) -> Result<Line, LineError> {
    let line = match words.next() {
        None => Line::Other,
        Some((at, "default")) => {
            parse_default(words, at, to)?;
            Line::Other
        }
        Some((at, "order")) => {
            parse_order(words, at, to)?;
            Line::Other
        }
        Some(syscall) => parse_rule(words, syscall, seed, to)?,
    };
    words.end()?;
    Ok(line)
}

impl Words<'_> {
    fn add_error(&self, at: usize, error: AddError) -> LineError {
        match error {
            AddError::TooMany(reason) => LineError::Full(self.remark(at, reason)),
            AddError::NoMemory => LineError::NoMemory,
        }
    }
}

fn parse_abi(words: &mut Words<'_>) -> Result<Abi, LineError> {
    let (at, word) = words.expect("an architecture is missing")?;
    Abi::from_name(word).ok_or_else(|| words.error(at, "not x86_64, i386 or x32"))
}

fn parse_order(words: &mut Words<'_>, at: usize, to: &mut Builder) -> Result<(), LineError> {
    match words.expect("expected 'first'")? {
        (_, "first") => {}
        (at, _) => return Err(words.error(at, "expected 'first'")),
    }
    if to.first_decides {
        return Err(words.error(at, "there is an order already"));
    }
    to.first_decides = true;
    Ok(())
}

const NO_VERDICT: &str = "a verdict is missing";

fn parse_default(words: &mut Words<'_>, at: usize, to: &mut Builder) -> Result<(), LineError> {
    let abi = if words.take("arch") {
        Some(parse_abi(words)?)
    } else {
        None
    };
    let mut above = None;
    if words.take("above") {
        above = Some(words.parse("expected a number below 560", |word| {
            parse_u16(word).filter(|nr| usize::from(*nr) < NR_SYSCALLS)
        })?);
    }
    let first = words.expect(NO_VERDICT)?;
    let actions = parse_actions(words, first, None, to)?;
    let action = to.action(&actions)?;
    let scope = Scope {
        abi,
        is_above: above.is_some(),
    };
    match to.defaults.get_mut(scope) {
        Some(_) => Err(words.error(at, "there is such a default already")),
        default => {
            *default = Some(Default {
                action,
                above: above.unwrap_or_default(),
            });
            Ok(())
        }
    }
}

const NO_CALL: &str = "not a syscall";
const NEVER_JUDGED: &str = "such calls are never judged";

/// A name or a number, which is one of `abi`, or of x86_64.
fn parse_calls(word: &str, abi: Option<Abi>) -> Result<Calls, &'static str> {
    match (names::syscall_index(word), abi) {
        (Some(_), None) => Calls::by_name(word).ok_or(NO_CALL),
        (Some(_), Some(abi)) => {
            Calls::by_name_on(word, abi).ok_or("not a syscall of this architecture")
        }
        (None, _) => {
            let number = parse_u16(word).ok_or(NO_CALL)?;
            Calls::by_number(number, abi.unwrap_or(Abi::X86_64)).ok_or(NO_CALL)
        }
    }
}

fn is_unjudged(calls: Calls) -> bool {
    let is_this = |name| {
        Calls::by_name(name).is_some_and(|unjudged| {
            Abi::ALL.into_iter().any(|abi| {
                let number = calls.number(abi);
                number.is_some() && number == unjudged.number(abi)
            })
        })
    };
    UNJUDGED.into_iter().any(is_this)
}

/// The calls that a rule is for; [`None`] if it may name one that there is not.
fn parse_rule_calls(
    words: &Words<'_>,
    (at, word): Word<'_>,
    abi: Option<Abi>,
    to: &mut Builder,
) -> Result<Option<Calls>, LineError> {
    if let Some(name) = word.strip_prefix('?') {
        let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let is_digit = |c: char| c.is_ascii_digit();
        if name.is_empty() || name.starts_with(is_digit) || !name.bytes().all(is_name) {
            return Err(words.error(at, NO_CALL));
        }
        return Ok(parse_calls(name, abi).ok());
    }
    if let Some((first, last)) = word.split_once("..") {
        let number = |word| parse_u16(word).filter(|nr| usize::from(*nr) < NR_SYSCALLS);
        return match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                let calls = to.range(Range { first, last }, abi.unwrap_or(Abi::X86_64));
                Ok(Some(calls.map_err(|e| words.add_error(at, e))?))
            }
            _ => Err(words.error(at, "not a range of syscalls")),
        };
    }
    let calls = parse_calls(word, abi).map_err(|e| words.error(at, e))?;
    Ok(Some(calls))
}

/// The condition that begins with an argument.
fn parse_condition(
    words: &mut Words<'_>,
    (argument, width): (u8, Option<Width>),
) -> Result<Said, LineError> {
    let (mut at_mask, mut mask) = (0, None);
    let (mut at, mut word) = words.expect("a comparison is missing")?;
    if word == "&" {
        let (at_word, word_mask) = words.expect("a mask is missing")?;
        let parsed = parse_u64(word_mask).ok_or_else(|| words.error(at_word, "not a mask"))?;
        (at_mask, mask) = (at_word, Some(parsed));
        (at, word) = words.expect("a comparison is missing")?;
    }
    let comparison =
        Comparison::from_name(word).ok_or_else(|| words.error(at, "not a comparison"))?;
    let (at_value, word) = words.expect("a value is missing")?;
    let value = parse_number(word).ok_or_else(|| words.error(at_value, "not a value"))?;
    Ok(Said {
        argument,
        width,
        mask,
        comparison,
        value,
        at_mask,
        at_value,
    })
}

/// The calls that actions are for, and the architecture if it was said.
type Target = (Option<Calls>, Option<Abi>);

/// The actions that begin with a word, for the calls of a rule; [`None`] stands for a default.
fn parse_actions(
    words: &mut Words<'_>,
    first: Word<'_>,
    target: Option<Target>,
    to: &mut Builder,
) -> Result<Actions, LineError> {
    let mut actions = Actions::new();
    let mut next = Some(first);
    while let Some((at, word)) = next {
        let action = match parse_action(words, (at, word), target, to)? {
            Some(action) => action,
            None if actions.is_empty() => return Err(words.error(at, "not a verdict")),
            None => return Err(words.error(at, MORE)),
        };
        actions.add(action).map_err(|e| words.error(at, e))?;
        next = match words.peek() {
            None | Some("when") => None,
            Some(_) => words.next(),
        };
    }
    Ok(actions)
}

/// The action that begins with a word, if that is one.
fn parse_action(
    words: &mut Words<'_>,
    (at, word): Word<'_>,
    target: Option<Target>,
    to: &mut Builder,
) -> Result<Option<Action>, LineError> {
    Ok(Some(match (word, target) {
        ("allow", _) => Action::Allow,
        ("audit", _) => Action::Audit,
        ("log", _) => Action::Log,
        ("return", _) => Action::Return(words.parse(VALUE, parse_value)?),
        ("errno", _) => Action::Errno(words.parse(ERROR, parse_errno)?),
        ("delay", _) => Action::Delay(words.parse(TIME, parse_delay)?),
        ("signal", _) => Action::Signal(words.parse("expected a signal", parse_signal)?),
        ("trap", _) => {
            let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
            Action::Trap(if words.peek().is_some_and(is_number) {
                words.parse("expected a number of 16 bits", parse_u16)?
            } else {
                0
            })
        }
        ("kill_thread", _) => Action::KillThread,
        ("kill_process", _) => Action::KillProcess,
        ("after", _) => match words.expect("'return', 'errno', 'delay' or 'poke' is missing")? {
            (_, "return") => Action::AfterReturn(words.parse(VALUE, parse_value)?),
            (_, "errno") => Action::AfterErrno(words.parse(ERROR, parse_errno)?),
            (_, "delay") => Action::AfterDelay(words.parse(TIME, parse_delay)?),
            (_, "poke") => Action::AfterPoke(parse_poke(words, to)?),
            (at, _) => return Err(words.error(at, "not 'return', 'errno', 'delay' or 'poke'")),
        },
        ("poke", _) => Action::Poke(parse_poke(words, to)?),
        ("set", Some(_)) => {
            let argument = words.parse(ARGUMENT, parse_argument)?;
            let (change, what) = if words.take("|") {
                (Change::Or, "expected bits")
            } else if words.take("&") {
                (Change::And, "expected bits")
            } else {
                (Change::Assign, VALUE)
            };
            Action::Set {
                argument,
                change,
                value: words.parse(what, parse_u64)?,
            }
        }
        ("redirect", Some(target)) => Action::Redirect(parse_redirection(words, target)?),
        ("set" | "redirect", None) => return Err(words.error(at, "not a verdict for a default")),
        _ => return Ok(None),
    }))
}

const ARGUMENT: &str = "expected an argument";
const VALUE: &str = "expected a value";
const ERROR: &str = "expected an error";
const TIME: &str = "expected a time, like 20ms";

fn parse_poke(words: &mut Words<'_>, to: &mut Builder) -> Result<Poke, LineError> {
    let what = "expected bytes, two hexadecimal digits each";
    let argument = words.parse(ARGUMENT, parse_argument)?;
    let (at, word) = words.expect(what)?;
    let bytes = parse_bytes(word).ok_or_else(|| words.error(at, what))?;
    Ok(to.poke(argument, bytes)?)
}

fn parse_redirection(words: &mut Words<'_>, (calls, abi): Target) -> Result<Calls, LineError> {
    let (at, word) = words.expect("a syscall is missing")?;
    if abi.is_none() && names::syscall_index(word).is_none() {
        let reason = match parse_u64(word) {
            Some(_) => "a number needs 'arch'",
            None => NO_CALL,
        };
        return Err(words.error(at, reason));
    }
    let target = parse_calls(word, abi).map_err(|e| words.error(at, e))?;
    if is_unjudged(target) {
        return Err(words.error(at, NEVER_JUDGED));
    }
    let is_everywhere = |calls: Calls| {
        let mut abis = Abi::ALL.into_iter();
        abis.all(|a| calls.width(a, 0).is_none() || target.number(a).is_some())
    };
    if !calls.is_none_or(is_everywhere) {
        let reason = "not a syscall of every architecture that the rule is for";
        return Err(words.error(at, reason));
    }
    Ok(target)
}

/// What follows "when".
fn parse_when(words: &mut Words<'_>, random: u32) -> Result<When, LineError> {
    let what = "expected FIRST, FIRST+, FIRST+STEP, FIRST..LAST, FIRST..LAST+STEP or a percentage";
    let when = words.parse(what, numbers::parse_when)?;
    Ok(match when {
        When::Share { percent, .. } if words.take("seed") => When::Share {
            percent,
            seeded: true,
            seed: words.parse("expected a number of 32 bits", parse_seed)?,
        },
        When::Share { percent, .. } => When::Share {
            percent,
            seeded: false,
            seed: random,
        },
        when => when,
    })
}

fn parse_rule(
    words: &mut Words<'_>,
    (at, syscall): Word<'_>,
    seed: u32,
    to: &mut Builder,
) -> Result<Line, LineError> {
    let mut abi = None;
    let mut conditions = List::new();
    let first = loop {
        let (at, word) = words.expect(NO_VERDICT)?;
        if word == "arch" {
            if abi.is_some() {
                return Err(words.error(at, "there is an architecture already"));
            }
            abi = Some(parse_abi(words)?);
        } else if let Some(argument) = parse_sized_argument(word) {
            conditions.push(parse_condition(words, argument)?)?;
        } else if word.contains('(') {
            return Err(words.error(at, "not an argument"));
        } else {
            break (at, word);
        }
    };
    let calls = parse_rule_calls(words, (at, syscall), abi, to)?;
    // A number without an architecture is one of x86_64.
    let abi = abi.or(calls.and_then(Calls::abi));
    if let Some(calls) = calls {
        for said in conditions.iter() {
            said.check(calls)
                .map_err(|(at, reason)| words.error(at, reason))?;
        }
    }
    let actions = parse_actions(words, first, Some((calls, abi)), to)?;
    let mut when = None;
    if words.take("when") {
        when = Some(parse_when(words, seed)?);
    }
    // Before it is added, so that a line that has a mistake does nothing.
    words.end()?;

    // What is not a call of this kernel is not made.
    let Some(calls) = calls else {
        return Ok(Line::Other);
    };
    if !actions.allows() && is_unjudged(calls) {
        return Err(words.error(at, NEVER_JUDGED));
    }
    let action = to.action(&actions)?;
    to.add(calls, &conditions, action, when)
        .map_err(|e| words.add_error(at, e))?;
    // CAST: Lines are short.
    Ok(Line::Rule(at as u32 + 1))
}
