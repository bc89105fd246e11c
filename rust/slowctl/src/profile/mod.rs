// SPDX-License-Identifier: GPL-2.0

//! Profiles of others, and rules that mean the same.
//!
//! A profile becomes a [`Filter`], which is what runc hands to libseccomp; that becomes a
//! [`Meaning`], which is what libseccomp's program does on each architecture; and that becomes
//! rules. What rules cannot say is a [`Loss`]. A test has libseccomp judge this.

mod condition;
mod export;
mod filter;
mod json;
mod meaning;
mod select;
mod systemd;
mod write;

#[cfg(test)]
mod tests;

pub use export::export;
pub use filter::{Filter, Notes};
pub use json::{parse, Format, Profile};
use meaning::Meaning;
pub use select::{capability, Capabilities, Given, Kernel, CAPABILITIES};
pub use systemd::{parse_unit, Groups};
use write::write;

/// Why something is no profile, or none that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake(pub String);

impl Mistake {
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// What rules cannot say as the profile does, and what they say instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss(pub String);

/// Rules that a profile has become.
pub struct Imported {
    pub text: String,
    pub losses: Vec<Loss>,
    pub notes: Notes,
}

/// Makes rules of what runc would hand to libseccomp.
pub fn import(filter: &Filter, mut notes: Notes) -> Result<Imported, Mistake> {
    let mut losses = Vec::new();
    let meaning = Meaning::of(filter, &mut losses, &mut notes)?;
    let text = write(&meaning, &mut losses, &mut notes);
    losses.sort();
    losses.dedup();
    notes.tidy();
    Ok(Imported {
        text,
        losses,
        notes,
    })
}
