// SPDX-License-Identifier: GPL-2.0

//! Processes to attach, under the test's control.

use anyhow::{bail, ensure, Context, Result};
use std::{
    ffi::CStr,
    fs::{self, File},
    io::{Read, Write},
    ops::Deref,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    ptr::null_mut,
    sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

/// How long anything may take, and how many times as long here. Only a failure waits for it.
const LIMIT: Duration = Duration::from_secs(60);
pub static PATIENCE: AtomicU32 = AtomicU32::new(1);

/// By how much the rounds are divided of tests that make thousands.
pub static ROUNDS_DIVISOR: AtomicU32 = AtomicU32::new(1);

/// The rounds to make of so many: fewer on a kernel that checks itself, where to open a file takes a hundred
/// times as long, or where it is asked for.
pub fn rounds(number: u32) -> u32 {
    number / PATIENCE.load(SeqCst).max(ROUNDS_DIVISOR.load(SeqCst))
}

/// Waits until a condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    let limit = LIMIT * PATIENCE.load(SeqCst);
    while !condition()? {
        ensure!(start.elapsed() < limit, "{what}: not so within {limit:?}");
        syscall(libc::SYS_sched_yield, [0; 6]);
    }
    Ok(())
}

pub fn gettid() -> i32 {
    syscall(libc::SYS_gettid, [0; 6]) as i32
}

/// Waits for a signal that is handled.
pub fn pause() {
    syscall(libc::SYS_pause, [0; 6]);
}

/// Executes a program that sleeps. Returns only if that fails.
pub fn exec_sleep() {
    // SAFETY: The strings are static.
    unsafe {
        libc::execl(
            c"/bin/sleep".as_ptr(),
            c"sleep".as_ptr(),
            c"1000".as_ptr(),
            std::ptr::null::<libc::c_char>(),
        )
    };
}

pub fn kill(pid: i32, signal: i32) {
    syscall(libc::SYS_kill, [pid as u64, signal as u64, 0, 0, 0, 0]);
}

/// Sends a signal to this thread.
pub fn raise(signal: i32) -> i64 {
    let (pid, tid) = (std::process::id(), gettid());
    syscall(
        libc::SYS_tgkill,
        [pid.into(), tid as u64, signal as u64, 0, 0, 0],
    )
}

/// What syscall user dispatch looks at.
pub enum UserDispatch {
    Off,
    /// This byte, for each call of this thread.
    Selector(*const u8),
    /// Nothing: all of the address space is exempt.
    Exempt,
}

/// Switches it on for this thread, or off: what `prctl` returns.
pub fn user_dispatch(what: UserDispatch) -> i64 {
    const PR_SET_SYSCALL_USER_DISPATCH: u64 = 59;

    let [on, start, len, selector] = match what {
        UserDispatch::Off => [0; 4],
        UserDispatch::Selector(byte) => [1, 0, 0, byte as u64],
        UserDispatch::Exempt => [1, 1, u64::MAX - 1, 0],
    };
    let args = [PR_SET_SYSCALL_USER_DISPATCH, on, start, len, selector, 0];
    syscall(libc::SYS_prctl, args)
}

/// Ends the process, without what the test itself does at its exit.
pub fn exit(status: i32) -> ! {
    loop {
        syscall(libc::SYS_exit_group, [status as u64, 0, 0, 0, 0, 0]);
    }
}

/// Makes a syscall; returns its result as the kernel returned it.
pub fn syscall(nr: i64, args: [u64; 6]) -> i64 {
    let ret: i64;
    // SAFETY: Only used for calls that have no effect on memory that Rust knows of.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    ret
}

/// Makes a syscall that a test needs; returns its result.
pub fn make(what: &str, nr: i64, args: &[u64]) -> Result<i64> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let ret = syscall(nr, all);
    ensure!(ret >= 0, "{what}: {ret}");
    Ok(ret)
}

pub fn unshare(flags: i32) -> Result<()> {
    make(
        &format!("unshare {flags:#x}"),
        libc::SYS_unshare,
        &[flags as u64],
    )
    .map(drop)
}

/// A way into the kernel, with numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// SYSCALL.
    Syscall,
    /// `int 0x80`, from a 64-bit program.
    Int80,
}

pub const DOORS: [Door; 2] = [Door::Syscall, Door::Int80];

/// The numbers of a call, by SYSCALL and by `int 0x80`.
pub type Numbers = [i64; 2];

pub const GETPPID: Numbers = [libc::SYS_getppid, 64];
pub const GETPID: Numbers = [libc::SYS_getpid, 20];
pub const DUP: Numbers = [libc::SYS_dup, 41];

impl Door {
    /// Makes a call with up to three arguments; returns its result as the kernel returned it. All
    /// calls through a door are made by the same instruction.
    #[inline(never)]
    pub fn call(self, numbers: Numbers, args: [u64; 3]) -> i64 {
        let [a, b, c] = args;
        let ret: i64;
        match self {
            Self::Syscall => ret = syscall(numbers[0], [a, b, c, 0, 0, 0]),
            // SAFETY: Only used for calls that have no effect on memory that Rust knows of.
            Self::Int80 => unsafe {
                std::arch::asm!(
                    "xchg rbx, {first}",
                    "int 0x80",
                    "xchg rbx, {first}",
                    first = inout(reg) a => _,
                    inlateout("rax") numbers[1] => ret,
                    in("rcx") b,
                    in("rdx") c,
                );
            },
        }
        ret
    }
}

/// `getppid`, which nothing caches.
pub fn getppid() -> i64 {
    syscall(libc::SYS_getppid, [0; 6])
}

/// Waits until a task sleeps in this syscall. One that is stopped does not.
pub fn until_blocked(tid: i32, nr: i64) -> Result<()> {
    until_in_state(tid, nr, 'S')
}

/// Waits until a policy delays the call. No signal can interrupt that, unless it kills.
pub fn until_delayed(tid: i32, nr: i64) -> Result<()> {
    until_in_state(tid, nr, 'I')
}

/// Waits until a task is in this call and in this state.
pub fn until_in_state(tid: i32, nr: i64, state: char) -> Result<()> {
    let read = |file| fs::read_to_string(format!("/proc/{tid}/{file}")).context("no such task");
    let state = format!(") {state} ");
    until(&state, || {
        Ok(read("stat")?.contains(&state) && read("syscall")?.starts_with(&format!("{nr} ")))
    })
}

pub fn pipe() -> Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: The kernel writes two descriptors, for which `fds` has room.
    let ret = unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) };
    ensure!(ret == 0, "pipe");
    // SAFETY: Just opened, and owned by nobody else.
    Ok(unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) })
}

/// A child process; killed and reaped when dropped.
pub struct Child {
    pub pid: i32,
}

impl Child {
    /// Runs `f` in a child, which exits with its result.
    pub fn fork(f: impl FnOnce() -> i32) -> Result<Self> {
        // SAFETY: The test has only one thread that holds locks, this one.
        match unsafe { libc::fork() } {
            -1 => bail!("fork: {}", std::io::Error::last_os_error()),
            0 => exit(f()),
            pid => Ok(Self { pid }),
        }
    }

    /// Runs `f` in a child, which says why it failed and exits with 1, or with 0.
    pub fn run(f: impl FnOnce() -> Result<()>) -> Result<Self> {
        Self::fork(|| match f() {
            Ok(()) => 0,
            Err(e) => {
                eprintln!("in the child: {e:#}");
                1
            }
        })
    }

    /// Waits until it exits as it should.
    pub fn wait_success(self) -> Result<()> {
        let status = self.wait()?;
        ensure!(status == 0, "the child exits with {status}");
        Ok(())
    }

    pub fn kill(&self, signal: i32) {
        kill(self.pid, signal);
    }

    /// Stops it, which interrupts its call.
    pub fn stop(&self) -> Result<()> {
        let stat = format!("/proc/{}/stat", self.pid);
        self.kill(libc::SIGSTOP);
        until(
            "stopped",
            || Ok(fs::read_to_string(&stat)?.contains(") T ")),
        )
    }

    /// Lets it go on after that.
    pub fn go_on(&self) {
        self.kill(libc::SIGCONT);
    }

    /// Waits until it is dead, without reaping it.
    pub fn wait_zombie(&self) -> Result<()> {
        // SAFETY: An all-zero `siginfo_t` is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is valid for writes.
        let ret = unsafe {
            libc::waitid(
                libc::P_PID,
                self.pid as u32,
                &mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        ensure!(ret == 0, "waitid");
        Ok(())
    }

    /// Reaps it; returns its exit status, or 256 plus the signal that killed it.
    pub fn wait(self) -> Result<i32> {
        Ok(exit_status(self.wait_raw()?))
    }

    /// Reaps it; returns what `waitpid` says.
    pub fn wait_raw(self) -> Result<i32> {
        let status = reap_raw(self.pid)?;
        std::mem::forget(self);
        Ok(status)
    }
}

/// Sets the handler of a signal, with the address of a function that only makes syscalls and uses
/// memory atomically.
pub fn handle(signal: i32, flags: i32, handler: *const ()) {
    // SAFETY: All-zero is valid; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags;
        libc::sigaction(signal, &action, null_mut());
    }
}

/// Ignores a signal, as do those that this process makes.
pub fn ignore(signal: i32) {
    handle(signal, 0, libc::SIG_IGN as *const ());
}

/// Has children whose parents end become this process's own.
pub fn become_subreaper() -> Result<()> {
    let args = [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0];
    make("prctl", libc::SYS_prctl, &args).map(drop)
}

/// Mounts a kernel file system, unless `file` shows that it is there.
pub fn mount(kind: &CStr, at: &CStr, file: &str) -> Result<()> {
    if !fs::exists(file)? {
        let (at, kind) = (at.as_ptr() as u64, kind.as_ptr() as u64);
        let ret = syscall(libc::SYS_mount, [kind, at, kind, 0, 0, 0]);
        ensure!(ret == 0, "mounting what has {file}: {ret}");
    }
    Ok(())
}

/// What may be mapped.
///
/// # Safety
///
/// All-zero must be valid.
pub unsafe trait Zeroed: Sync {}

// SAFETY: An atomic number may be 0.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: As above.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: As above.
unsafe impl Zeroed for AtomicI64 {}
// SAFETY: As its elements.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// Zeroes that a test shares with its children and with signal handlers, from the first use on.
pub struct Shared<T>(AtomicPtr<T>);

impl<T: Zeroed> Shared<T> {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

impl<T: Zeroed> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        if self.0.load(SeqCst).is_null() {
            self.0.store(shared(), SeqCst);
        }
        // SAFETY: Mapped and never unmapped; all-zero is valid.
        unsafe { &*self.0.load(SeqCst) }
    }
}

/// A page that this process shares with its children.
pub fn shared<T>() -> *mut T {
    assert!(std::mem::size_of::<T>() <= 4096);
    // SAFETY: A new mapping.
    let page = unsafe {
        libc::mmap(
            null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(page != libc::MAP_FAILED);
    page.cast()
}

pub fn reap(pid: i32) -> Result<i32> {
    Ok(exit_status(reap_raw(pid)?))
}

fn reap_raw(pid: i32) -> Result<i32> {
    let mut status = 0;
    // SAFETY: The kernel writes one `int`, to `status`, which is borrowed until it returns.
    let ended = unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
    ensure!(ended == pid, "waitpid {pid}");
    Ok(status)
}

fn exit_status(status: i32) -> i32 {
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        256 + libc::WTERMSIG(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill(libc::SIGKILL);
        let _ = reap(self.pid);
    }
}

/// A child that does as it is told: for each command, it runs a function and replies.
pub struct Puppet {
    pub child: Child,
    commands: File,
    replies: File,
}

impl Puppet {
    /// The child calls `act` with each command, and sends back what it returns.
    pub fn new(mut act: impl FnMut(u8) -> i64) -> Result<Self> {
        let (commands_in, commands) = pipe()?;
        let (replies, replies_out) = pipe()?;
        let fds = [commands_in.into_raw_fd(), replies_out.into_raw_fd()];
        let ends = [commands.as_raw_fd(), replies.as_raw_fd()];
        let child = Child::fork(|| {
            for fd in ends {
                // The parent's ends: with them open, the child would never see it go.
                syscall(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
            }
            // SAFETY: Ours; the parent closes its own copies.
            let mut commands = unsafe { File::from_raw_fd(fds[0]) };
            // SAFETY: As above.
            let mut replies = unsafe { File::from_raw_fd(fds[1]) };
            let mut command = [0];
            while commands.read_exact(&mut command).is_ok() {
                if replies.write_all(&act(command[0]).to_ne_bytes()).is_err() {
                    break;
                }
            }
            0
        })?;
        for fd in fds {
            // SAFETY: Ours, and not used any more.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        Ok(Self {
            child,
            commands,
            replies,
        })
    }

    pub fn tid(&self) -> i32 {
        self.child.pid
    }

    pub fn send(&mut self, command: u8) -> Result<()> {
        Ok(self.commands.write_all(&[command])?)
    }

    pub fn reply(&mut self) -> Result<i64> {
        let mut reply = [0; 8];
        self.replies
            .read_exact(&mut reply)
            .context("the child is gone")?;
        Ok(i64::from_ne_bytes(reply))
    }

    /// Sends a command, and waits for its reply, and until the child waits for the next.
    pub fn call(&mut self, command: u8) -> Result<i64> {
        self.send(command)?;
        let reply = self.reply()?;
        self.until_idle()?;
        Ok(reply)
    }

    /// Closes the pipes, at which the child exits; returns its exit status.
    pub fn end(self) -> Result<i32> {
        let Self {
            child,
            commands,
            replies,
        } = self;
        drop((commands, replies));
        child.wait()
    }

    /// Waits until the child waits for a command.
    pub fn until_idle(&self) -> Result<()> {
        until_blocked(self.tid(), libc::SYS_read)
    }
}
