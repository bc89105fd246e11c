// SPDX-License-Identifier: GPL-2.0

//! Who may write to files, and what they may write.

use kernel::{
    capability::{capable, Capability},
    fmt::Write,
    kobject::Page,
    prelude::*, //
};

/// The mode bits let only root open a file; this is for whoever was handed it open.
pub(super) fn require_admin() -> Result {
    if capable(Capability::SYS_ADMIN) {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// What was written, without the newline that `echo` adds.
pub(super) fn value(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

/// Parses a switch, `0` or `1`.
pub(super) fn parse_switch(text: &[u8]) -> Result<bool> {
    match value(text) {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(EINVAL),
    }
}

/// Shows a switch as it is parsed.
pub(super) fn show_switch(page: &mut Page<'_>, on: bool) -> Result {
    Ok(writeln!(page, "{}", u8::from(on))?)
}

/// Parses a TID: digits, greater than 0.
pub(super) fn parse_tid(digits: &[u8]) -> Result<i32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(EINVAL);
    }
    let tid = core::str::from_utf8(digits).map_err(|_| EINVAL)?;
    match tid.parse() {
        Ok(tid) if tid > 0 => Ok(tid),
        _ => Err(EINVAL),
    }
}
