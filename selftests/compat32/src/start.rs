// SPDX-License-Identifier: GPL-2.0

//! The program's first instructions.

use core::arch::global_asm;

global_asm!(
    ".globl _start",
    "_start:",
    "pushfl",
    "pushl %esp",
    "addl $4, (%esp)",
    "pushl %ebp",
    "pushl %edi",
    "pushl %esi",
    "pushl %edx",
    "pushl %ecx",
    "pushl %ebx",
    "pushl %eax",
    "movl %esp, %eax",
    "leal 36(%esp), %edx",
    "andl $-16, %esp",
    "subl $8, %esp",
    "pushl %eax",
    "pushl %edx",
    "call {main}",
    main = sym crate::main,
    options(att_syntax),
);

/// Finds `__kernel_vsyscall`. The stack is that of a new program.
pub fn sysinfo(stack: *const usize) -> usize {
    const AT_SYSINFO: usize = 32;

    let mut at = stack;
    // SAFETY: The kernel puts there: argc, argv, NULL, envp, NULL, and pairs that end with 0.
    unsafe {
        at = at.add(*at + 2);
        while *at != 0 {
            at = at.add(1);
        }
        at = at.add(1);
        while *at != 0 {
            if *at == AT_SYSINFO {
                return *at.add(1);
            }
            at = at.add(2);
        }
    }
    0
}
