// SPDX-License-Identifier: GPL-2.0

//! What the kselftests and the 32-bit program that makes calls for them say to each other.
//!
//! The kselftests write a [`Request`] to its standard input for each call, and read a [`Reply`] from
//! its standard output, or two of a call that returns twice. A [`Hello`] comes first.

#![no_std]

mod registers;

pub use registers::*;

/// Where a call is made, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Door {
    /// `int 0x80` in a 32-bit segment.
    Int80,
    /// The vDSO's `__kernel_vsyscall`: SYSENTER or SYSCALL in a 32-bit segment.
    Vdso,
    /// The instruction of the vDSO, with any stack.
    Raw,
    /// The instruction that the vDSO does not use: this CPU has no such entry.
    Other,
    /// SYSCALL in a 64-bit segment.
    Syscall64,
    /// `int 0x80` in a 64-bit segment.
    Int80Of64,
}

/// A call.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub struct Request {
    /// The stack pointer is only used by [`Door::Raw`] and [`Door::Other`].
    pub before: Registers,
    pub door: Door,
    /// Whether it may return in a child. That replies, and exits.
    pub forks: u32,
    /// Whether the machine has the vector registers.
    pub vectors: u32,
    pub padding: u32,
}

/// What the registers are after it.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub struct Reply {
    pub after: Registers,
    pub is_child: u32,
    pub padding: u32,
}

/// `struct sigcontext_32`, in words.
pub type SignalContext = [u32; 22];

/// The index of each register in it, in the order of [`Registers::general`].
pub const GENERAL_IN_CONTEXT: [usize; 7] = [11, 8, 10, 9, 5, 4, 6];
pub const SP_IN_CONTEXT: usize = 7;
pub const IP_IN_CONTEXT: usize = 14;
pub const CS_IN_CONTEXT: usize = 15;
pub const FLAGS_IN_CONTEXT: usize = 16;

pub const MAX_SIGNALS: usize = 64;

/// What the signal handlers do and saw. The kselftests read and write it in the program's memory.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Signals {
    /// How many were handled.
    pub count: u32,
    /// Whether the next one goes on behind the call, on the program's own stack.
    pub leave_call: u32,
    pub seen: [SignalContext; MAX_SIGNALS],
    /// `siginfo_t` of the last one with [`Hello::handler_rt`].
    pub info: [u32; 32],
}

/// Addresses in the program.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Hello {
    /// The general registers, the flags and the stack pointer as the program found them.
    pub start: [u32; 9],
    /// `__kernel_vsyscall`, and where it returns to.
    pub vsyscall: u32,
    pub after_vsyscall: u32,
    /// Handlers for `sigaction`, without and with SA_SIGINFO.
    pub handler: u32,
    pub handler_rt: u32,
    /// What they return to: with `int 0x80`, and with the instruction of the vDSO.
    pub restorers: [u32; 2],
    pub restorers_rt: [u32; 2],
    pub signals: u32,
    /// Memory for the kselftests.
    pub buffer: u32,
    /// The end of a stack.
    pub stack: u32,
}

pub const BUFFER_SIZE: usize = 8192;

// SAFETY: All of them are plain data without padding, and zero is a [`Door`].
unsafe impl Plain for Request {}
// SAFETY: As above.
unsafe impl Plain for Reply {}
// SAFETY: As above.
unsafe impl Plain for Signals {}
// SAFETY: As above.
unsafe impl Plain for Hello {}

/// Data that can be sent as bytes.
///
/// # Safety
///
/// The type has no padding and no pointer, and all-zero is valid. Whoever receives it trusts the sender
/// with its values.
pub unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: All-zero is valid.
        unsafe { core::mem::zeroed() }
    }

    fn as_bytes(&self) -> &[u8] {
        // SAFETY: No byte is padding.
        unsafe { core::slice::from_raw_parts((&raw const *self).cast(), size_of::<Self>()) }
    }

    fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: As above.
        unsafe { core::slice::from_raw_parts_mut((&raw mut *self).cast(), size_of::<Self>()) }
    }
}
