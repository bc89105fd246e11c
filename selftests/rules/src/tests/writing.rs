// SPDX-License-Identifier: GPL-2.0

//! The texts that mean a policy of the reference.

use super::{
    names::{ERRNOS, SIGNALS, SYSCALLS},
    reference::{Action, Condition, Policy, Rule, Syscall, Test, When},
};

const ARCHES: [&str; 3] = ["x86_64", "i386", "x32"];

/// Chooses one of so many ways to write a thing, of which the first is the canonical one.
pub(super) type Style<'a> = &'a mut dyn FnMut(usize) -> usize;

fn unsigned(value: u64, style: Style<'_>) -> String {
    [value.to_string(), format!("{value:#x}")][style(2)].clone()
}

fn hexadecimal(value: u64, style: Style<'_>) -> String {
    [format!("{value:#x}"), value.to_string()][style(2)].clone()
}

fn signed(value: i64, style: Style<'_>) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", unsigned(value.unsigned_abs(), style))
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
    }
}

fn condition(condition: &Condition, style: Style<'_>) -> String {
    let test = match condition.test {
        Test::Equal(value) => format!("== {}", unsigned(value, style)),
        Test::NotEqual(value) => format!("!= {}", unsigned(value, style)),
        Test::Less(value) => format!("< {}", unsigned(value, style)),
        Test::LessOrEqual(value) => format!("<= {}", unsigned(value, style)),
        Test::Greater(value) => format!("> {}", unsigned(value, style)),
        Test::GreaterOrEqual(value) => format!(">= {}", unsigned(value, style)),
        Test::Masked(mask, value) => {
            let mask = hexadecimal(mask, style);
            format!("& {mask} == {}", hexadecimal(value, style))
        }
    };
    format!("arg{} {test}", condition.argument)
}

fn action(action: Action, style: Style<'_>) -> String {
    match action {
        Action::Allow => "allow".into(),
        Action::Log => "log".into(),
        Action::AfterReturn(value) => format!("after return {}", signed(value, style)),
        Action::AfterErrno(errno) => format!("after errno {}", named(errno, ERRNOS, style)),
        Action::Set(argument, value) => format!("set arg{argument} {}", unsigned(value, style)),
        Action::Redirect(to) => format!("redirect {}", syscall(to, style)),
        Action::Delay(nanos) => {
            let units = [
                ("s", 1_000_000_000),
                ("ms", 1_000_000),
                ("us", 1000),
                ("ns", 1),
            ];
            let mut ways: Vec<_> = units.iter().filter(|(_, unit)| nanos % unit == 0).collect();
            let (name, unit) = ways.swap_remove(style(ways.len()));
            format!("delay {}{name}", nanos / unit)
        }
        Action::Return(value) => format!("return {}", signed(value, style)),
        Action::Errno(errno) => format!("errno {}", named(errno, ERRNOS, style)),
        Action::Signal(signal) => format!("signal {}", named(signal.into(), SIGNALS, style)),
        Action::Trap(0) => ["trap", "trap 0"][style(2)].into(),
        Action::Trap(data) => format!("trap {}", unsigned(data.into(), style)),
        Action::KillThread => "kill_thread".into(),
        Action::KillProcess => "kill_process".into(),
    }
}

fn when(when: When, style: Style<'_>) -> String {
    match when {
        When::Only(first) => format!(" when {first}"),
        When::From(first) | When::Every(first, 1) => {
            [format!(" when {first}+"), format!(" when {first}+1")][style(2)].clone()
        }
        When::Every(first, step) => format!(" when {first}+{step}"),
    }
}

fn rule(rule: &Rule, style: Style<'_>) -> String {
    let mut text = syscall(rule.syscall, style);
    if let Syscall::Numbered(abi, _) = rule.syscall {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        if abi != 0 || !is_number || style(2) == 0 {
            text += &format!(" arch {}", ARCHES[abi]);
        }
    }
    for c in &rule.conditions {
        text += &format!(" {}", condition(c, style));
    }
    text += &format!(" {}", action(rule.action, style));
    text + &rule.when.map_or(String::new(), |w| when(w, style))
}

impl Policy {
    /// The text, with line by line what comes before, between the words, and after.
    fn lines(&self, style: Style<'_>) -> Vec<String> {
        let mut defaults = Vec::new();
        match self.default {
            Some(default) => defaults.push(format!("default {}", action(default, style))),
            None if style(2) == 0 => defaults.push("default allow".into()),
            None => {}
        }
        for (abi, default) in self.abi_defaults.iter().enumerate() {
            if let Some(default) = default {
                let action = action(*default, style);
                defaults.push(format!("default arch {} {action}", ARCHES[abi]));
            }
        }
        let mut lines: Vec<String> = self.rules.iter().map(|r| rule(r, style)).collect();
        for default in defaults.into_iter().rev() {
            lines.insert(style(lines.len() + 1), default);
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
