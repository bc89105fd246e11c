// SPDX-License-Identifier: GPL-2.0

//! Syscalls with every register set, and every register read back.

use compat32::has_avx;
use std::{
    arch::{asm, global_asm},
    mem::offset_of,
    os::fd::AsRawFd,
    sync::atomic::Ordering::Relaxed,
};

pub use compat32::{Registers, FIXED_FLAGS, SYSCALL_KEEPS_REGISTERS, USER_FLAGS};

/// Finds out whether SYSCALL leaves RCX and R11 alone, for what tests expect of it.
pub fn look_at_syscall() {
    const VALUE: u64 = 0x1234;
    let (mut rcx, mut r11) = (VALUE, VALUE);
    // SAFETY: Has no memory effects.
    unsafe {
        asm!("syscall", inout("rax") libc::SYS_getppid => _, inout("rcx") rcx, inout("r11") r11,
             options(nostack))
    };
    SYSCALL_KEEPS_REGISTERS.store(rcx == VALUE && r11 == VALUE, Relaxed);
}

pub const TF: u64 = 1 << 8;
pub const NT: u64 = 1 << 14;
pub const RF: u64 = 1 << 16;
pub const AC: u64 = 1 << 18;
pub const ID: u64 = 1 << 21;

/// Where no program can go on: not canonical, or the kernel's, or the last page's end.
pub const BAD_ADDRESSES: [u64; 5] = [
    1 << 63,
    1 << 47,
    1 << 56,
    0xffff_8000_0000_0000,
    0x7fff_ffff_f000,
];

/// Random registers of a call that reads one byte; the seed tells whose they are.
pub fn random_read(from: &impl AsRawFd, byte: *mut u8, mut seed: u64) -> Registers {
    Registers {
        rax: libc::SYS_read as u64,
        rdi: from.as_raw_fd() as u64,
        rsi: byte as u64,
        rdx: 1,
        ..Registers::random(&mut seed)
    }
}

extern "C" {
    /// Loads `before`, makes the syscall, and stores what is then in the registers to `after`.
    ///
    /// A child that returns from the call stores to `child` and exits. With a stack of its own, it
    /// finds at the stack's top the words that [`child_stack`] puts there.
    fn syscall_with_registers(
        before: *const Registers,
        after: *mut Registers,
        child: *mut Registers,
    );
    /// Without the vector registers, for machines that lack AVX.
    fn syscall_without_vectors(
        before: *const Registers,
        after: *mut Registers,
        child: *mut Registers,
    );
}

/// What a child with a stack of its own needs at the top of it.
pub fn child_stack(stack: &mut [u64], child: *mut Registers) -> u64 {
    let top = stack.len() - 4;
    stack[top] = child as u64;
    stack[top + 1] = 0;
    stack[top..].as_ptr() as u64
}

/// Makes a syscall with these registers; returns what it left in them.
pub fn syscall(before: &Registers) -> Registers {
    syscall_forking(before, std::ptr::null_mut())
}

/// The same for a call that may return in a child as well, whose registers go to `child`.
pub fn syscall_forking(before: &Registers, child: *mut Registers) -> Registers {
    let mut after = Registers::ZERO;
    if has_avx() {
        // SAFETY: The calls that tests make change no memory that Rust knows of.
        unsafe { syscall_with_registers(before, &mut after, child) };
    } else {
        // SAFETY: As above.
        unsafe { syscall_without_vectors(before, &mut after, child) };
    }
    after
}

macro_rules! syscall_asm {
    ($name:literal, $load:literal, $store:literal) => {
        global_asm!(
            concat!(".globl ", $name),
            concat!($name, ":"),
            "push rbx; push rbp; push r12; push r13; push r14; push r15",
            "push rsi",
            "push rdx",
            $load,
            "mov rax, [rdi + {rax}]",
            "mov rbx, [rdi + {rbx}]",
            "mov rcx, [rdi + {rcx}]",
            "mov rdx, [rdi + {rdx}]",
            "mov rsi, [rdi + {rsi}]",
            "mov rbp, [rdi + {rbp}]",
            "mov r8, [rdi + {r8}]",
            "mov r9, [rdi + {r9}]",
            "mov r10, [rdi + {r10}]",
            "mov r11, [rdi + {r11}]",
            "mov r12, [rdi + {r12}]",
            "mov r13, [rdi + {r13}]",
            "mov r14, [rdi + {r14}]",
            "mov r15, [rdi + {r15}]",
            "push qword ptr [rdi + {flags}]",
            "mov rdi, [rdi + {rdi}]",
            // From here on no access that AC could fault.
            "popfq",
            "syscall",
            "2:",
            "push rdi",
            "pushfq",
            "mov rdi, [rsp + 24]",
            "test rax, rax",
            "jnz 3f",
            "cmp qword ptr [rsp + 16], 0",
            "je 3f",
            "mov rdi, [rsp + 16]",
            "3:",
            "mov [rdi + {rax}], rax",
            "mov [rdi + {rbx}], rbx",
            "mov [rdi + {rcx}], rcx",
            "mov [rdi + {rdx}], rdx",
            "mov [rdi + {rsi}], rsi",
            "mov [rdi + {rbp}], rbp",
            "mov [rdi + {r8}], r8",
            "mov [rdi + {r9}], r9",
            "mov [rdi + {r10}], r10",
            "mov [rdi + {r11}], r11",
            "mov [rdi + {r12}], r12",
            "mov [rdi + {r13}], r13",
            "mov [rdi + {r14}], r14",
            "mov [rdi + {r15}], r15",
            "pop qword ptr [rdi + {flags}]",
            "pop qword ptr [rdi + {rdi}]",
            "mov [rdi + {rsp}], rsp",
            "lea rax, [rip + 2b]",
            "mov [rdi + {rip}], rax",
            // Rust wants none of them.
            "push 0x202",
            "popfq",
            $store,
            "pop rdx",
            "pop rsi",
            // The buffer that was used tells whether this is a child.
            "cmp rdi, rsi",
            "jne 4f",
            "pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
            "ret",
            "4:",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "ud2",
            rax = const offset_of!(Registers, rax),
            rbx = const offset_of!(Registers, rbx),
            rcx = const offset_of!(Registers, rcx),
            rdx = const offset_of!(Registers, rdx),
            rsi = const offset_of!(Registers, rsi),
            rdi = const offset_of!(Registers, rdi),
            rbp = const offset_of!(Registers, rbp),
            r8 = const offset_of!(Registers, r8),
            r9 = const offset_of!(Registers, r9),
            r10 = const offset_of!(Registers, r10),
            r11 = const offset_of!(Registers, r11),
            r12 = const offset_of!(Registers, r12),
            r13 = const offset_of!(Registers, r13),
            r14 = const offset_of!(Registers, r14),
            r15 = const offset_of!(Registers, r15),
            flags = const offset_of!(Registers, flags),
            rip = const offset_of!(Registers, rip),
            rsp = const offset_of!(Registers, rsp),
            ymm = const offset_of!(Registers, ymm),
        );
    };
}

syscall_asm!(
    "syscall_with_registers",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu ymm\\i, [rdi + {ymm} + 32 * \\i]\n.endr",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu [rdi + {ymm} + 32 * \\i], ymm\\i\n.endr"
);
syscall_asm!("syscall_without_vectors", "/* {ymm} */", "/* {ymm} */");
