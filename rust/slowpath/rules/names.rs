// SPDX-License-Identifier: GPL-2.0

//! Names of syscalls, errors and signals, from the kernel's own tables.

use super::abi::Abi;

// `SYSCALLS`, `ARGUMENTS`, `VDSO`, `ERRNOS` and `SIGNALS`, made by `scripts/gen-names`.
#[cfg(CONFIG_RUST)]
include!(concat!(env!("OBJTREE"), "/kernel/slowpath/names.rs"));
#[cfg(not(CONFIG_RUST))]
include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// One more than the highest number that a rule can name.
pub(crate) const NR_SYSCALLS: usize = 560;

const _: () = {
    let mut i = 0;
    while i < SYSCALLS.len() {
        let mut abi = 0;
        while abi < Abi::ALL.len() {
            assert!(SYSCALLS[i].1[abi] < NR_SYSCALLS as i16);
            abi += 1;
        }
        i += 1;
    }
    assert!(ARGUMENTS.len() == SYSCALLS.len());
};

/// Where a syscall is in the table of names.
pub(super) fn syscall_index(name: &str) -> Option<usize> {
    SYSCALLS.binary_search_by(|s| s.0.cmp(name)).ok()
}

/// The name of the syscall at an index of the table.
pub(super) fn syscall_name(index: usize) -> &'static str {
    SYSCALLS.get(index).map_or("?", |s| s.0)
}

/// The number that the syscall at an index of the table has.
pub(super) fn syscall_number(index: usize, abi: Abi) -> Option<u16> {
    u16::try_from(SYSCALLS.get(index)?.1[abi as usize]).ok()
}

/// Where the syscall with a number is in the table of names.
pub(super) fn syscall_index_of(number: i32, abi: Abi) -> Option<usize> {
    let mut names = SYSCALLS.iter();
    names.position(|s| number >= 0 && i32::from(s.1[abi as usize]) == number)
}

/// The name of the syscall with a number.
pub(crate) fn syscall_name_of(number: i32, abi: Abi) -> Option<&'static str> {
    syscall_index_of(number, abi).map(syscall_name)
}

/// The number of the syscall with a name.
#[cfg(not(CONFIG_RUST))]
pub(crate) fn syscall_number_of(name: &str, abi: Abi) -> Option<u16> {
    syscall_number(syscall_index(name)?, abi)
}

/// How wide an argument is, as [`Width`](super::width::Width) has it.
pub(super) fn argument_width(index: usize, abi: Abi, argument: u8) -> u8 {
    let widths = ARGUMENTS.get(index).map_or(0, |a| a[abi as usize]);
    // CAST: Four bits are left.
    (widths >> (4 * u32::from(argument % 6)) & 0xf) as u8
}

/// Whether programs get the result from the vDSO, mostly.
pub(super) fn is_in_vdso(name: &str) -> bool {
    VDSO.contains(&name)
}

fn name(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|e| e.0 == number).map(|e| e.1)
}

fn number(table: &[(u16, &'static str)], name: &str) -> Option<u16> {
    table.iter().find(|e| e.1 == name).map(|e| e.0)
}

pub(crate) fn errno_name(errno: u16) -> Option<&'static str> {
    name(ERRNOS, errno)
}

pub(crate) fn errno_number(name: &str) -> Option<u16> {
    number(ERRNOS, name)
}

pub(crate) fn signal_name(signal: u8) -> Option<&'static str> {
    name(SIGNALS, u16::from(signal))
}

pub(super) fn signal_number(name: &str) -> Option<u16> {
    number(SIGNALS, name)
}
