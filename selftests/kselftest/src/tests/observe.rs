// SPDX-License-Identifier: GPL-2.0

//! What others see of a task in a syscall: core dumps, perf, the stack in `/proc`.

use crate::{
    paths::Path,
    process::{pipe, until_blocked, Child},
    registers::{random_read, syscall, Registers},
    Skip,
};
use anyhow::{ensure, Context, Result};
use libc::user_regs_struct;
use object::{elf, read::elf::ElfFile64};
use perf_event_open_sys::{bindings as perf, perf_event_open};
use std::{
    fs::{self, File},
    mem::{offset_of, size_of},
    os::fd::{AsRawFd, FromRawFd},
    sync::atomic::{fence, Ordering},
};

super::tests_on_each_path! {
    [Mitigations, FastPath] =>
        perf_registers_in_call
        perf_callchain_in_call
        proc_stack_in_call;
    [Mitigations, FastPath, Cpus] =>
        core_dump_of_blocked_thread;
}

/// `struct elf_prstatus`, up to the registers.
#[repr(C)]
struct Prstatus {
    signal: [i32; 3],
    cursig: i16,
    masks: [u64; 2],
    pids: [i32; 4],
    times: [[u64; 2]; 4],
    regs: user_regs_struct,
}

/// The registers of each thread in a core file, the one that crashed first.
fn threads(core: &[u8]) -> Result<Vec<user_regs_struct>> {
    let file = ElfFile64::<object::Endianness>::parse(core)?;
    let endian = file.endian();
    let mut threads = Vec::new();
    for segment in file.elf_program_headers() {
        use object::read::elf::ProgramHeader;
        let Some(mut notes) = segment.notes(endian, core)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            if note.n_type(endian) == elf::NT_PRSTATUS {
                let bytes = note.desc();
                ensure!(bytes.len() >= size_of::<Prstatus>(), "a short note");
                let regs = bytes[offset_of!(Prstatus, regs)..].as_ptr();
                // SAFETY: In the note; any bytes are valid.
                threads.push(unsafe { regs.cast::<user_regs_struct>().read_unaligned() });
            }
        }
    }
    Ok(threads)
}

fn core_dump_of_blocked_thread(_: Path) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("core-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    fs::write(
        "/proc/sys/kernel/core_pattern",
        format!("{}/core", dir.display()),
    )?;
    let dumped = dump();
    fs::write("/proc/sys/kernel/core_pattern", pattern)?;
    let core = fs::read(dir.join("core"));
    fs::remove_dir_all(&dir)?;

    dumped?;
    let threads = threads(&core?)?;
    ensure!(threads.len() == 3, "{} threads", threads.len());
    for seed in [101, 102] {
        let set = Registers::random(&mut seed.clone());
        let regs = threads.iter().find(|regs| regs.r15 == set.r15);
        let regs = regs.with_context(|| format!("thread {seed} is not there"))?;
        let want = [
            set.rbx, set.rbp, set.r8, set.r9, set.r10, set.r12, set.r13, set.r14,
        ];
        let seen = [
            regs.rbx, regs.rbp, regs.r8, regs.r9, regs.r10, regs.r12, regs.r13, regs.r14,
        ];
        ensure!(seen == want, "{seen:x?}, not {want:x?}");
        let (rcx, r11) = set.rcx_and_r11(regs.rip);
        ensure!(regs.rcx == rcx, "rcx {:#x}, not {rcx:#x}", regs.rcx);
        ensure!(regs.r11 == r11 && regs.eflags == set.flags, "flags");
        ensure!(
            regs.orig_rax == libc::SYS_read as u64,
            "orig_rax {:#x}",
            regs.orig_rax
        );
    }
    Ok(())
}

/// Lets a process dump core while two of its threads block.
fn dump() -> Result<()> {
    let (from, _to) = pipe()?;
    let child = Child::run(|| {
        let limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is valid for reads.
        ensure!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) } == 0);
        for seed in [101, 102] {
            let from = from.try_clone()?;
            let (tid, said) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let mut byte = 0;
                let _ = tid.send(crate::process::gettid());
                syscall(&random_read(&from, &mut byte, seed));
            });
            until_blocked(said.recv()?, libc::SYS_read)?;
        }
        std::process::abort()
    })?;
    let status = child.wait()?;
    ensure!(status == 256 + libc::SIGABRT, "{status}");
    Ok(())
}

/// A buffer of samples.
struct Samples {
    _event: File,
    page: *mut perf::perf_event_mmap_page,
}

const PAGE: usize = 4096;
const DATA_PAGES: usize = 8;

impl Samples {
    /// Samples a task at each of its context switches.
    fn new(tid: i32, sample: u64, user_regs: u64) -> Result<Self> {
        let mut attr = perf::perf_event_attr {
            size: size_of::<perf::perf_event_attr>() as u32,
            type_: perf::PERF_TYPE_SOFTWARE,
            config: u64::from(perf::PERF_COUNT_SW_CONTEXT_SWITCHES),
            sample_type: sample,
            sample_regs_user: user_regs,
            ..Default::default()
        };
        attr.__bindgen_anon_1.sample_period = 1;
        attr.set_exclude_callchain_user(1);
        // SAFETY: `attr` is valid.
        let fd = unsafe { perf_event_open(&mut attr, tid, -1, -1, 0) };
        ensure!(
            fd >= 0,
            "perf_event_open: {}",
            std::io::Error::last_os_error()
        );
        // SAFETY: Just opened.
        let event = unsafe { File::from_raw_fd(fd) };
        // SAFETY: A new mapping.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (1 + DATA_PAGES) * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        ensure!(page != libc::MAP_FAILED, "mapping the samples");
        Ok(Self {
            _event: event,
            page: page.cast(),
        })
    }

    /// The words of each sample that there is.
    fn read(&self) -> Vec<Vec<u64>> {
        let size = DATA_PAGES * PAGE;
        // SAFETY: Mapped; the kernel writes it.
        let head = unsafe { (&raw const (*self.page).data_head).read_volatile() } as usize;
        fence(Ordering::Acquire);
        let word = |offset: usize| {
            // SAFETY: In the data pages; records are aligned to words.
            unsafe { *self.page.byte_add(PAGE + offset % size).cast::<u64>() }
        };
        let (mut at, mut samples) = (0, Vec::new());
        while at < head {
            let header = word(at);
            let length = (header >> 48) as usize;
            if header as u32 == perf::PERF_RECORD_SAMPLE {
                samples.push((at + 8..at + length).step_by(8).map(word).collect());
            }
            at += length;
        }
        samples
    }
}

/// Samples a child when it blocks in a call with random registers.
fn sample_blocking_call(sample: u64, user_regs: u64, seed: u64) -> Result<Vec<Vec<u64>>> {
    let (from, mut to) = pipe()?;
    let (mut start, mut started) = pipe()?;
    let child = Child::fork(|| {
        use std::io::Read;
        let mut byte = 0;
        let _ = start.read_exact(&mut [0]);
        syscall(&random_read(&from, &mut byte, seed));
        0
    })?;
    until_blocked(child.pid, libc::SYS_read)?;
    let samples = Samples::new(child.pid, sample, user_regs)?;
    use std::io::Write;
    started.write_all(&[0])?;
    // The one read is over when the other's registers are seen.
    crate::process::until("blocked again", || {
        let call = fs::read_to_string(format!("/proc/{}/syscall", child.pid))?;
        Ok(call.starts_with(&format!("0 {:#x} ", from.as_raw_fd())))
    })?;
    to.write_all(&[0])?;
    child.wait_success()?;
    Ok(samples.read())
}

fn perf_registers_in_call(_: Path) -> Result<()> {
    // AX, BX, CX, DX, SI, DI, BP, SP, IP, FLAGS, CS, SS, then R8 to R15 behind the segments.
    const MASK: u64 = 0xff_0fff;
    // What AX is in a call: a timer can interrupt the task right before it, with all else the same.
    let in_call = -i64::from(libc::ENOSYS) as u64;
    for seed in 200..210 {
        let set = Registers::random(&mut seed.clone());
        let samples = sample_blocking_call(perf::PERF_SAMPLE_REGS_USER.into(), MASK, seed)?;
        // The ABI's word, and the registers.
        let regs = samples
            .iter()
            .find(|words| words.len() == 21 && words[1] == in_call && words[20] == set.r15)
            .with_context(|| format!("no sample has them: {samples:x?}"))?;
        let (rcx, r11) = set.rcx_and_r11(regs[9]);
        let want = [
            (2, "bx", set.rbx),
            (3, "cx", rcx),
            (4, "dx", 1),
            (7, "bp", set.rbp),
            (10, "flags", set.flags),
            (13, "r8", set.r8),
            (14, "r9", set.r9),
            (15, "r10", set.r10),
            (16, "r11", r11),
            (17, "r12", set.r12),
            (18, "r13", set.r13),
            (19, "r14", set.r14),
        ];
        for (index, name, value) in want {
            ensure!(
                regs[index] == value,
                "{name}: {:#x}, not {value:#x}",
                regs[index]
            );
        }
        // With FRED there is more behind these.
        let (cs, ss) = (regs[11] & 0xffff, regs[12] & 0xffff);
        ensure!(cs == 0x33 && ss == 0x2b, "cs {cs:#x}, ss {ss:#x}");
    }
    Ok(())
}

/// The symbol that a kernel address is in.
fn symbol(address: u64) -> Result<String> {
    let mut best = (0, String::new());
    for line in fs::read_to_string("/proc/kallsyms")?.lines() {
        let mut words = line.split(' ');
        let start = u64::from_str_radix(words.next().unwrap_or_default(), 16)?;
        if start <= address && start > best.0 {
            best = (start, words.nth(1).unwrap_or_default().to_string());
        }
    }
    Ok(best.1)
}

/// Whether it is the entry of a system call.
fn is_entry(name: &str) -> bool {
    name.contains("entry_SYSCALL_64") || name.contains("fred_syscall")
}

/// From the scheduler down to the entry, and no further.
fn perf_callchain_in_call(_: Path) -> Result<()> {
    let samples = sample_blocking_call(perf::PERF_SAMPLE_CALLCHAIN.into(), 0, 300)?;
    let mut reads = 0;
    for words in samples {
        let chain: Vec<String> = words[1..=words[0] as usize]
            .iter()
            .map(|&address| symbol(address))
            .collect::<Result<_>>()?;
        // Others are of switches at a return, or in user mode.
        if chain.iter().any(|name| name.ends_with("sys_read")) {
            let last = chain.last().map_or("nothing", |name| name);
            ensure!(is_entry(last), "it ends in {last}");
            reads += 1;
        }
    }
    ensure!(reads > 0, "no sample is of the call");
    Ok(())
}

fn proc_stack_in_call(_: Path) -> Result<()> {
    let (from, _to) = pipe()?;
    let child = Child::fork(|| {
        let mut byte = 0;
        syscall(&random_read(&from, &mut byte, 400));
        0
    })?;
    until_blocked(child.pid, libc::SYS_read)?;
    let Ok(stack) = fs::read_to_string(format!("/proc/{}/stack", child.pid)) else {
        return Err(Skip("the kernel has no CONFIG_STACKTRACE").into());
    };
    let last = stack.lines().last().unwrap_or_default();
    ensure!(is_entry(last), "it ends so: {stack}");
    ensure!(stack.contains("read"), "no read in it: {stack}");
    Ok(())
}
