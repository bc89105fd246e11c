// SPDX-License-Identifier: GPL-2.0

//! Names of syscalls and errors, from the kernel's own tables.

// `SYSCALLS` and `ERRNOS`, slices of `(number, name)`, made by `scripts/gen-names`.
#[cfg(CONFIG_RUST)]
include!(concat!(env!("OBJTREE"), "/kernel/slowpath/names.rs"));
#[cfg(not(CONFIG_RUST))]
include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// One more than the highest number that a rule can name.
pub(super) const NR_SYSCALLS: usize = 512;

const _: () = {
    let mut i = 0;
    while i < SYSCALLS.len() {
        assert!((SYSCALLS[i].0 as usize) < NR_SYSCALLS);
        i += 1;
    }
};

fn name(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|e| e.0 == number).map(|e| e.1)
}

fn number(table: &[(u16, &'static str)], name: &str) -> Option<u16> {
    table.iter().find(|e| e.1 == name).map(|e| e.0)
}

pub(super) fn syscall_name(nr: u16) -> Option<&'static str> {
    name(SYSCALLS, nr)
}

pub(super) fn syscall_number(name: &str) -> Option<u16> {
    number(SYSCALLS, name)
}

pub(super) fn errno_name(errno: u16) -> Option<&'static str> {
    name(ERRNOS, errno)
}

pub(super) fn errno_number(name: &str) -> Option<u16> {
    number(ERRNOS, name)
}
