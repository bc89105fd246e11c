// SPDX-License-Identifier: GPL-2.0

//! What goes wrong, by what can be done about it: each kind has an exit status.

use crate::text::Place;
use rustix::io::Errno;
use serde::Serialize;
use std::{io, process::ExitCode};

/// What went wrong. The numbers are the exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something else than the following.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    NotPermitted = 3,
    /// The module, the kernel or a file system is missing.
    NotLoaded = 4,
    /// There is no such task, cgroup, group or policy.
    NotFound = 5,
    /// Rules have mistakes.
    Rules = 6,
    /// Done for some of the targets.
    Partial = 7,
    /// Not done without `--force`.
    Guarded = 8,
    /// In use, in another group, or there already.
    Busy = 9,
}

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error, Serialize)]
#[error("{message}")]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Where rules are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Place>,
    /// What cannot be said in other terms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<String>,
}

pub type Result<T> = std::result::Result<T, Error>;

/// How a command ends that has printed all there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Good,
    /// What was compared differs, or something is missing.
    Different,
    Bad(Kind),
    /// With the status of the command that was run.
    Status(u8),
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Good => Self::SUCCESS,
            End::Different => Self::from(1),
            End::Bad(kind) => kind.into(),
            End::Status(status) => Self::from(status),
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        // CAST: The discriminants are small.
        Self::from(kind as u8)
    }
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            help: None,
            mistakes: Vec::new(),
            losses: Vec::new(),
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Rules that are not taken.
    pub fn rules(what: &str, mistakes: Vec<Place>) -> Self {
        let mut error = Self::new(Kind::Rules, format!("{what}: these rules are not taken"));
        error.mistakes = mistakes;
        error
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What the kernel says to something that was tried.
    pub fn io(what: impl Into<String>, error: &io::Error) -> Self {
        let errno = Errno::from_io_error(error);
        let kind = match errno {
            Some(Errno::PERM | Errno::ACCESS) => Kind::NotPermitted,
            Some(Errno::NOENT | Errno::SRCH | Errno::NODEV) => Kind::NotFound,
            Some(Errno::BUSY | Errno::EXIST) => Kind::Busy,
            _ => Kind::Failed,
        };
        let why = match errno {
            Some(errno) => std::io::Error::from(errno).to_string(),
            None => error.to_string(),
        };
        // Without the number behind it, which nobody needs.
        let why = why.split(" (os error").next().unwrap_or_default();
        Self::new(kind, format!("{}: {why}", what.into()))
    }
}

/// Says what was tried when it fails.
pub trait Trying<T> {
    fn trying(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::io(what, &error))
    }
}

impl<T> Trying<T> for rustix::io::Result<T> {
    fn trying(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|errno| Error::io(what, &errno.into()))
    }
}
