// SPDX-License-Identifier: GPL-2.0

//! Seccomp filters for the current task.

use anyhow::{ensure, Result};

/// A seccomp filter for this task, for good, with this action for one syscall.
pub fn seccomp(nr: i64, action: u32) -> Result<()> {
    seccomp_with(nr, action, 0).map(drop)
}

/// Returns the descriptor, if the flags ask for one.
pub fn seccomp_with(nr: i64, action: u32, flags: libc::c_ulong) -> Result<i32> {
    let filter = [
        statement(LOAD, 0, 0, NUMBER),
        statement(JUMP_EQUAL, 0, 1, nr as u32),
        statement(RETURN, 0, 0, action),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    install(&filter, flags)
}

pub const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
pub const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
pub const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// Where `seccomp_data` has the number, and the lower half of the first argument.
pub const NUMBER: u32 = 0;
pub const FIRST_ARGUMENT: u32 = 16;

pub fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}

/// Puts the current task under this filter.
pub fn install(filter: &[libc::sock_filter], flags: libc::c_ulong) -> Result<i32> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: The program is valid for the call.
    let ret = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &program,
            ) as i32
    };
    ensure!(ret >= 0, "seccomp");
    Ok(ret)
}
