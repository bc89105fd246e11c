// SPDX-License-Identifier: GPL-2.0

//! What is said about a text.

use super::list::{List, NoMemory};
use core::fmt;

/// What warnings begin with.
const WARNING: &str = "warning: ";

/// How many mistakes are reported of one text.
pub(crate) const MAX_MISTAKES: usize = 20;

/// Where a text is wrong, or not what it seems, and why; line and column count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) reason: &'static str,
}

impl Remark {
    fn place(&self) -> (u32, u32) {
        (self.line, self.column)
    }
}

/// As the log and files have it.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            reason,
        } = self;
        write!(f, "line {line}, column {column}: {reason}")
    }
}

/// Where a rule comes from: the line, and the column of its first word.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Source {
    pub(super) fn remark(self, reason: &'static str) -> Remark {
        Remark {
            line: self.line,
            column: self.column,
            reason,
        }
    }
}

/// What was found in a text: mistakes, or warnings about one that has none.
pub(crate) struct Report(List<Remark>);

impl Report {
    pub(crate) fn new() -> Self {
        Self(List::new())
    }

    pub(crate) fn remarks(&self) -> &[Remark] {
        &self.0
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() == MAX_MISTAKES
    }

    /// Adds a remark, in the order of the text, unless there are as many as there may be.
    pub(super) fn add(&mut self, remark: Remark) -> Result<(), NoMemory> {
        if self.is_full() {
            return Ok(());
        }
        self.0.push(remark)?;
        let mut at = self.0.len() - 1;
        while at > 0 && self.0[at].place() < self.0[at - 1].place() {
            self.0.swap(at, at - 1);
            at -= 1;
        }
        Ok(())
    }

    /// Counts lines from another one on, for a text that was put behind others, about which there
    /// is nothing more to warn of.
    pub(crate) fn skip_lines(&mut self, lines: u32) {
        let mut kept = 0;
        for at in 0..self.0.len() {
            let mut remark = self.0[at];
            if remark.line > lines || !remark.reason.starts_with(WARNING) {
                remark.line = remark.line.saturating_sub(lines).max(1);
                self.0[kept] = remark;
                kept += 1;
            }
        }
        self.0.truncate(kept);
    }
}

/// Why a text is not a policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// It is not in the language of rules.
    Syntax,
    /// There is more of something than there may be, and nothing else is wrong.
    TooBig,
    /// There is no memory for the rules.
    NoMemory,
}

impl From<NoMemory> for ParseError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}
