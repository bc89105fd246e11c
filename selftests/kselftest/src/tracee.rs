// SPDX-License-Identifier: GPL-2.0

//! Children that the test traces.

use crate::process::{make, raise, Child};
use anyhow::{ensure, Result};
use libc::{c_long, user_regs_struct};
use std::ptr::null_mut;

/// A traced child.
pub struct Tracee(pub Child);

impl Tracee {
    /// Runs `f` in a child that is traced, and stopped before that.
    pub fn run(options: i32, f: impl FnOnce() -> Result<()>) -> Result<Self> {
        let tracee = Self(Child::run(|| {
            make("ptrace", libc::SYS_ptrace, &[libc::PTRACE_TRACEME.into()])?;
            raise(libc::SIGSTOP);
            f()
        })?);
        tracee.wait()?;
        tracee.request(libc::PTRACE_SETOPTIONS, options as usize)?;
        Ok(tracee)
    }

    pub fn seize(child: Child, options: i32) -> Result<Self> {
        let tracee = Self(child);
        tracee.request(libc::PTRACE_SEIZE, options as usize)?;
        Ok(tracee)
    }

    pub fn request(&self, request: u32, data: usize) -> Result<c_long> {
        // SAFETY: `data` is what the request wants.
        let ret = unsafe { libc::ptrace(request, self.0.pid, null_mut::<u8>(), data) };
        ensure!(
            ret != -1,
            "ptrace {request:#x}: {}",
            std::io::Error::last_os_error()
        );
        Ok(ret)
    }

    /// Waits for a stop, or its end; returns the status.
    pub fn wait_any(&self) -> Result<i32> {
        let mut status = 0;
        // SAFETY: The kernel writes one `int`, to `status`, which is borrowed until it returns.
        let pid = unsafe { libc::waitpid(self.0.pid, &mut status, libc::__WALL) };
        ensure!(pid == self.0.pid, "waitpid");
        Ok(status)
    }

    /// Waits for a stop; returns the status.
    pub fn wait(&self) -> Result<i32> {
        let status = self.wait_any()?;
        ensure!(libc::WIFSTOPPED(status), "it is gone: {status:#x}");
        Ok(status)
    }

    pub fn wait_event(&self, event: i32) -> Result<()> {
        let status = self.wait()?;
        ensure!(status >> 16 == event, "not event {event}: {status:#x}");
        Ok(())
    }

    pub fn interrupt(&self) -> Result<()> {
        self.request(libc::PTRACE_INTERRUPT, 0)?;
        self.wait_event(libc::PTRACE_EVENT_STOP)
    }

    pub fn get(&self) -> Result<user_regs_struct> {
        // SAFETY: All-zero is valid.
        let mut regs: user_regs_struct = unsafe { std::mem::zeroed() };
        self.request(libc::PTRACE_GETREGS, &raw mut regs as usize)?;
        Ok(regs)
    }

    pub fn set(&self, regs: &user_regs_struct) -> Result<()> {
        self.request(libc::PTRACE_SETREGS, &raw const *regs as usize)?;
        Ok(())
    }

    pub fn go_on(&self, signal: i32) -> Result<()> {
        self.request(libc::PTRACE_CONT, signal as usize)?;
        Ok(())
    }

    pub fn detach(self) -> Result<Child> {
        self.request(libc::PTRACE_DETACH, 0)?;
        Ok(self.0)
    }
}
