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
        libc::sock_filter {
            code: 0x20,
            jt: 0,
            jf: 0,
            k: 0,
        },
        libc::sock_filter {
            code: 0x15,
            jt: 0,
            jf: 1,
            k: nr as u32,
        },
        libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: action,
        },
        libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ALLOW,
        },
    ];
    let program = libc::sock_fprog {
        len: 4,
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
