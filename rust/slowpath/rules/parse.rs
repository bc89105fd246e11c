// SPDX-License-Identifier: GPL-2.0

//! The parser of a policy's text.
//!
//! One rule a line: `SYSCALL [arch ARCH] [CONDITION...] ACTION... [when WHEN]`, or the default of
//! what no rule is for: `default [arch ARCH] [above NUMBER] ACTION...`, or which of the rules for a
//! call decides: `order first`. `#` starts a comment.

use super::{
    build::Builder,
    list::List,
    parse_line::{parse_line, Line},
    report::{ParseError, Remark, Report, Source},
    set::RuleSet,
    warn::Warnings,
    when::scatter,
    words::{LineError, Words},
};
use core::fmt;

/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 256;

/// The longest text, in bytes: room for as many rules as there may be, of a usual length.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

impl RuleSet {
    /// Parses a policy. The report has what is wrong with the text, or to be said about it.
    ///
    /// By `random` rules choose calls by chance, if they have no seed.
    pub(crate) fn parse(text: &[u8], random: u64, report: &mut Report) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            report.add(Remark {
                line: 1,
                column: 1,
                reason: "the text is too long",
            })?;
            return Err(ParseError::TooBig);
        }
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(e) => {
                report.add(position(text, e.valid_up_to(), "not text"))?;
                return Err(ParseError::Syntax);
            }
        };
        let mut rules = Builder::new();
        let mut sources = List::new();
        parse_lines(text, random, &mut rules, &mut sources, report)?;
        let set = rules.finish()?;
        set.check_length(&sources, report)?;
        Warnings::new(&set).add_to(report, &sources)?;
        Ok(set)
    }
}

/// Parses all lines, or those up to the last mistake that is reported.
fn parse_lines(
    text: &str,
    random: u64,
    rules: &mut Builder,
    sources: &mut List<Source>,
    report: &mut Report,
) -> Result<(), ParseError> {
    let mut result = Ok(());
    for (number, line) in text.split('\n').enumerate() {
        // CAST: A text has fewer lines than 32 bits count.
        let mut words = Words {
            line: number as u32 + 1,
            text: line.split('#').next().unwrap_or_default(),
            at: 0,
        };
        let parsed = if line.len() > MAX_LINE {
            Err(LineError::TooBig(
                words.remark(MAX_LINE, "the line is too long"),
            ))
        } else {
            // CAST: The lower half.
            let seed = scatter(random ^ u64::from(words.line)) as u32;
            parse_line(&mut words, seed, rules)
        };
        match parsed {
            Ok(Line::Rule(column)) => sources.push(Source {
                line: words.line,
                column,
            })?,
            Ok(Line::Other) => {}
            Err(LineError::NoMemory) => return Err(ParseError::NoMemory),
            Err(LineError::Syntax(mistake)) => {
                report.add(mistake)?;
                result = Err(ParseError::Syntax);
            }
            Err(LineError::TooBig(mistake)) => {
                report.add(mistake)?;
                result = result.and(Err(ParseError::TooBig));
            }
            Err(LineError::Full(mistake)) => {
                report.add(mistake)?;
                return result.and(Err(ParseError::TooBig));
            }
        }
        if report.is_full() {
            break;
        }
    }
    result
}

/// Counts what is written to it.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}

impl RuleSet {
    /// Whatever is accepted can be read and written again: the canonical text has names for
    /// numbers, and may be longer.
    fn check_length(&self, sources: &[Source], report: &mut Report) -> Result<(), ParseError> {
        let mut all = Length(0);
        // Counting does not fail.
        let _ = self.fmt_start(&mut all);
        let mut result = Ok(());
        for line in 0..self.nr_lines() {
            let mut length = Length(0);
            let _ = self.fmt_line(line, &mut length);
            let was_short = all.0 <= MAX_TEXT;
            all.0 += length.0 + 1;
            let reason = if length.0 > MAX_LINE {
                "the line is too long with names for its numbers"
            } else if was_short && all.0 > MAX_TEXT {
                "the text is too long with names for its numbers"
            } else {
                continue;
            };
            // The lines of the defaults, which are short, come first.
            let rule = (line + sources.len()).checked_sub(self.nr_lines());
            let source = rule.and_then(|rule| sources.get(rule));
            report.add(Remark {
                line: source.map_or(1, |source| source.line),
                column: 1,
                reason,
            })?;
            result = Err(ParseError::TooBig);
        }
        result
    }
}

fn position(text: &[u8], at: usize, reason: &'static str) -> Remark {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |i| i + 1);
    Remark {
        line: before.iter().filter(|&&b| b == b'\n').count() as u32 + 1,
        column: (at - line_start) as u32 + 1,
        reason,
    }
}
