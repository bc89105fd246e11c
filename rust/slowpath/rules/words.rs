// SPDX-License-Identifier: GPL-2.0

//! The words of a text.

use super::{list::NoMemory, report::Remark};

/// Why a line is not a rule.
#[derive(Debug)]
pub(super) enum LineError {
    /// It is not in the language of rules.
    Syntax(Remark),
    /// It is too long.
    TooBig(Remark),
    /// No other line can be, either: there is more of something than there may be.
    Full(Remark),
    NoMemory,
}

impl From<NoMemory> for LineError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// A word, and where it is in its line, from 0.
pub(super) type Word<'a> = (usize, &'a str);

/// The words of one line, with their columns.
pub(super) struct Words<'a> {
    pub(super) line: u32,
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn next(&mut self) -> Option<Word<'a>> {
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

    pub(super) fn expect(&mut self, reason: &'static str) -> Result<Word<'a>, LineError> {
        let word = self.next();
        word.ok_or_else(|| self.error(self.at, reason))
    }

    /// The next word, without taking it.
    pub(super) fn peek(&self) -> Option<&'a str> {
        let mut ahead = Self { ..*self };
        ahead.next().map(|(_, word)| word)
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        if is_next {
            self.next();
        }
        is_next
    }

    /// The next word as `what`.
    pub(super) fn parse<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, LineError> {
        let (at, word) = self.expect(what)?;
        parse(word).ok_or_else(|| self.error(at, what))
    }

    pub(super) fn end(&mut self) -> Result<(), LineError> {
        match self.next() {
            None => Ok(()),
            Some((at, _)) => Err(self.error(at, MORE)),
        }
    }

    /// What is to be said about the line at a place, from 0.
    pub(super) fn remark(&self, at: usize, reason: &'static str) -> Remark {
        // CAST: Lines are short.
        Remark {
            line: self.line,
            column: at as u32 + 1,
            reason,
        }
    }

    pub(super) fn error(&self, at: usize, reason: &'static str) -> LineError {
        LineError::Syntax(self.remark(at, reason))
    }
}

pub(super) const MORE: &str = "nothing more is expected here";
