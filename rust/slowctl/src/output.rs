// SPDX-License-Identifier: GPL-2.0

//! What is printed: text for people, or a JSON document.

use crate::error::{Error, Kind};
use anstyle::{AnsiColor, Style};
use comfy_table::{presets::NOTHING, Table};
use serde::Serialize;
use std::{fmt, io::Write};

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

impl Output {
    /// Prints what a command has found or done.
    pub fn print<T: Serialize + fmt::Display>(self, found: &T) {
        if self.json {
            // Everything that is printed has keys that are text, and cannot fail.
            let text = serde_json::to_string_pretty(found).unwrap_or_default();
            write_out(&format!("{text}\n"));
        } else {
            write_out(&found.to_string());
        }
    }

    /// Says something that is no result.
    pub fn note(self, note: &str) {
        if !self.json {
            let _ = writeln!(anstream::stderr(), "{note}");
        }
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
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            let _ = writeln!(err, "{text}");
            return;
        }
        for mistake in &error.mistakes {
            let _ = writeln!(err, "{mistake}");
        }
        let word = coloured(BAD, "error:");
        let _ = writeln!(err, "{word} {}", error.message);
        if let Some(help) = &error.help {
            let _ = writeln!(err, "       {help}");
        } else if error.kind == Kind::Usage {
            let _ = writeln!(err, "       see slowctl --help");
        }
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
