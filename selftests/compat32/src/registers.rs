// SPDX-License-Identifier: GPL-2.0

//! Every register of a call.

use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether SYSCALL leaves RCX and R11 alone, as it does with FRED.
pub static SYSCALL_KEEPS_REGISTERS: AtomicBool = AtomicBool::new(false);

/// The registers of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub flags: u64,
    pub rip: u64,
    pub rsp: u64,
    pub ymm: [[u64; 4]; 16],
}

/// The arithmetic flags and DF: what a program may set at will.
pub const USER_FLAGS: u64 = 0xcd5;
/// Always one, and IF.
pub const FIXED_FLAGS: u64 = 0x202;

impl Registers {
    pub const ZERO: Self = Self {
        rax: 0,
        rbx: 0,
        rcx: 0,
        rdx: 0,
        rsi: 0,
        rdi: 0,
        rbp: 0,
        r8: 0,
        r9: 0,
        r10: 0,
        r11: 0,
        r12: 0,
        r13: 0,
        r14: 0,
        r15: 0,
        flags: 0,
        rip: 0,
        rsp: 0,
        ymm: [[0; 4]; 16],
    };

    /// Random values in every register, from `seed`; the call's number is the caller's to set.
    pub fn random(seed: &mut u64) -> Self {
        let mut next = || {
            // splitmix64
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut regs = Self::ZERO;
        for reg in [
            &mut regs.rbx,
            &mut regs.rcx,
            &mut regs.rdx,
            &mut regs.rsi,
            &mut regs.rdi,
            &mut regs.rbp,
            &mut regs.r8,
            &mut regs.r9,
            &mut regs.r10,
            &mut regs.r11,
            &mut regs.r12,
            &mut regs.r13,
            &mut regs.r14,
            &mut regs.r15,
        ] {
            *reg = next();
        }
        regs.flags = FIXED_FLAGS | (next() & USER_FLAGS);
        #[cfg(target_pointer_width = "64")]
        if has_avx() {
            for lane in regs.ymm.iter_mut().flatten() {
                *lane = next();
            }
        }
        regs
    }

    /// What SYSCALL leaves in RCX and R11, of a call behind which the program goes on at `rip`.
    pub fn rcx_and_r11(&self, rip: u64) -> (u64, u64) {
        if SYSCALL_KEEPS_REGISTERS.load(Relaxed) {
            (self.rcx, self.r11)
        } else {
            (rip, self.flags)
        }
    }

    /// What SYSCALL leaves in the registers of a call that changes none but its result.
    pub fn after(&self, rax: u64, seen: &Self) -> Self {
        let (rcx, r11) = self.rcx_and_r11(seen.rip);
        Self {
            rax,
            rcx,
            r11,
            rip: seen.rip,
            rsp: seen.rsp,
            ..self.clone()
        }
    }

    /// Those that differ.
    pub fn difference<'a>(&'a self, other: &'a Self) -> Difference<'a> {
        Difference(self, other)
    }

    /// RAX, RBX, RCX, RDX, RSI, RDI and RBP.
    pub fn general(&self) -> [u64; 7] {
        [
            self.rax, self.rbx, self.rcx, self.rdx, self.rsi, self.rdi, self.rbp,
        ]
    }

    /// What a 32-bit program can have of them: half of eight, and eight vectors.
    pub fn halves(&self) -> Self {
        let mut regs = Self::ZERO;
        for (to, from) in [
            (&mut regs.rax, self.rax),
            (&mut regs.rbx, self.rbx),
            (&mut regs.rcx, self.rcx),
            (&mut regs.rdx, self.rdx),
            (&mut regs.rsi, self.rsi),
            (&mut regs.rdi, self.rdi),
            (&mut regs.rbp, self.rbp),
            (&mut regs.rsp, self.rsp),
            (&mut regs.flags, self.flags),
        ] {
            *to = from & 0xffff_ffff;
        }
        regs.ymm[..8].copy_from_slice(&self.ymm[..8]);
        regs
    }
}

/// The registers that differ, and how.
pub struct Difference<'a>(&'a Registers, &'a Registers);

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, other) = (self.0, self.1);
        macro_rules! compare {
            ($($reg:ident)*) => { $(
                if one.$reg != other.$reg {
                    write!(f, "{} {:#x} != {:#x} ", stringify!($reg), one.$reg, other.$reg)?;
                }
            )* };
        }
        compare!(rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15 flags rip rsp);
        for (i, (a, b)) in one.ymm.iter().zip(&other.ymm).enumerate() {
            if a != b {
                write!(f, "ymm{i} {a:x?} != {b:x?} ")?;
            }
        }
        Ok(())
    }
}

/// Whether the machine and the kernel have AVX.
#[cfg(target_pointer_width = "64")]
pub fn has_avx() -> bool {
    const AVX_AND_OSXSAVE: u32 = 3 << 27;
    const SSE_AND_AVX: u32 = 3 << 1;

    // SAFETY: Each 64-bit CPU has the instruction; only older compilers want to know.
    #[allow(unused_unsafe)]
    let features = unsafe { core::arch::x86_64::__cpuid(1) }.ecx;
    if features & AVX_AND_OSXSAVE != AVX_AND_OSXSAVE {
        return false;
    }
    let states: u32;
    // SAFETY: OSXSAVE says that it may be executed.
    unsafe { core::arch::asm!("xgetbv", in("ecx") 0, out("eax") states, out("edx") _) };
    states & SSE_AND_AVX == SSE_AND_AVX
}
