// SPDX-License-Identifier: GPL-2.0

//! Each call is judged as what it is, through whatever door it comes, and none is a way around.

use super::ways::*;
use crate::{
    compat::{nr, Compat, Door},
    process::{getppid, gettid, Child},
    slowpath::{attach, Policy},
    tracee::Tracee,
    Skip,
};
use anyhow::{ensure, Context, Result};
use compat32::GENERAL_IN_CONTEXT;
use std::{arch::global_asm, io::Write};

super::tests! {
    [Mitigations, CompatEntry, FastPath, X32] =>
        doors_judge_as_their_architecture
        doors_of_a_task_that_changes_its_mode
        doors_of_a_64_bit_program_in_a_32_bit_segment
        doors_show_each_argument
        doors_to_every_call_by_name
        doors_to_every_number
        doors_policy_for_one_architecture
        doors_bad_stack_is_not_judged
        doors_of_the_other_vendor
        doors_restart_is_judged
        doors_policy_after_tracer
        doors_policy_before_seccomp
        doors_x32;
}

#[allow(dead_code)]
mod names {
    include!(concat!(env!("OUT_DIR"), "/names.rs"));
}

fn doors_judge_as_their_architecture() -> Result<()> {
    let rules = [
        "getppid arch x86_64 return 1000",
        "getppid arch i386 return 1001",
        "getppid arch x32 return 1002",
        // What the number of the one is for the others.
        "110 arch i386 return 2000",
        "64 arch x86_64 return 2001",
        "64 arch x32 return 2002",
    ];
    let (policy, _, mut compat) = under(&rules.join("\n"))?;
    for way in WAYS {
        for _ in 0..10 {
            way.check(&mut compat, GETPPID, &[], 1000 + way.arch as i64)?;
        }
        let other = [nr::GETPPID, libc::SYS_getppid];
        let want = [2001, 2000, 2002][way.arch];
        way.check(&mut compat, other, &[], want)?;
    }
    let hits: Vec<u64> = (1..=6)
        .map(|line| policy.hits(line))
        .collect::<Result<_>>()?;
    ensure!(hits == [10, 30, 10, 3, 1, 1], "{hits:?}");
    Ok(())
}

/// One after the other, in every order.
fn doors_of_a_task_that_changes_its_mode() -> Result<()> {
    let (_policy, _, mut compat) = under("getppid arch i386 errno EPERM")?;
    for first in working_ways()? {
        for second in working_ways()? {
            for way in [first, second] {
                let want = if way.arch == 1 { EPERM } else { ppid() };
                way.check(&mut compat, GETPPID, &[], want)?;
            }
        }
    }
    Ok(())
}

extern "C" {
    static segment_32: u8;
    static segment_32_end: u8;
}

// fn(number) -> result, for a page below 4 GiB, whose end is the stack.
global_asm!(
    ".globl segment_32, segment_32_end",
    "segment_32:",
    "pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15",
    "movq %rsp, 8f(%rip)",
    "movl %edi, %eax",
    "leaq segment_32 + 4096(%rip), %rsp",
    // There, and back.
    "leaq 2f(%rip), %rcx",
    "movl %ecx, -8(%rsp)",
    "movl $0x23, -4(%rsp)",
    "leaq 3f(%rip), %rcx",
    "movl %ecx, -16(%rsp)",
    "movl $0x33, -12(%rsp)",
    "subq $16, %rsp",
    "ljmpl *8(%rsp)",
    ".code32",
    "2:",
    "int $0x80",
    "ljmpl *(%esp)",
    ".code64",
    "3:",
    "movq 8f(%rip), %rsp",
    "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx",
    "ret",
    ".balign 8",
    "8: .quad 0",
    "segment_32_end:",
    options(att_syntax),
);

/// The segment registers do not matter, only the instruction.
fn doors_of_a_64_bit_program_in_a_32_bit_segment() -> Result<()> {
    let policy = Policy::new("test", "getppid arch i386 return 4711\ngetppid log")?;
    let child = Child::run(|| {
        attach(gettid())?.set("policy", "test")?;
        // SAFETY: The page is new; the code is for any address below 4 GiB, and preserves what a
        // function has to.
        let result = unsafe {
            let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
            let page = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0);
            ensure!(page != libc::MAP_FAILED, "mmap");
            let len = (&raw const segment_32_end).offset_from(&raw const segment_32);
            std::ptr::copy_nonoverlapping(&raw const segment_32, page.cast(), len as usize);
            let call: extern "C" fn(i64) -> i32 = std::mem::transmute(page);
            call(nr::GETPPID)
        };
        ensure!(result == 4711, "{result}");
        ensure!(getppid() == i64::from(std::os::unix::process::parent_id()));
        Ok(())
    })?;
    child.wait_success()?;
    ensure!(policy.hits(1)? == 1 && policy.hits(2)? >= 1);
    Ok(())
}

/// The sixth of the vDSO's call is on the stack. The upper halves are no part of a 32-bit one.
fn doors_show_each_argument() -> Result<()> {
    let value = 0x8765_4321u64;
    let rules: Vec<String> = (0..6)
        .map(|i| format!("getppid arg{i} == {value:#x} return {}", 1000 + i))
        .collect();
    let (_policy, _, mut compat) = under(&rules.join("\n"))?;
    for way in WAYS {
        for i in 0..6 {
            let mut args = [7; 6];
            args[i] = value;
            way.check(&mut compat, GETPPID, &args, 1000 + i as i64)?;
            args[i] |= 0xdead << 48;
            let ret = way.call(&mut compat, GETPPID, &args)?;
            let judged = ret == 1000 + i as i64;
            ensure!(judged == (way.arch == 1), "{way:?}, arg{i}: {ret}");
        }
    }
    Ok(())
}

/// What the program itself needs, and what is never judged: `restart_syscall`, `uretprobe` and
/// `uprobe`.
const OTHERS: [&[i64]; 2] = [
    &[libc::SYS_read, libc::SYS_write, 219, 335, 336],
    &[nr::READ, nr::WRITE, nr::RESTART_SYSCALL],
];

fn is_other(way: Way, number: i64) -> bool {
    OTHERS[usize::from(way.arch == 1)].contains(&number)
}

/// A rule without `arch` is for each architecture that has the name.
fn doors_to_every_call_by_name() -> Result<()> {
    let others = ["read", "write", "restart_syscall", "uretprobe", "uprobe"];
    let all = names::SYSCALLS.iter();
    let refused: Vec<_> = all.filter(|(name, _)| !others.contains(name)).collect();
    let rules = refused
        .iter()
        .map(|(name, _)| format!("{name} errno EXDEV\n"));
    let (_policy, _, mut compat) = under(&rules.collect::<String>())?;
    for way in WAYS {
        let mut made = 0;
        for (name, numbers) in &refused {
            let number = i64::from(numbers[way.arch]);
            if number < 0 || is_other(way, number) {
                continue;
            }
            let number = if way.arch == 2 { number | X32 } else { number };
            let ret = compat.call(way.door, number, &[]).context(*name)?;
            ensure!(ret == EXDEV, "{name} by {way:?}: {ret}");
            made += 1;
        }
        ensure!(made > 300, "{way:?} has only {made} calls");
    }
    Ok(())
}

/// Whatever the number, a default refuses it: of every architecture, and of none.
fn doors_to_every_number() -> Result<()> {
    let (_policy, _, mut compat) = under("default errno EXDEV\nread allow\nwrite allow")?;
    let odd = [1000, 0x1_0000, 0x2000_0014, 0x3fff_ffff, 0x7fff_fffe];
    for way in WAYS {
        for number in (0..620).chain(odd) {
            if is_other(way, number) {
                continue;
            }
            let number = if way.arch == 2 { number | X32 } else { number };
            let ret = compat.call(way.door, number, &[]);
            let ret = ret.with_context(|| format!("{number:#x} by {way:?}"))?;
            ensure!(ret == EXDEV, "{number:#x} by {way:?}: {ret}");
        }
    }
    Ok(())
}

/// What is of no architecture that the rules name gets the policy's default.
fn doors_policy_for_one_architecture() -> Result<()> {
    let own = "read allow\nwrite allow\n";
    for default in ["allow", "errno EXDEV"] {
        let rules = format!("default {default}\n{own}getppid arch x86_64 errno EPERM");
        let (policy, _, mut compat) = under(&rules)?;
        for way in working_ways()? {
            let want = match (way.arch, default) {
                (0, _) => EPERM,
                (_, "allow") => ppid(),
                _ => EXDEV,
            };
            way.check(&mut compat, GETPPID, &[], want)?;
        }
        // Or that of its architecture.
        let rules = "default arch i386 errno EXDEV\ndefault arch x32 errno EXDEV\n";
        policy.set(
            "rules",
            &format!("{rules}{own}getppid arch x86_64 errno EPERM"),
        )?;
        for way in WAYS {
            let want = if way.arch == 0 { EPERM } else { EXDEV };
            way.check(&mut compat, GETPPID, &[], want)?;
        }
    }
    Ok(())
}

/// Without its sixth argument there is no call.
fn doors_bad_stack_is_not_judged() -> Result<()> {
    let (policy, task, mut compat) = under("getppid errno EXDEV")?;
    if !compat.vdso_is_a_door()? {
        return Err(Skip("the vDSO has no door of its own").into());
    }
    super::compat::signal_stack(&mut compat)?;
    compat.handle(
        libc::SIGSEGV,
        libc::SA_SIGINFO | libc::SA_ONSTACK,
        Door::Int80,
    )?;
    compat.reset_signals(true)?;
    let mut before = Compat::prepare(Door::Raw, nr::GETPPID, &[]);
    (before.rsp, before.rbp) = (0x1000, 0x1000);
    compat.registers(Door::Raw, &before)?;
    let eax = compat.signals()?.seen[0][GENERAL_IN_CONTEXT[0]] as i32;
    ensure!(eax == -libc::EFAULT, "{eax}");
    ensure!(policy.hits(1)? == 0 && task.stat("errno")? == 0, "judged");
    let way = WAYS[2];
    way.check(&mut compat, GETPPID, &[], EXDEV)?;
    Ok(())
}

/// What the vDSO does not use is an invalid instruction, or a call that does not exist, or a door:
/// then it is judged as the others.
fn doors_of_the_other_vendor() -> Result<()> {
    let (policy, _, mut compat) = under("getppid errno EXDEV")?;
    super::compat::signal_stack(&mut compat)?;
    for signal in [libc::SIGILL, libc::SIGSEGV] {
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        compat.handle(signal, flags, Door::Int80)?;
    }
    compat.reset_signals(true)?;
    let mut before = Compat::prepare(Door::Other, nr::GETPPID, &[]);
    before.rsp = u64::from(compat.hello.stack) - 64;
    before.rbp = before.rsp;
    let after = compat.registers(Door::Other, &before)?;
    let signals = compat.signals()?;
    // Where it was an entry, the vDSO's return finds nothing on this stack, and faults.
    let eax = match signals.count {
        0 => i64::from(after.rax as i32),
        _ => i64::from(signals.seen[0][GENERAL_IN_CONTEXT[0]] as i32),
    };
    let judged = policy.hits(1)?;
    let refused = [nr::GETPPID, ENOSYS].contains(&eax) && judged == 0;
    ensure!(
        refused || (eax == EXDEV && judged == 1),
        "{eax}, judged {judged} times"
    );
    Ok(())
}

/// Through the `int 0x80` behind the vDSO's instruction, which is another door.
fn doors_restart_is_judged() -> Result<()> {
    for door in [Door::Int80, Door::Vdso, Door::Int80Of64] {
        let (policy, _, mut compat) = under("read log")?;
        compat.handle(libc::SIGUSR1, libc::SA_RESTART, Door::Int80)?;
        let (from, mut to) = compat.pipe()?;
        policy.set("rules", &format!("read arg0 == {from} set arg2 1"))?;

        let buffer = u64::from(compat.hello.buffer);
        let before = Compat::prepare(door, nr::READ, &[from, buffer, 4]);
        compat.send(door, &before, false)?;
        for i in 1..=3 {
            compat.interrupt(nr::READ, i)?;
            // By a stop, and by a handler.
            let hits = policy.hits(1)?;
            ensure!(
                hits == 1 + 2 * u64::from(i),
                "{door:?}: judged {hits} times"
            );
        }
        to.write_all(b"four")?;
        let after = compat.reply()?;
        ensure!(after.rax == 1, "{door:?}: not changed again: {}", after.rax);
        if door != Door::Int80Of64 {
            compat.unchanged(door, &before, &after, 1)?;
        }
    }
    Ok(())
}

/// A tracer makes another call of it: that one is judged.
fn doors_policy_after_tracer() -> Result<()> {
    for way in working_ways()? {
        let (_policy, _, mut compat) = under("getppid errno EXDEV")?;
        let tracee = Tracee::seize(Child { pid: compat.pid() }, libc::PTRACE_O_TRACESYSGOOD)?;
        tracee.interrupt()?;
        let before = Compat::prepare(way.door, way.number(GETPID), &[]);
        compat.send(way.door, &before, false)?;
        loop {
            tracee.request(libc::PTRACE_SYSCALL, 0)?;
            tracee.wait()?;
            let mut regs = tracee.get()?;
            if regs.orig_rax as i64 == way.number(GETPID) {
                regs.orig_rax = way.number(GETPPID) as u64;
                tracee.set(&regs)?;
                break;
            }
        }
        std::mem::forget(tracee.detach()?);
        let ret = compat.reply()?.rax as i32;
        ensure!(ret == EXDEV as i32, "{way:?}: {ret}");
    }
    Ok(())
}

/// What the policy makes of a call is judged by seccomp.
fn doors_policy_before_seccomp() -> Result<()> {
    for way in working_ways()? {
        let (policy, _, mut compat) = under("getpid redirect getppid\ngetpgid errno EXDEV")?;
        seccomp(
            &mut compat,
            way.number(GETPPID),
            libc::SECCOMP_RET_ERRNO | 77,
        )?;
        way.check(&mut compat, GETPID, &[], -77)?;
        way.check(&mut compat, GETPPID, &[], -77)?;
        way.check(&mut compat, GETPGID, &[0], EXDEV)?;
        ensure!(policy.hits(1)? == 1);
    }
    Ok(())
}

/// With the ABI switched off, its calls fail, and are judged all the same.
fn doors_x32() -> Result<()> {
    let way = WAYS[4];
    let (policy, _, mut compat) = under("getpid arch x32 log")?;
    let ret = if has_x32()? { ppid() } else { ENOSYS };
    way.check(&mut compat, GETPPID, &[], ret)?;
    let pid = if has_x32()? {
        i64::from(compat.pid())
    } else {
        ENOSYS
    };
    way.check(&mut compat, GETPID, &[], pid)?;
    ensure!(policy.hits(1)? == 1);
    policy.set(
        "rules",
        "getppid arch x32 errno EXDEV\ngetpid arch x86_64 errno EPERM",
    )?;
    way.check(&mut compat, GETPPID, &[], EXDEV)?;
    way.check(&mut compat, GETPID, &[], pid)?;
    WAYS[0].check(&mut compat, GETPID, &[], EPERM)?;
    Ok(())
}
