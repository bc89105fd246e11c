// SPDX-License-Identifier: GPL-2.0

//! Puts this process on the path whose cost is to be measured.

use anyhow::{Context, Result};
use clap::ValueEnum;
use std::fs;

#[derive(Clone, Copy, ValueEnum)]
pub enum Path {
    /// Not attached
    Untagged,
    /// Not attached, and forced off the fast path
    Forced,
    /// Attached, without a policy
    Attached,
    /// The same, and returning by IRET
    Iret,
}

fn set(file: &str, value: &str) -> Result<()> {
    let file = format!("/sys/kernel/slowpath/{file}");
    fs::write(&file, value).with_context(|| format!("{file}: is the module loaded?"))
}

/// The group that this process joins.
pub const GROUP: &str = "/sys/kernel/config/slowpath/groups/bench";

/// Puts this process and its future children on the path, or all processes.
pub fn take(path: Path) -> Result<()> {
    let exit_path = match path {
        Path::Untagged => return Ok(()),
        Path::Forced => return set("force_all", "1"),
        Path::Attached => "auto",
        Path::Iret => "iret",
    };
    let pid = std::process::id();
    fs::create_dir(GROUP).context(GROUP)?;
    for (file, value) in [
        ("exit_path", exit_path),
        ("join", &format!("process {pid}")),
    ] {
        fs::write(format!("{GROUP}/{file}"), value).context(file)?;
    }
    Ok(())
}

/// Undoes what [`take`] did.
pub fn leave(path: Path) -> Result<()> {
    match path {
        Path::Untagged => Ok(()),
        Path::Forced => set("force_all", "0"),
        Path::Attached | Path::Iret => {
            fs::write(format!("{GROUP}/leave"), "all").context("leave")?;
            fs::remove_dir(GROUP).context(GROUP)
        }
    }
}
