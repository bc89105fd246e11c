// SPDX-License-Identifier: GPL-2.0

//! Calls with every register set, and every register read back.
//!
//! All registers are loaded and stored in a 64-bit segment: there are more of them, and a far jump
//! to a call in another segment changes none. What has to be remembered is at addresses known at
//! link time, since no register is free.

use compat32::{Door, Registers, Request};
use core::{
    arch::{asm, global_asm},
    mem::offset_of,
    ptr::addr_of_mut,
};

/// The operand of a far jump.
#[repr(C, packed)]
struct FarPointer {
    offset: usize,
    segment: u16,
}

const USER32_CS: u16 = 0x23;
const USER64_CS: u16 = 0x33;

#[repr(C)]
struct Call {
    before: Registers,
    after: Registers,
    stack: usize,
    vsyscall: usize,
    scratch: [u64; 4],
    forks: u32,
    vectors: u32,
    target: FarPointer,
    back: FarPointer,
}

static mut CALL: Call = Call {
    before: Registers::ZERO,
    after: Registers::ZERO,
    stack: 0,
    vsyscall: 0,
    scratch: [0; 4],
    forks: 0,
    vectors: 0,
    target: FarPointer {
        offset: 0,
        segment: 0,
    },
    back: FarPointer {
        offset: 0,
        segment: USER32_CS,
    },
};

extern "C" {
    /// Makes the call in [`CALL`].
    fn make_call();
    static call_back: u8;
    static call_int80: u8;
    static call_vdso: u8;
    static call_vdso_end: u8;
    static call_sysenter: u8;
    static call_syscall: u8;
    static call_syscall_64: u8;
    static call_int80_64: u8;
    /// Where [`Door::Raw`] and [`Door::Other`] go on when a handler says so.
    pub static call_raw_end: u8;
}

global_asm!(
    ".globl make_call",
    "make_call:",
    "pushl %ebx; pushl %esi; pushl %edi; pushl %ebp",
    "movl %esp, {call} + {stack}",
    "ljmpl $0x33, $1f",

    ".code64",
    "1:",
    "testl $-1, {call} + {vectors}(%rip)",
    "jz 2f",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vmovdqu {call} + {before} + {ymm} + 32 * \\i(%rip), %ymm\\i",
    ".endr",
    "2:",
    ".irp reg,rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15",
    "movq {call} + {before} + .Lregisters_\\reg(%rip), %\\reg",
    ".endr",
    "ljmpl *{call} + {target}(%rip)",

    ".globl call_syscall_64",
    "call_syscall_64:",
    "pushq {call} + {before} + .Lregisters_flags(%rip)",
    "popfq",
    "syscall",
    "8:",
    "jmp 4f",

    ".globl call_int80_64",
    "call_int80_64:",
    "pushq {call} + {before} + .Lregisters_flags(%rip)",
    "popfq",
    "int $0x80",
    "jmp 4f",

    ".code32",
    ".globl call_int80",
    "call_int80:",
    "pushl {call} + {before} + .Lregisters_flags",
    "popfl",
    "int $0x80",
    "jmp 3f",

    ".globl call_vdso",
    "call_vdso:",
    "pushl {call} + {before} + .Lregisters_flags",
    "popfl",
    "call *{call} + {vsyscall}",
    ".globl call_vdso_end",
    "call_vdso_end:",
    "jmp 3f",

    ".globl call_sysenter",
    "call_sysenter:",
    "movl {call} + {before} + .Lregisters_rsp, %esp",
    "sysenter",

    ".globl call_syscall",
    "call_syscall:",
    "movl {call} + {before} + .Lregisters_rsp, %esp",
    "syscall",

    // A handler goes on here: the vDSO cannot return with that stack.
    ".globl call_raw_end",
    "call_raw_end:",
    "movl {call} + {stack}, %esp",

    // Nothing may be pushed: the stack can be that of a parent, which will return from the call, too.
    "3:",
    "movl %esp, {call} + {after} + .Lregisters_rsp",
    "movl ${call} + {scratch} + 32, %esp",
    "pushfl",
    "popl {call} + {after} + .Lregisters_flags",
    "pushl $0x202",
    "popfl",
    "ljmpl $0x33, $5f",

    ".code64",
    "4:",
    "movq %rsp, {call} + {after} + .Lregisters_rsp(%rip)",
    "leaq {call} + {scratch} + 32(%rip), %rsp",
    "pushfq",
    "popq {call} + {after} + .Lregisters_flags(%rip)",
    "pushq $0x202",
    "popfq",
    "5:",
    ".irp reg,rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15",
    "movq %\\reg, {call} + {after} + .Lregisters_\\reg(%rip)",
    ".endr",
    "leaq 8b(%rip), %rcx",
    "movq %rcx, {call} + {after} + .Lregisters_rip(%rip)",
    "testl $-1, {call} + {vectors}(%rip)",
    "jz 6f",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vmovdqu %ymm\\i, {call} + {after} + {ymm} + 32 * \\i(%rip)",
    ".endr",
    "6:",
    "ljmpl *{call} + {back}(%rip)",

    ".code32",
    ".globl call_back",
    "call_back:",
    "testl $-1, {call} + {forks}",
    "jz 7f",
    "testl %eax, %eax",
    "jnz 7f",
    // It may have its parent's memory, or none that is mapped in its stack's place.
    "movl ${child_stack} + 8192, %esp",
    "call {child}",
    "7:",
    "movl {call} + {stack}, %esp",
    "popl %ebp; popl %edi; popl %esi; popl %ebx",
    "ret",
    call = sym CALL,
    stack = const offset_of!(Call, stack),
    vsyscall = const offset_of!(Call, vsyscall),
    scratch = const offset_of!(Call, scratch),
    forks = const offset_of!(Call, forks),
    vectors = const offset_of!(Call, vectors),
    target = const offset_of!(Call, target),
    back = const offset_of!(Call, back),
    before = const offset_of!(Call, before),
    after = const offset_of!(Call, after),
    ymm = const offset_of!(Registers, ymm),
    child = sym crate::child,
    child_stack = sym crate::STACK,
    options(att_syntax),
);

/// Gives the assembly above the offsets by name, for its loops.
macro_rules! offsets {
    ($($reg:ident)*) => { $(
        global_asm!(
            concat!(".set .Lregisters_", stringify!($reg), ", {}"),
            const offset_of!(Registers, $reg),
            options(att_syntax),
        );
    )* };
}

offsets!(rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15 flags rip rsp);

/// The instruction of `__kernel_vsyscall`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fast {
    Sysenter,
    Syscall,
}

/// The vDSO has `int 0x80` next to it, for restarts.
fn instruction(vsyscall: usize) -> Fast {
    // SAFETY: The function is longer.
    let code = unsafe { core::slice::from_raw_parts(vsyscall as *const u8, 16) };
    match code.windows(4).find(|bytes| bytes[2..] == [0xcd, 0x80]) {
        Some([0x0f, 0x34, ..]) => Fast::Sysenter,
        Some([0x0f, 0x05, ..]) => Fast::Syscall,
        _ => panic!(),
    }
}

pub fn has_sysenter() -> bool {
    // SAFETY: Set by `init`, only once.
    instruction(unsafe { CALL.vsyscall }) == Fast::Sysenter
}

pub fn init(vsyscall: usize) {
    // SAFETY: There is one thread, and no call yet.
    unsafe { CALL.vsyscall = vsyscall };
}

pub fn after_vsyscall() -> u32 {
    &raw const call_vdso_end as u32
}

pub fn make(request: &Request) -> Registers {
    let target = match request.door {
        Door::Int80 => &raw const call_int80,
        Door::Vdso => &raw const call_vdso,
        Door::Raw if has_sysenter() => &raw const call_sysenter,
        Door::Other if !has_sysenter() => &raw const call_sysenter,
        Door::Raw | Door::Other => &raw const call_syscall,
        Door::Syscall64 => &raw const call_syscall_64,
        Door::Int80Of64 => &raw const call_int80_64,
    };
    let segment = match request.door {
        Door::Syscall64 | Door::Int80Of64 => USER64_CS,
        _ => USER32_CS,
    };
    // SAFETY: There is one thread, and a child that has this memory only uses it while we wait. The
    // calls that tests make change no memory that Rust knows of.
    unsafe {
        let call = addr_of_mut!(CALL);
        (*call).before = request.before.clone();
        (*call).forks = request.forks;
        (*call).vectors = request.vectors;
        (*call).target = FarPointer {
            offset: target as usize,
            segment,
        };
        (*call).back.offset = &raw const call_back as usize;
        make_call();
    }
    after()
}

/// What the registers were after the last call.
pub fn after() -> Registers {
    // SAFETY: There is one thread.
    unsafe { (*addr_of_mut!(CALL)).after.clone() }
}

/// A call of this program's own.
fn own_call(nr: u32, args: [usize; 3]) -> isize {
    let ret;
    // SAFETY: Only used for calls that change no memory but what their callers own.
    unsafe {
        asm!(
            "xchg ebx, {first}",
            "int 0x80",
            "xchg ebx, {first}",
            first = inout(reg) args[0] => _,
            inlateout("eax") nr => ret,
            in("ecx") args[1],
            in("edx") args[2],
        );
    }
    ret
}

pub fn read(bytes: &mut [u8]) -> isize {
    own_call(3, [0, bytes.as_mut_ptr() as usize, bytes.len()])
}

pub fn write(bytes: &[u8]) -> isize {
    own_call(4, [1, bytes.as_ptr() as usize, bytes.len()])
}

pub fn exit(status: usize) -> ! {
    loop {
        own_call(252, [status, 0, 0]);
    }
}
