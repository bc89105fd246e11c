// SPDX-License-Identifier: GPL-2.0

//! A child that is a 32-bit program, and makes calls as it is told, through each of its doors.

use crate::{
    process::{syscall, until, Child},
    registers::{Registers, RF},
};
use anyhow::{bail, ensure, Context, Result};
use compat32::{has_avx, Plain, Reply, Request};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::{Command, Stdio},
};

pub use compat32::{Door, Hello, Signals};

/// The 32-bit doors that every call can be made through.
pub const DOORS: [Door; 2] = [Door::Int80, Door::Vdso];

/// The numbers of i386.
pub mod nr {
    pub const RESTART_SYSCALL: i64 = 0;
    pub const FORK: i64 = 2;
    pub const READ: i64 = 3;
    pub const WRITE: i64 = 4;
    pub const OPEN: i64 = 5;
    pub const WAITPID: i64 = 7;
    pub const EXECVE: i64 = 11;
    pub const GETPID: i64 = 20;
    pub const PAUSE: i64 = 29;
    pub const KILL: i64 = 37;
    pub const PIPE: i64 = 42;
    pub const GETPPID: i64 = 64;
    pub const FSYNC: i64 = 118;
    pub const CLONE: i64 = 120;
    pub const UNAME: i64 = 122;
    pub const NANOSLEEP: i64 = 162;
    pub const PRCTL: i64 = 172;
    pub const RT_SIGACTION: i64 = 174;
    pub const GETPGID: i64 = 132;
    pub const SIGALTSTACK: i64 = 186;
    pub const VFORK: i64 = 190;
    pub const MMAP2: i64 = 192;
    pub const SECCOMP: i64 = 354;
    pub const CLONE3: i64 = 435;
}

/// The result in a 32-bit register.
pub fn result(regs: &Registers) -> i64 {
    i64::from(regs.rax as i32)
}

/// The flags that arithmetic changes.
const ARITHMETIC_FLAGS: u64 = 0x8d5;

pub struct Compat {
    pub child: Child,
    commands: File,
    replies: File,
    memory: File,
    pub hello: Hello,
    /// Flags that a call by the vDSO need not preserve.
    lost_flags: u64,
}

/// The program, beside ours.
pub fn program() -> Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let target = ours.ancestors().nth(2).context("no target directory")?;
    let path = target.join("i686-unknown-linux-gnu/release/slowpath-compat32");
    ensure!(
        path.exists(),
        "there is no {}: run scripts/build-selftests",
        path.display()
    );
    Ok(path)
}

fn receive<T: Plain>(from: &mut File) -> Result<T> {
    let mut value = T::zeroed();
    from.read_exact(value.as_bytes_mut())
        .context("the 32-bit program is gone")?;
    Ok(value)
}

impl Compat {
    /// Starts the program. Where it has what is the same in each.
    pub fn start() -> Result<Self> {
        const ADDR_NO_RANDOMIZE: u64 = 0x40000;
        syscall(libc::SYS_personality, [ADDR_NO_RANDOMIZE, 0, 0, 0, 0, 0]);
        let child = Command::new(program()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        syscall(libc::SYS_personality, [0; 6]);
        let mut child = child?;
        let file = |fd: Option<std::os::fd::OwnedFd>| fd.map(File::from).context("no pipe");
        let commands = file(child.stdin.take().map(Into::into))?;
        let mut replies = file(child.stdout.take().map(Into::into))?;
        let child = Child {
            pid: child.id() as i32,
        };
        let hello = receive(&mut replies)?;
        let memory = Self::memory_of(child.pid)?;
        // After SYSENTER the page tables are switched, by arithmetic, before the flags are saved.
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let intel = cpuinfo.contains("GenuineIntel");
        let pti = fs::read_to_string("/sys/devices/system/cpu/vulnerabilities/meltdown")?;
        let lost_flags = if intel && pti.contains("PTI") {
            ARITHMETIC_FLAGS
        } else {
            0
        };
        Ok(Self {
            lost_flags,
            child,
            commands,
            replies,
            memory,
            hello,
        })
    }

    fn memory_of(pid: i32) -> Result<File> {
        Ok(OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))?)
    }

    /// It has become another such program.
    pub fn has_executed(&mut self) -> Result<()> {
        self.hello = receive(&mut self.replies)?;
        self.memory = Self::memory_of(self.child.pid)?;
        Ok(())
    }

    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    pub fn send(&mut self, door: Door, before: &Registers, forks: bool) -> Result<()> {
        let request = Request {
            before: before.clone(),
            door,
            forks: forks.into(),
            vectors: has_avx().into(),
            padding: 0,
        };
        Ok(self.commands.write_all(request.as_bytes())?)
    }

    pub fn receive(&mut self) -> Result<Reply> {
        receive(&mut self.replies)
    }

    /// What it writes until it ends.
    pub fn output(mut self) -> Result<(String, i32)> {
        drop(self.commands);
        let mut text = Vec::new();
        self.replies.read_to_end(&mut text)?;
        Ok((
            String::from_utf8_lossy(&text).into_owned(),
            self.child.wait()?,
        ))
    }

    pub fn reply(&mut self) -> Result<Registers> {
        let reply = self.receive()?;
        ensure!(reply.is_child == 0, "a child replied");
        Ok(reply.after)
    }

    /// Makes a call with these registers.
    pub fn registers(&mut self, door: Door, before: &Registers) -> Result<Registers> {
        self.send(door, before, false)?;
        self.reply()
    }

    /// The registers for a call with these arguments: all others are random.
    pub fn prepare(door: Door, number: i64, args: &[u64]) -> Registers {
        let mut regs = Registers::random(&mut (number as u64));
        regs.rax = number as u64;
        let order = match door {
            Door::Syscall64 => [
                &mut regs.rdi,
                &mut regs.rsi,
                &mut regs.rdx,
                &mut regs.r10,
                &mut regs.r8,
                &mut regs.r9,
            ],
            _ => [
                &mut regs.rbx,
                &mut regs.rcx,
                &mut regs.rdx,
                &mut regs.rsi,
                &mut regs.rdi,
                &mut regs.rbp,
            ],
        };
        for (reg, arg) in order.into_iter().zip(args) {
            *reg = *arg;
        }
        regs
    }

    /// Makes a call with these arguments; returns its result.
    pub fn call(&mut self, door: Door, number: i64, args: &[u64]) -> Result<i64> {
        let after = self.registers(door, &Self::prepare(door, number, args))?;
        Ok(match door {
            Door::Syscall64 => after.rax as i64,
            _ => result(&after),
        })
    }

    /// The flags that must be preserved. RF is set by a fault that comes before the instruction, for
    /// as long as that takes.
    pub fn flags(&self, door: Door, flags: u64) -> u64 {
        let lost = if door == Door::Vdso {
            self.lost_flags
        } else {
            0
        };
        flags & !(lost | RF)
    }

    /// The whole call changed nothing but the result.
    pub fn unchanged(
        &self,
        door: Door,
        before: &Registers,
        after: &Registers,
        eax: i64,
    ) -> Result<()> {
        let (mut want, mut after) = (before.halves(), after.halves());
        want.rax = eax as u64 & 0xffff_ffff;
        after.rsp = want.rsp;
        for regs in [&mut want, &mut after] {
            regs.flags = self.flags(door, regs.flags);
        }
        ensure!(after == want, "{door:?}: {}", after.difference(&want));
        Ok(())
    }

    /// A call that the tests need only in passing.
    pub fn own(&mut self, number: i64, args: &[u64]) -> Result<u64> {
        match self.call(Door::Int80, number, args)? {
            ret if ret >= 0 => Ok(ret as u64),
            ret => bail!("call {number} of the 32-bit program: {ret}"),
        }
    }

    pub fn read_memory(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        Ok(self.memory.read_exact_at(bytes, at)?)
    }

    /// Whether the vDSO has a door of its own, and a stack frame for it; with FRED it has `int 0x80`.
    pub fn vdso_is_a_door(&self) -> Result<bool> {
        let mut code = [0; 2];
        self.read_memory(self.hello.vsyscall.into(), &mut code)?;
        Ok(code != [0xcd, 0x80])
    }

    pub fn write_memory(&self, at: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.memory.write_all_at(bytes, at)?)
    }

    /// Puts words where the program has memory for us; returns where.
    pub fn write_words(&self, offset: u64, words: &[u32]) -> Result<u64> {
        let at = u64::from(self.hello.buffer) + offset;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.write_memory(at, &bytes)?;
        Ok(at)
    }

    pub fn read_words<const N: usize>(&self, offset: u64) -> Result<[u32; N]> {
        let mut words = [0; N];
        for (i, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; 4];
            self.read_memory(
                u64::from(self.hello.buffer) + offset + 4 * i as u64,
                &mut bytes,
            )?;
            *word = u32::from_ne_bytes(bytes);
        }
        Ok(words)
    }

    /// Has it handle a signal, with or without SA_SIGINFO, and return from the handler by `int 0x80`
    /// or by the vDSO's instruction.
    pub fn handle(&mut self, signal: i32, flags: i32, door: Door) -> Result<()> {
        const SA_RESTORER: i32 = 0x0400_0000;
        let by = usize::from(door != Door::Int80);
        let (handler, restorer) = if flags & libc::SA_SIGINFO != 0 {
            (self.hello.handler_rt, self.hello.restorers_rt[by])
        } else {
            (self.hello.handler, self.hello.restorers[by])
        };
        let action = [handler, (flags | SA_RESTORER) as u32, restorer, 0, 0];
        let action = self.write_words(0, &action)?;
        self.own(nr::RT_SIGACTION, &[signal as u64, action, 0, 8])?;
        Ok(())
    }

    pub fn signals(&self) -> Result<Signals> {
        let mut signals = Signals::zeroed();
        self.read_memory(self.hello.signals.into(), signals.as_bytes_mut())?;
        Ok(signals)
    }

    /// Forgets the signals that it saw.
    pub fn reset_signals(&self, leave_call: bool) -> Result<()> {
        let words = [0, u32::from(leave_call)];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.write_memory(self.hello.signals.into(), &bytes)
    }

    /// Waits until it sleeps in a call of its own numbers.
    pub fn until_blocked(&self, number: i64) -> Result<()> {
        crate::process::until_blocked(self.pid(), number)
    }

    pub fn until_signals(&self, count: u32) -> Result<()> {
        until("handled", || Ok(self.signals()?.count == count))
    }

    /// Interrupts the call that it sleeps in, without a handler and with one, after which it sleeps
    /// in it again. This is the `nth` signal that it handles.
    pub fn interrupt(&self, number: i64, nth: u32) -> Result<()> {
        self.until_blocked(number)?;
        self.child.stop()?;
        self.child.go_on();
        self.until_blocked(number)?;
        self.child.kill(libc::SIGUSR1);
        self.until_signals(nth)?;
        self.until_blocked(number)
    }

    /// A pipe in it: the end that it reads from, and one that we write to.
    pub fn pipe(&mut self) -> Result<(u64, File)> {
        let at = u64::from(self.hello.buffer);
        self.own(nr::PIPE, &[at])?;
        let [from, to] = self.read_words(0)?;
        let to = format!("/proc/{}/fd/{to}", self.pid());
        Ok((from.into(), OpenOptions::new().write(true).open(to)?))
    }
}
