// SPDX-License-Identifier: GPL-2.0

//! Files of rules, checked and tried without a kernel that has them.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    output::{coloured, Output, BAD, GOOD, WARN},
    sim::{Answer, Arch, Question},
    text::{self, Place, Text},
};
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Say what is wrong with rules, as the kernel would
#[derive(clap::Args)]
pub struct CheckArgs {
    /// Files of rules; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the rules as the kernel would write them
    #[arg(long)]
    print: bool,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    good: bool,
    /// Mistakes, or warnings about rules that have none.
    remarks: Vec<Place>,
    /// How many lines can decide about a call, with the default that nothing says.
    lines: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllChecked(Vec<Checked>);

impl fmt::Display for AllChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for checked in &self.0 {
            let style = if checked.good { WARN } else { BAD };
            for remark in &checked.remarks {
                let Place {
                    file,
                    line,
                    column,
                    reason,
                } = remark;
                let reason = match reason.strip_prefix("warning: ") {
                    Some(reason) => format!("{} {reason}", coloured(WARN, "warning:")),
                    None => format!("{} {reason}", coloured(style, "error:")),
                };
                writeln!(f, "{file}:{line}:{column}: {reason}")?;
            }
            match (&checked.canonical, checked.lines) {
                (Some(canonical), _) => f.write_str(canonical)?,
                (None, Some(lines)) => {
                    let good = coloured(GOOD, "good");
                    writeln!(f, "{}: {good}, {lines} lines can decide", checked.file)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }
}

impl CheckArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let mut all = Vec::new();
        for path in &self.files {
            let file = path.display().to_string();
            let bytes = text::read(path).trying(file.as_str())?;
            all.push(match Text::parse(&file, &bytes) {
                Ok(text) => Checked {
                    good: true,
                    lines: Some(text.set.nr_lines()),
                    canonical: self.print.then(|| text.set.to_string()),
                    remarks: text.warnings,
                    file,
                },
                Err(mistakes) => Checked {
                    file,
                    good: false,
                    remarks: mistakes,
                    lines: None,
                    canonical: None,
                },
            });
        }
        let end = if all.iter().all(|checked| checked.good) {
            End::Good
        } else {
            End::Bad(Kind::Rules)
        };
        out.print(&AllChecked(all));
        Ok(end)
    }
}

/// Which call, and which one of such calls.
#[derive(clap::Args)]
pub struct CallArgs {
    /// The name of the call, or its number
    #[arg(value_name = "CALL", allow_negative_numbers = true)]
    call: String,
    /// Its arguments, as numbers; those that are not said are 0
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The convention by which it is made
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Which one of such calls it is, from 1, for rules with 'when'; without, all cases are shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    nth: Option<u32>,
}

impl CallArgs {
    pub fn question(&self) -> Result<Question> {
        Question::new(self.arch.into(), &self.call, &self.arguments, self.nth)
    }
}

/// Say which line of a file decides about a call, and what becomes of it
#[derive(clap::Args)]
pub struct SimArgs {
    /// A file of rules; - is standard input
    file: PathBuf,
    #[command(flatten)]
    call: CallArgs,
}

impl SimArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let question = self.call.question()?;
        let file = self.file.display().to_string();
        let bytes = text::read(&self.file).trying(file.as_str())?;
        let text = Text::parse(&file, &bytes).map_err(|places| Error::rules(&file, places))?;
        out.print(&Answer::new(&file, &text, &question));
        Ok(End::Good)
    }
}
