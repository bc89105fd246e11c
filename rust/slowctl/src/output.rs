// SPDX-License-Identifier: GPL-2.0

//! What is printed: text for people, or a JSON document.

use crate::error::{Error, Kind};
use anstyle::{AnsiColor, Style};
use comfy_table::{presets::NOTHING, Table};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
};

/// How to print.
#[derive(Clone, Copy)]
pub struct Output {
    pub json: bool,
}

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default();

/// A word in a colour, where there are colours.
pub fn coloured(style: Style, word: impl fmt::Display) -> String {
    format!("{style}{word}{style:#}")
}

/// Whether a character does something to a terminal, or to the order of what it shows.
fn is_active(c: char) -> bool {
    let is_of_order =
        matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_of_order
}

/// What others have chosen, such as the name of a task or of a cgroup, without what a terminal would
/// do.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The same of several lines.
fn plain_lines(text: &str) -> String {
    Vec::from_iter(text.split('\n').map(plain)).join("\n")
}

fn to_json(document: &impl Serialize) -> String {
    // Everything that is printed has keys that are text, and cannot fail.
    plain_json(&serde_json::to_string_pretty(document).unwrap_or_default())
}

fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Such a one is within a string.
        if is_active(c) && c != '\n' {
            plain.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    plain
}

impl Output {
    /// Prints what a command has found or done.
    pub fn print<T: Serialize + fmt::Display>(self, found: &T) {
        if self.json {
            write_out(&format!("{}\n", to_json(found)));
        } else {
            write_out(&found.to_string());
        }
    }

    /// Prints one of many things, in a line; returns whether there is somebody who reads it.
    pub fn print_line<T: Serialize + fmt::Display>(self, found: &T) -> io::Result<bool> {
        match self.json {
            true => print_json_line(found),
            false => write_line(&found.to_string()),
        }
    }

    /// Says something that is no result, on standard error.
    pub fn note(self, note: &str) {
        #[derive(Serialize)]
        struct Note<'a> {
            note: &'a str,
        }
        let note = if self.json {
            to_json(&Note { note })
        } else {
            plain_lines(note)
        };
        let _ = writeln!(anstream::stderr(), "{note}");
    }

    pub fn error(self, error: &Error) {
        let mut err = anstream::stderr().lock();
        if self.json {
            #[derive(Serialize)]
            struct Document<'a> {
                error: &'a Error,
                exit_status: u8,
            }
            let document = Document {
                error,
                // CAST: The discriminants are small.
                exit_status: error.kind as u8,
            };
            let _ = writeln!(err, "{}", to_json(&document));
            return;
        }
        for mistake in &error.mistakes {
            let _ = writeln!(err, "{}", plain_lines(&mistake.to_string()));
        }
        for loss in &error.losses {
            let _ = writeln!(err, "{loss}");
        }
        let word = coloured(BAD, "error:");
        let _ = writeln!(err, "{word} {}", plain_lines(&error.message));
        if let Some(help) = &error.help {
            let _ = writeln!(err, "       {}", plain_lines(help));
        } else if error.kind == Kind::Usage {
            let _ = writeln!(err, "       see slowctl --help");
        }
    }
}

/// The same of what is only for programs.
pub fn print_json_line(found: &impl Serialize) -> io::Result<bool> {
    write_line(&plain_json(
        &serde_json::to_string(found).unwrap_or_default(),
    ))
}

fn write_line(line: &str) -> io::Result<bool> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Who reads the output may have seen enough of it.
fn write_out(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// A table without lines.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let last = header.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_to_a_terminal() {
        assert_eq!(plain("a-b.c \u{e9}"), "a-b.c \u{e9}");
        assert_eq!(plain("\x1b[2J\n"), "\\u{1b}[2J\\u{a}");
        assert_eq!(plain("\x7f\u{9b}\u{202e}"), "\\u{7f}\\u{9b}\\u{202e}");
        assert_eq!(plain_lines("a\n\tb"), "a\n\\u{9}b");
    }

    #[test]
    fn json_is_plain_and_the_same() {
        let text = "\x1b\x7f\u{9b}\u{202e}\n";
        let json = to_json(&[text]);
        assert!(json.chars().all(|c| !is_active(c) || c == '\n'), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
