// SPDX-License-Identifier: GPL-2.0

//! The ways of a 32-bit program to make a call: through each door, of each architecture.

use crate::{
    compat::{nr, Compat, Door},
    registers::Registers,
    slowpath::{attach, read, Policy, Task},
};
use anyhow::{ensure, Result};
use std::path::Path;

pub(super) const X32: i64 = 0x4000_0000;
pub(super) const EXDEV: i64 = -(libc::EXDEV as i64);
pub(super) const EPERM: i64 = -(libc::EPERM as i64);
pub(super) const EINTR: i64 = -(libc::EINTR as i64);
pub(super) const ENOSYS: i64 = -(libc::ENOSYS as i64);

/// A way to make a call, all of which one program has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) door: Door,
    /// Its architecture: 0 is x86_64, 1 is i386, 2 is x32.
    pub(super) arch: usize,
}

pub(super) const WAYS: [Way; 5] = [
    Way {
        door: Door::Syscall64,
        arch: 0,
    },
    Way {
        door: Door::Int80,
        arch: 1,
    },
    Way {
        door: Door::Vdso,
        arch: 1,
    },
    Way {
        door: Door::Int80Of64,
        arch: 1,
    },
    Way {
        door: Door::Syscall64,
        arch: 2,
    },
];

/// The numbers of a call, by x86_64 and x32, and by i386.
pub(super) type Numbers = [i64; 2];

pub(super) const GETPPID: Numbers = [libc::SYS_getppid, nr::GETPPID];
pub(super) const GETPID: Numbers = [libc::SYS_getpid, nr::GETPID];
pub(super) const GETPGID: Numbers = [libc::SYS_getpgid, nr::GETPGID];

impl Way {
    pub(super) fn number(self, numbers: Numbers) -> i64 {
        match self.arch {
            0 => numbers[0],
            1 => numbers[1],
            _ => numbers[0] | X32,
        }
    }

    pub(super) fn call(self, compat: &mut Compat, numbers: Numbers, args: &[u64]) -> Result<i64> {
        compat.call(self.door, self.number(numbers), args)
    }

    /// Makes a call, of which only the result is to change.
    pub(super) fn check(
        self,
        compat: &mut Compat,
        numbers: Numbers,
        args: &[u64],
        want: i64,
    ) -> Result<Registers> {
        let before = Compat::prepare(self.door, self.number(numbers), args);
        let after = compat.registers(self.door, &before)?;
        match self.door {
            Door::Syscall64 | Door::Int80Of64 => {
                let mut wanted = before.clone();
                if self.door == Door::Syscall64 {
                    wanted = before.after(want as u64, &after);
                }
                (wanted.rax, wanted.rip, wanted.rsp) = (want as u64, after.rip, after.rsp);
                ensure!(after == wanted, "{self:?}: {}", after.difference(&wanted));
            }
            door => compat.unchanged(door, &before, &after, want)?,
        }
        Ok(after)
    }
}

/// The ways whose calls are made: x32's may be switched off.
pub(super) fn working_ways() -> Result<impl Iterator<Item = Way>> {
    let x32 = has_x32()?;
    Ok(WAYS.into_iter().filter(move |way| x32 || way.arch != 2))
}

/// Many distributions' kernels are built without.
pub(super) fn has_x32() -> Result<bool> {
    let parameter = "/sys/module/syscall/parameters/x32";
    Ok(Path::new(parameter).exists() && read(parameter)? == "Y")
}

/// A 32-bit program under a policy. It goes first when they are dropped.
pub(super) fn under(rules: &str) -> Result<(Policy, Task, Compat)> {
    let policy = Policy::new("test", rules)?;
    let compat = Compat::start()?;
    let task = attach(compat.pid())?;
    task.set("policy", "test")?;
    Ok((policy, task, compat))
}

pub(super) fn ppid() -> i64 {
    std::process::id().into()
}

/// A seccomp filter that answers to one number so, and allows the others.
pub(super) fn seccomp(compat: &mut Compat, number: i64, action: u32) -> Result<()> {
    let filter = [
        // The number; is it this one?; the answers.
        [0x20, 0],
        [0x15 | 1 << 24, number as u32],
        [0x06, action],
        [0x06, libc::SECCOMP_RET_ALLOW],
    ];
    let words: Vec<u32> = filter.into_iter().flatten().collect();
    let at = compat.write_words(128, &words)?;
    let program = compat.write_words(64, &[filter.len() as u32, at as u32])?;
    compat.own(nr::PRCTL, &[libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0])?;
    let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    compat.own(nr::SECCOMP, &[mode, 0, program])?;
    Ok(())
}
