// SPDX-License-Identifier: GPL-2.0

//! Groups that are joined, by one write, by who makes tasks, ends, and executes programs all the
//! time: from that write on, each of their calls is judged.

use super::cgroups::Cgroup;
use crate::{
    process::{self, become_subreaper, getppid, make, syscall, until, Child, Shared, Zeroed},
    slowpath::{Group, Policy},
};
use anyhow::{ensure, Result};
use std::{
    ffi::CString,
    fs,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [Cpus] =>
        group_misses_no_thread_of_a_relay
        group_misses_no_thread_that_moves
        cgroup_misses_no_process_of_a_relay
        cgroup_misses_no_move
        group_misses_no_exec
        cgroup_misses_no_exec;
}

const EPERM: i64 = -(libc::EPERM as i64);

/// How many threads or processes there are at a time.
const RUNNERS: usize = 8;

/// What those who are joined tell, and are told.
#[repr(C)]
struct Board {
    /// Not 0 while each call has to be judged: another number in each round.
    round: AtomicU64,
    /// Calls that had to be judged, and were not; those that were; those that had not to be.
    missed: AtomicU64,
    judged: AtomicU64,
    free: AtomicU64,
    stop: AtomicU64,
    /// Whether children that were made before the round have to be judged, too.
    children: AtomicU64,
}

// SAFETY: It has nothing but numbers.
unsafe impl Zeroed for Board {}

static BOARD: Shared<Board> = Shared::new();

fn board() -> &'static Board {
    &BOARD
}

/// Makes a call, and says what came of it.
fn check() {
    let board = board();
    let round = board.round.load(SeqCst);
    let refused = getppid() == EPERM;
    // Who is let go meanwhile need not have been judged.
    if round == 0 || board.round.load(SeqCst) != round {
        board.free.fetch_add(u64::from(!refused), SeqCst);
    } else if refused {
        board.judged.fetch_add(1, SeqCst);
    } else {
        board.missed.fetch_add(1, SeqCst);
    }
}

fn more(what: &str, counter: &AtomicU64, number: u64) -> Result<()> {
    let before = counter.load(SeqCst);
    until(what, || Ok(counter.load(SeqCst) >= before + number))
}

/// Has them come and go, again and again.
fn many_rounds(
    most: u32,
    mut come: impl FnMut() -> Result<()>,
    mut go: impl FnMut() -> Result<()>,
) -> Result<()> {
    let board = board();
    for round in 1..=u64::from(process::rounds(most)) {
        more("calls are made", &board.free, 3)?;
        come()?;
        board.round.store(round, SeqCst);
        more("calls are judged", &board.judged, 2 * RUNNERS as u64)?;
        board.round.store(0, SeqCst);
        let missed = board.missed.load(SeqCst);
        ensure!(missed == 0, "round {round}: {missed} calls were not judged");
        go()?;
    }
    Ok(())
}

fn new_board() {
    let board = board();
    for word in [
        &board.round,
        &board.missed,
        &board.judged,
        &board.free,
        &board.stop,
    ] {
        word.store(0, SeqCst);
    }
}

fn group() -> Result<(Group, Policy)> {
    new_board();
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    Ok((group, policy))
}

/// A thread makes a few calls, starts the next one, and ends.
fn relay_of_threads() {
    for _ in 0..3 {
        check();
    }
    if board().stop.load(SeqCst) == 0 {
        let thread = std::thread::Builder::new().stack_size(16 * 1024);
        if thread.spawn(relay_of_threads).is_err() {
            board().missed.store(1 << 32, SeqCst);
        }
    }
}

fn threads() -> Result<Child> {
    Child::fork(|| {
        for _ in 0..RUNNERS {
            relay_of_threads();
        }
        loop {
            process::pause();
        }
    })
}

fn group_misses_no_thread_of_a_relay() -> Result<()> {
    let (group, _policy) = group()?;
    let child = threads()?;
    many_rounds(200, || group.join(child.pid), || group.leave(child.pid))?;
    drop(child);
    group.end()
}

/// From its cgroup's group to its own and back, it is always in one.
fn group_misses_no_thread_that_moves() -> Result<()> {
    let (group, _policy) = group()?;
    let other = Group::new("other")?;
    other.set("policy", "test")?;
    let cgroup = Cgroup::new("relay")?;
    let child = threads()?;
    cgroup.take(child.pid)?;
    many_rounds(
        100,
        || {
            cgroup.set("other")?;
            board().round.store(u64::MAX, SeqCst);
            group.join(child.pid)?;
            group.leave(child.pid)?;
            cgroup.set("test")?;
            Ok(cgroup.set("other")?)
        },
        || Ok(cgroup.set("none")?),
    )?;
    drop(child);
    drop(cgroup);
    other.end()?;
    group.end()
}

/// A process makes a few calls, has a child go on, and ends.
fn relay_of_processes() -> ! {
    loop {
        for _ in 0..3 {
            check();
        }
        if board().stop.load(SeqCst) != 0 || syscall(libc::SYS_fork, [0; 6]) != 0 {
            process::exit(0);
        }
    }
}

/// The children of those that have ended come to the first one, which does not wait for any.
fn processes() -> Result<Child> {
    Child::fork(|| {
        if become_subreaper().is_err() {
            return 1;
        }
        process::ignore(libc::SIGCHLD);
        for _ in 0..RUNNERS {
            if syscall(libc::SYS_fork, [0; 6]) == 0 {
                relay_of_processes();
            }
        }
        loop {
            process::pause();
        }
    })
}

/// All that it has made end by themselves.
fn stop(child: Child) {
    board().stop.store(1, SeqCst);
    drop(child);
}

/// Of processes that nobody can name.
fn cgroup_misses_no_process_of_a_relay() -> Result<()> {
    let (group, _policy) = group()?;
    let cgroup = Cgroup::new("relay")?;
    let child = Child::fork(|| {
        // Before it makes any.
        if cgroup.take(std::process::id() as i32).is_err() {
            return 1;
        }
        match processes() {
            Ok(child) => child.wait().unwrap_or(1),
            Err(_) => 1,
        }
    })?;
    let result = many_rounds(200, || Ok(cgroup.set("test")?), || Ok(cgroup.set("none")?));
    stop(child);
    fs::write(cgroup.0.join("cgroup.kill"), "1")?;
    drop(cgroup);
    result?;
    group.end()
}

/// A process with a relay of threads is moved into the cgroup, and out.
fn cgroup_misses_no_move() -> Result<()> {
    let (group, _policy) = group()?;
    let cgroup = Cgroup::new("relay")?;
    cgroup.set("test")?;
    let child = threads()?;
    many_rounds(200, || cgroup.take(child.pid), || Cgroup::let_go(child.pid))?;
    drop(child);
    drop(cgroup);
    group.end()
}

// A program that has a thread make calls and a child, and executes itself meanwhile. Its descriptor
// 100 is the board, in the order of that, and uses no memory but this.
std::arch::global_asm!(
    ".macro racer_check",
    "mov r13, [rbx]",
    "mov eax, 110", // getppid
    "syscall",
    "test r13, r13",
    "jz 7f",
    "cmp rax, -1",
    "je 6f",
    "lock inc qword ptr [rbx + 8]",
    "jmp 8f",
    "6: lock inc qword ptr [rbx + 16]",
    "jmp 8f",
    "7: lock inc qword ptr [rbx + 24]",
    "8:",
    ".endm",
    "racer_begin:",
    "lea r14, [rsp + 8]",
    "mov r15, [r14]",
    // mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 100, 0)
    "mov eax, 9",
    "xor edi, edi",
    "mov esi, 4096",
    "mov edx, 3",
    "mov r10d, 1",
    "mov r8d, 100",
    "xor r9d, r9d",
    "syscall",
    "mov rbx, rax",
    "racer_check",
    // A thread, without a stack.
    "mov eax, 56",
    "mov edi, {thread}",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "syscall",
    "test rax, rax",
    "jz 4f",
    // A child, for which it counts what there was before.
    "mov r12, [rbx]",
    "or r12, [rbx + 40]",
    "mov eax, 57",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "racer_check",
    "cmp qword ptr [rbx + 32], 0",
    "jne 3f",
    // execve(argv[0], argv, 0)
    "mov eax, 59",
    "mov rdi, r15",
    "mov rsi, r14",
    "xor edx, edx",
    "syscall",
    "jmp 3f",
    "2: test r12, r12",
    "jz 5f",
    "3: racer_check",
    "racer_check",
    // exit_group
    "5: mov eax, 231",
    "xor edi, edi",
    "syscall",
    "4: racer_check",
    "jmp 4b",
    "racer_end:",
    thread = const libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD | libc::CLONE_SYSVSEM,
);

// SAFETY: These are labels of the assembly above, of no type: only their addresses are used.
unsafe extern "C" {
    static racer_begin: u8;
    static racer_end: u8;
}

/// A file in memory that is the board.
fn memory_of_board() -> Result<(OwnedFd, &'static Board)> {
    let args = [c"board".as_ptr() as u64, 0];
    let fd = make("memfd_create", libc::SYS_memfd_create, &args)?;
    // SAFETY: Just opened, and owned by nobody else.
    let file = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    make("ftruncate", libc::SYS_ftruncate, &[fd as u64, 4096])?;
    let args = [0, 4096, 3, libc::MAP_SHARED as u64, fd as u64, 0];
    let at = make("mmap", libc::SYS_mmap, &args)?;
    // SAFETY: A page of zeroes, which stays.
    Ok((file, unsafe { &*(at as *const Board) }))
}

/// A group that a process joins while it executes itself. Each round has another one.
fn check_exec(come: impl Fn(&Group, &Cgroup, i32) -> Result<()>, in_cgroup: bool) -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    let cgroup = Cgroup::new("exec")?;
    // SAFETY: Both are labels of the code above.
    let code = unsafe {
        let (begin, end) = (&raw const racer_begin, &raw const racer_end);
        std::slice::from_raw_parts(begin, end.offset_from(begin) as usize)
    };
    let program = "/tmp/slowpath-racer";
    fs::write(program, super::faults::program_of(code))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    let path = CString::new(program)?;
    for round in 0..process::rounds(200) {
        let (file, board) = memory_of_board()?;
        board.children.store(u64::from(in_cgroup), SeqCst);
        let child = Child::fork(|| {
            let argv = [path.as_ptr() as u64, 0];
            let execve = [path.as_ptr() as u64, argv.as_ptr() as u64, 0, 0, 0, 0];
            process::ignore(libc::SIGCHLD);
            if in_cgroup && cgroup.take(std::process::id() as i32).is_err() {
                return 1;
            }
            syscall(libc::SYS_dup2, [file.as_raw_fd() as u64, 100, 0, 0, 0, 0]);
            -syscall(libc::SYS_execve, execve) as i32
        })?;
        more("calls are made", &board.free, 5 + u64::from(round % 20))?;
        come(&group, &cgroup, child.pid)?;
        board.round.store(1, SeqCst);
        more("calls are judged", &board.judged, 20)?;
        board.stop.store(1, SeqCst);
        let missed = board.missed.load(SeqCst);
        ensure!(missed == 0, "round {round}: {missed} calls were not judged");
        child.kill(libc::SIGKILL);
        child.wait()?;
        if in_cgroup {
            cgroup.set("none")?;
        }
        // SAFETY: Nobody uses it any more.
        unsafe { libc::munmap(std::ptr::from_ref(board).cast_mut().cast(), 4096) };
    }
    fs::remove_file(program)?;
    drop(cgroup);
    until("all have left", || Ok(group.members()?.is_empty()))?;
    group.end()?;
    drop(policy);
    Ok(())
}

fn group_misses_no_exec() -> Result<()> {
    check_exec(|group, _, pid| group.join(pid), false)
}

fn cgroup_misses_no_exec() -> Result<()> {
    check_exec(|_, cgroup, _| Ok(cgroup.set("test")?), true)
}
