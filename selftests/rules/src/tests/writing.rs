// SPDX-License-Identifier: GPL-2.0

//! The texts that mean a policy of the reference.

use super::{
    names::{ERRNOS, SIGNALS, SYSCALLS},
    reference::{Action, Condition, Default, Operator, Policy, Rule, Syscall, When, Width},
};

const ARCHES: [&str; 3] = ["x86_64", "i386", "x32"];

/// Chooses one of so many ways to write a thing, of which the first is the canonical one.
pub(super) type Style<'a> = &'a mut dyn FnMut(usize) -> usize;

fn octal(value: u64) -> String {
    format!("0{value:o}")
}

fn unsigned(value: u64, style: Style<'_>) -> String {
    [value.to_string(), format!("{value:#x}"), octal(value)][style(3)].clone()
}

fn hexadecimal(value: u64, style: Style<'_>) -> String {
    [format!("{value:#x}"), value.to_string(), octal(value)][style(3)].clone()
}

fn signed(value: i128, style: Style<'_>) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", unsigned(value.unsigned_abs() as u64, style))
}

/// Any name that the number has, or the number.
fn named(number: u16, names: &[(u16, &str)], style: Style<'_>) -> String {
    let mut ways: Vec<String> = names
        .iter()
        .filter(|(n, _)| *n == number)
        .map(|(_, name)| name.to_string())
        .collect();
    ways.push(number.to_string());
    ways.push(format!("{number:#x}"));
    ways.swap_remove(style(ways.len()))
}

/// The name, or the number on an architecture.
fn syscall(syscall: Syscall, style: Style<'_>) -> String {
    match syscall {
        Syscall::Named(name) => SYSCALLS[name].0.into(),
        Syscall::Numbered(abi, number) => {
            let mut calls = SYSCALLS.iter();
            let name = calls.find(|(_, numbers)| numbers[abi] == number as i16);
            let mut ways: Vec<String> =
                name.map(|(name, _)| name.to_string()).into_iter().collect();
            ways.push(number.to_string());
            ways.push(format!("{number:#x}"));
            ways.swap_remove(style(ways.len()))
        }
        Syscall::Range(_, first, last) => {
            format!(
                "{}..{}",
                unsigned(first.into(), style),
                unsigned(last.into(), style)
            )
        }
    }
}

/// The width, if it is to be written.
fn width(condition: &Condition, syscall: Syscall, style: Style<'_>) -> Option<Width> {
    let mut abis = (0..3).filter(|&abi| syscall.number(abi).is_some());
    let own = |abi| syscall.width(abi, condition.argument);
    match condition.width {
        Some(_)
            if abis
                .clone()
                .any(|abi| condition.width(syscall, abi) != own(abi)) =>
        {
            condition.width
        }
        Some(width) => [None, Some(width)][style(2)],
        None => {
            // Any that is the call's own on all of them.
            let width = own(abis.next()?);
            let same = abis.all(|abi| width.on(abi) == own(abi));
            [None, same.then_some(width)][style(2)]
        }
    }
}

fn condition(condition: &Condition, syscall: Syscall, style: Style<'_>) -> String {
    let operator = match condition.operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
    };
    let argument = format!("arg{}", condition.argument);
    let argument = match width(condition, syscall, style) {
        Some(Width { bits, is_signed }) => {
            format!("{}{bits}({argument})", if is_signed { "i" } else { "u" })
        }
        None => argument,
    };
    match condition.mask {
        Some(mask) => {
            let mask = hexadecimal(mask, style);
            let value = hexadecimal(condition.value as u64, style);
            format!("{argument} & {mask} {operator} {value}")
        }
        None => format!("{argument} {operator} {}", signed(condition.value, style)),
    }
}

fn delay(nanos: u64, style: Style<'_>) -> String {
    let units = [
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1000),
        ("ns", 1),
    ];
    let mut ways: Vec<_> = units
        .iter()
        .filter(|(_, unit)| nanos / unit * unit == nanos)
        .collect();
    let (name, unit) = ways.swap_remove(style(ways.len()));
    format!("delay {}{name}", nanos / unit)
}

fn poke(argument: usize, len: u8, bytes: u64, style: Style<'_>) -> String {
    let digits = format!("{bytes:0width$x}", width = 2 * usize::from(len));
    let digits = [digits.clone(), digits.to_uppercase()][style(2)].clone();
    format!("poke arg{argument} {digits}")
}

fn action(action: Action, style: Style<'_>) -> String {
    match action {
        Action::Allow => "allow".into(),
        Action::Audit => "audit".into(),
        Action::Log => ["log", "log audit", "audit log"][style(3)].into(),
        Action::AfterDelay(nanos) => format!("after {}", delay(nanos, style)),
        Action::AfterReturn(value) => format!("after return {}", signed(value.into(), style)),
        Action::AfterErrno(errno) => format!("after errno {}", named(errno, ERRNOS, style)),
        Action::AfterPoke(argument, len, bytes) => {
            format!("after {}", poke(argument, len, bytes, style))
        }
        Action::Poke(argument, len, bytes) => poke(argument, len, bytes, style),
        Action::Set(argument, value) => format!("set arg{argument} {}", unsigned(value, style)),
        Action::SetBits(argument, value) => {
            format!("set arg{argument} | {}", hexadecimal(value, style))
        }
        Action::KeepBits(argument, value) => {
            format!("set arg{argument} & {}", hexadecimal(value, style))
        }
        Action::Redirect(to) => format!("redirect {}", syscall(to, style)),
        Action::Delay(nanos) => delay(nanos, style),
        Action::Return(value) => format!("return {}", signed(value.into(), style)),
        Action::Errno(errno) => format!("errno {}", named(errno, ERRNOS, style)),
        Action::Signal(signal) => format!("signal {}", named(signal.into(), SIGNALS, style)),
        Action::Trap(0) => ["trap", "trap 0"][style(2)].into(),
        Action::Trap(data) => format!("trap {}", unsigned(data.into(), style)),
        Action::KillThread => ["kill_thread", "audit kill_thread"][style(2)].into(),
        Action::KillProcess => ["kill_process", "kill_process audit"][style(2)].into(),
    }
}

/// The actions, in any order but that of the changes.
fn actions(actions: &[Action], style: Style<'_>) -> String {
    let is_change = |action: &Action| {
        matches!(
            action,
            Action::Set(..) | Action::SetBits(..) | Action::KeepBits(..)
        )
    };
    let mut words: Vec<(bool, String)> = Vec::new();
    for a in actions {
        let at = if is_change(a) {
            let last = words.iter().rposition(|(is_change, _)| *is_change);
            words.len() - style(words.len() - last.map_or(0, |last| last + 1) + 1)
        } else {
            words.len() - style(words.len() + 1)
        };
        words.insert(at, (is_change(a), action(*a, style)));
    }
    let words: Vec<String> = words.into_iter().map(|(_, words)| words).collect();
    words.join(" ")
}

fn when(when: When, style: Style<'_>) -> String {
    match when {
        When::Only(first) | When::Until(first, _) | When::EveryUntil(first, _, _)
            if matches!(when, When::Only(_)) || first == last_of(when) =>
        {
            [
                format!(" when {first}"),
                format!(" when {first}..{first}"),
                format!(" when {first}..{first}+3"),
            ][style(3)]
            .clone()
        }
        When::From(first) | When::Every(first, 1) => {
            [format!(" when {first}+"), format!(" when {first}+1")][style(2)].clone()
        }
        When::Every(first, step) => format!(" when {first}+{step}"),
        When::Until(first, last) | When::EveryUntil(first, last, 1) => [
            format!(" when {first}..{last}"),
            format!(" when {first}..{last}+1"),
        ][style(2)]
        .clone(),
        When::EveryUntil(first, last, step) => format!(" when {first}..{last}+{step}"),
        When::Share(percent, seed) => {
            format!(" when {percent}% seed {}", unsigned(seed.into(), style))
        }
        When::Only(_) => unreachable!(),
    }
}

fn last_of(when: When) -> u32 {
    match when {
        When::Until(_, last) | When::EveryUntil(_, last, _) => last,
        _ => 0,
    }
}

fn default(default: &Default, style: Style<'_>) -> String {
    let mut text = String::from("default");
    if let Some(abi) = default.abi {
        text += &format!(" arch {}", ARCHES[abi]);
    }
    if let Some(above) = default.above {
        text += &format!(" above {}", unsigned(above.into(), style));
    }
    format!("{text} {}", actions(&default.actions, style))
}

/// Longer lines may not be accepted, with a comment.
const MAX_RULE: usize = 240;

impl Rule {
    /// Whether a line has room for it.
    pub(super) fn fits(&self) -> bool {
        any_rule(self, &mut |_| 0).len() <= MAX_RULE
    }
}

fn rule(rule: &Rule, style: Style<'_>) -> String {
    let text = any_rule(rule, style);
    if text.len() <= MAX_RULE {
        text
    } else {
        any_rule(rule, &mut |_| 0)
    }
}

fn any_rule(rule: &Rule, style: Style<'_>) -> String {
    let mut text = syscall(rule.syscall, style);
    if let Syscall::Numbered(abi, _) | Syscall::Range(abi, ..) = rule.syscall {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        if abi != 0 || !is_number || style(2) == 0 {
            text += &format!(" arch {}", ARCHES[abi]);
        }
    }
    let is_name = text.starts_with(|c: char| !c.is_ascii_digit());
    if is_name && style(10) == 9 {
        text.insert(0, '?');
    }
    for c in &rule.conditions {
        text += &format!(" {}", condition(c, rule.syscall, style));
    }
    text += &format!(" {}", actions(&rule.actions, style));
    text + &rule.when.map_or(String::new(), |w| when(w, style))
}

impl Policy {
    /// The text, with line by line what comes before, between the words, and after.
    fn lines(&self, style: Style<'_>) -> Vec<String> {
        let mut others = Vec::new();
        if self.first_decides {
            others.push("order first".into());
        }
        if !self.defaults.first().is_some_and(Default::is_first) && style(2) == 0 {
            others.push("default allow".into());
        }
        others.extend(self.defaults.iter().map(|d| default(d, style)));
        let mut lines: Vec<String> = self.rules.iter().map(|r| rule(r, style)).collect();
        for line in others.into_iter().rev() {
            lines.insert(style(lines.len() + 1), line);
        }
        lines
    }

    pub(super) fn canonical_text(&self) -> String {
        let mut text = self.lines(&mut |_| 0).join("\n");
        text.push('\n');
        text
    }

    /// One of the texts that mean this policy.
    pub(super) fn text(&self, style: Style<'_>) -> String {
        let mut text = String::new();
        for line in self.lines(style) {
            text += ["", " ", "\t", "\n", " \t\n", "# log\n"][style(6)];
            text += &line.replace(' ', [" ", "\t"][style(2)]);
            text += ["\n", "\r\n", " # x\n", "# x\n", " \n"][style(5)];
        }
        text
    }
}
