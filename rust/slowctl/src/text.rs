// SPDX-License-Identifier: GPL-2.0

//! Rules as a text that somebody wrote: which line of it is which rule.

use crate::rules::{ParseError, Remark, Report, RuleSet};
use serde::Serialize;
use std::{fmt, fs, io, io::Read, path::Path};

/// Where a text is wrong, or not what it seems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub reason: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            reason,
        } = self;
        write!(f, "{file}:{line}:{column}: {reason}")
    }
}

impl Place {
    /// From a line of the kernel's file `error`: `line LINE, column COLUMN: REASON`.
    pub fn from_kernel(file: &str, line: &str) -> Option<Self> {
        let (place, reason) = line.strip_prefix("line ")?.split_once(": ")?;
        let (line, column) = place.split_once(", column ")?;
        Some(Self {
            file: file.into(),
            line: line.parse().ok()?,
            column: column.parse().ok()?,
            reason: reason.into(),
        })
    }

    /// As the lines count without the first ones; none, if it is one of these.
    pub fn skip_lines(mut self, skipped: usize) -> Option<Self> {
        let skipped = u32::try_from(skipped).ok()?;
        self.line = self.line.checked_sub(skipped).filter(|line| *line > 0)?;
        Some(self)
    }

    fn new(file: &str, remark: &Remark) -> Self {
        Self {
            file: file.into(),
            line: remark.line,
            column: remark.column,
            reason: remark.reason.into(),
        }
    }
}

/// Rules that make sense.
pub struct Text {
    pub set: RuleSet,
    pub warnings: Vec<Place>,
    /// The lines, without comments, and with one space between words.
    lines: Vec<String>,
    /// For each line of the canonical text that can decide, that of this text, from 0; none is for
    /// the default that nothing says.
    origins: Vec<Option<usize>>,
}

/// Reads a file, or standard input, which is `-`.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text)?;
        Ok(text)
    } else {
        fs::read(file)
    }
}

impl Text {
    /// Parses rules; or says what is wrong, as the kernel does. `file` is what they are called.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, Vec<Place>> {
        let mut report = Report::new();
        let parsed = RuleSet::parse(text, 0, &mut report);
        let places = report.remarks().iter().map(|r| Place::new(file, r));
        match parsed {
            Ok(set) => Ok(Self::new(set, text, places.collect())),
            Err(ParseError::Syntax | ParseError::TooBig | ParseError::NoMemory) => {
                Err(places.collect())
            }
        }
    }

    fn new(set: RuleSet, text: &[u8], warnings: Vec<Place>) -> Self {
        // What was parsed is UTF-8.
        let text = String::from_utf8_lossy(text);
        let lines: Vec<String> = text
            .split('\n')
            .map(|line| {
                let said = line.split('#').next().unwrap_or_default();
                Vec::from_iter(said.split_ascii_whitespace()).join(" ")
            })
            .collect();
        // Rules are in the order of the text, those of the defaults come before.
        let mut rules = Vec::new();
        let mut defaults = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            match Role::of(line) {
                Role::Rule => rules.push(number),
                Role::Default(canonical) => defaults.push((number, canonical)),
                Role::None => {}
            }
        }
        let nr_defaults = set.nr_lines() - rules.len();
        let default = |line: usize| {
            let canonical = canonical_line(&set, line);
            let mut said = defaults.iter();
            said.find(|d| d.1 == canonical).map(|d| d.0)
        };
        let origins = (0..nr_defaults).map(default);
        let origins = origins.chain(rules.into_iter().map(Some)).collect();
        Self {
            set,
            warnings,
            lines,
            origins,
        }
    }

    /// The line of the text, from 0, that became a line of the canonical text.
    pub fn origin(&self, line: usize) -> Option<usize> {
        self.origins.get(line).copied().flatten()
    }

    /// The lines, without comments, and with one space between words.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The lines that are rules, from 0, in their order.
    pub fn rule_lines(&self) -> impl Iterator<Item = usize> + '_ {
        let rule = |line: &usize| Role::first_word(&self.lines[*line]) != Some("default");
        self.origins.iter().flatten().copied().filter(rule)
    }
}

/// A line of the canonical text.
pub fn canonical_line(set: &RuleSet, line: usize) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = set.fmt_line(line, &mut text);
    text
}

/// What a line is.
enum Role {
    Rule,
    /// A default, and its canonical line.
    Default(String),
    /// It leaves nothing behind.
    None,
}

impl Role {
    fn first_word(line: &str) -> Option<&str> {
        line.split_ascii_whitespace().next()
    }

    /// Of a line that makes sense.
    fn of(line: &str) -> Self {
        let Some(word) = Self::first_word(line) else {
            return Self::None;
        };
        let Ok(set) = RuleSet::parse(line.as_bytes(), 0, &mut Report::new()) else {
            return Self::None;
        };
        // By itself it comes last, behind the default that nothing says.
        let last = set.nr_lines() - 1;
        match word {
            "default" => Self::Default(canonical_line(&set, last)),
            _ if last > 0 => Self::Rule,
            _ => Self::None,
        }
    }
}
