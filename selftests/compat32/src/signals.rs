// SPDX-License-Identifier: GPL-2.0

//! Signal handlers, which note what they see.

use crate::call;
use compat32::{Hello, SignalContext, Signals, IP_IN_CONTEXT, MAX_SIGNALS};
use core::{arch::global_asm, ptr::addr_of_mut};

static mut SIGNALS: Signals = Signals {
    count: 0,
    leave_call: 0,
    seen: [[0; 22]; MAX_SIGNALS],
    info: [0; 32],
};

extern "C" {
    static handler: u8;
    static handler_rt: u8;
    static restore_int80: u8;
    static restore_rt_int80: u8;
    static restore_sysenter: u8;
    static restore_rt_sysenter: u8;
    static restore_syscall: u8;
    static restore_rt_syscall: u8;
}

// The frame of a handler without SA_SIGINFO: where it returns to, the signal, and the context
// itself. With it: the signal, and pointers to `siginfo_t` and to `ucontext_t`, which has the
// context behind five words. What the handler returns to finds the rest of the frame, and
// rt_sigreturn expects all of it but the return address, sigreturn not the signal either.
global_asm!(
    ".globl handler, handler_rt",
    "handler:",
    "leal 8(%esp), %eax",
    "pushl $0",
    "pushl %eax",
    "call {note}",
    "addl $8, %esp",
    "ret",
    "handler_rt:",
    "movl 12(%esp), %eax",
    "addl $20, %eax",
    "pushl 8(%esp)",
    "pushl %eax",
    "call {note}",
    "addl $8, %esp",
    "ret",

    ".globl restore_int80, restore_rt_int80",
    "restore_int80:",
    "popl %eax",
    "movl $119, %eax",
    "int $0x80",
    "restore_rt_int80:",
    "movl $173, %eax",
    "int $0x80",

    ".globl restore_sysenter, restore_rt_sysenter",
    "restore_sysenter:",
    "popl %eax",
    "movl $119, %eax",
    "movl %esp, %ebp",
    "sysenter",
    "restore_rt_sysenter:",
    "movl $173, %eax",
    "movl %esp, %ebp",
    "sysenter",

    ".globl restore_syscall, restore_rt_syscall",
    "restore_syscall:",
    "popl %eax",
    "movl $119, %eax",
    "syscall",
    "restore_rt_syscall:",
    "movl $173, %eax",
    "syscall",
    note = sym note,
    options(att_syntax),
);

/// `info` is NULL for a handler without it.
extern "C" fn note(context: &mut SignalContext, info: *const [u32; 32]) {
    // SAFETY: There is one thread; the handlers block no signal of each other, but none of them is
    // interrupted in the tests.
    unsafe {
        let signals = addr_of_mut!(SIGNALS);
        let index = (*signals).count as usize;
        if index < MAX_SIGNALS {
            (*signals).seen[index] = *context;
        }
        if !info.is_null() {
            (*signals).info = *info;
        }
        (*signals).count += 1;
        if (*signals).leave_call != 0 {
            (*signals).leave_call = 0;
            context[IP_IN_CONTEXT] = &raw const call::call_raw_end as u32;
        }
    }
}

/// What this file has to tell.
pub fn addresses() -> Hello {
    let address = |label: *const u8| label as u32;
    let (fast, fast_rt) = if call::has_sysenter() {
        (&raw const restore_sysenter, &raw const restore_rt_sysenter)
    } else {
        (&raw const restore_syscall, &raw const restore_rt_syscall)
    };
    Hello {
        start: [0; 9],
        vsyscall: 0,
        after_vsyscall: 0,
        handler: address(&raw const handler),
        handler_rt: address(&raw const handler_rt),
        restorers: [address(&raw const restore_int80), address(fast)],
        restorers_rt: [address(&raw const restore_rt_int80), address(fast_rt)],
        signals: &raw const SIGNALS as u32,
        buffer: 0,
        stack: 0,
    }
}
