// SPDX-License-Identifier: GPL-2.0

//! libseccomp, as far as runc uses it.

use crate::bpf::Instruction;
use std::{
    ffi::{c_char, c_int, c_uint, c_void, CString},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::AsRawFd,
    ptr::NonNull,
};

pub const ARCH_X86_64: u32 = 0xc000_003e;
pub const ARCH_X86: u32 = 0x4000_0003;
pub const ARCH_X32: u32 = 0x4000_003e;

pub const ACT_KILL_PROCESS: u32 = 0x8000_0000;
pub const ACT_KILL_THREAD: u32 = 0;
pub const ACT_TRAP: u32 = 0x0003_0000;
pub const ACT_ERRNO: u32 = 0x0005_0000;
pub const ACT_NOTIFY: u32 = 0x7fc0_0000;
pub const ACT_TRACE: u32 = 0x7ff0_0000;
pub const ACT_LOG: u32 = 0x7ffc_0000;
pub const ACT_ALLOW: u32 = 0x7fff_0000;

const ATTRIBUTE_OPTIMIZE: c_int = 8;

/// No such name.
const ERROR: c_int = -1;

/// `struct scmp_arg_cmp`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    pub argument: c_uint,
    pub operator: c_int,
    pub value: u64,
    pub value_two: u64,
}

#[repr(C)]
struct Version {
    major: c_uint,
    minor: c_uint,
    micro: c_uint,
}

extern "C" {
    fn seccomp_version() -> *const Version;
    fn seccomp_api_set(level: c_uint) -> c_int;
    fn seccomp_init(action: u32) -> *mut c_void;
    fn seccomp_release(filter: *mut c_void);
    fn seccomp_arch_add(filter: *mut c_void, arch: u32) -> c_int;
    fn seccomp_arch_remove(filter: *mut c_void, arch: u32) -> c_int;
    fn seccomp_attr_set(filter: *mut c_void, attribute: c_int, value: u32) -> c_int;
    fn seccomp_syscall_resolve_name(name: *const c_char) -> c_int;
    fn seccomp_syscall_resolve_name_arch(arch: u32, name: *const c_char) -> c_int;
    fn seccomp_rule_add_array(
        filter: *mut c_void,
        action: u32,
        number: c_int,
        count: c_uint,
        comparisons: *const Comparison,
    ) -> c_int;
    fn seccomp_export_bpf(filter: *const c_void, fd: c_int) -> c_int;
}

/// The version, as text.
pub fn version() -> String {
    // SAFETY: It returns a pointer to what is static.
    let version = unsafe { seccomp_version().as_ref() }.unwrap();
    format!("{}.{}.{}", version.major, version.minor, version.micro)
}

/// Has it take all actions, whatever this machine's kernel knows.
pub fn set_level() {
    // SAFETY: It takes any number, and nothing else.
    assert_eq!(unsafe { seccomp_api_set(6) }, 0);
}

/// The number of a name on this machine: below 0 if it is a call of other architectures alone.
pub fn number(name: &str) -> Option<i32> {
    let name = CString::new(name).ok()?;
    // SAFETY: The name ends with a zero.
    let number = unsafe { seccomp_syscall_resolve_name(name.as_ptr()) };
    (number != ERROR).then_some(number)
}

/// The same on an architecture.
pub fn number_on(name: &str, arch: u32) -> Option<i32> {
    let name = CString::new(name).ok()?;
    // SAFETY: The name ends with a zero.
    let number = unsafe { seccomp_syscall_resolve_name_arch(arch, name.as_ptr()) };
    (number != ERROR).then_some(number)
}

/// A filter that is being built.
///
/// # Invariants
///
/// The pointer is one of `seccomp_init()` that nobody else has.
pub struct Filter(NonNull<c_void>);

/// What libseccomp refuses, as a negative error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub i32);

fn check(result: c_int) -> Result<(), Refused> {
    if result < 0 {
        Err(Refused(result))
    } else {
        Ok(())
    }
}

impl Filter {
    pub fn new(default: u32) -> Result<Self, Refused> {
        // SAFETY: It takes any number, and nothing else.
        let filter = NonNull::new(unsafe { seccomp_init(default) });
        // INVARIANT: It was just made.
        filter.map(Self).ok_or(Refused(-22))
    }

    /// Adds an architecture, unless it is there.
    pub fn add_arch(&mut self, arch: u32) -> Result<(), Refused> {
        const EEXIST: c_int = -17;

        // SAFETY: By the type invariant, this is a filter of ours.
        match unsafe { seccomp_arch_add(self.0.as_ptr(), arch) } {
            EEXIST => Ok(()),
            result => check(result),
        }
    }

    /// A filter for one architecture alone.
    pub fn for_arch(default: u32, arch: u32) -> Result<Self, Refused> {
        let mut filter = Self::new(default)?;
        filter.add_arch(arch)?;
        if arch != ARCH_X86_64 {
            // SAFETY: By the type invariant, this is a filter of ours.
            check(unsafe { seccomp_arch_remove(filter.0.as_ptr(), ARCH_X86_64) })?;
        }
        Ok(filter)
    }

    pub fn optimize(&mut self, level: u32) -> Result<(), Refused> {
        // SAFETY: By the type invariant, this is a filter of ours.
        check(unsafe { seccomp_attr_set(self.0.as_ptr(), ATTRIBUTE_OPTIMIZE, level) })
    }

    pub fn add(
        &mut self,
        action: u32,
        number: i32,
        comparisons: &[Comparison],
    ) -> Result<(), Refused> {
        let count = comparisons.len() as c_uint;
        // SAFETY: By the type invariant, this is a filter of ours; there are as many comparisons,
        // laid out as it has them.
        check(unsafe {
            seccomp_rule_add_array(self.0.as_ptr(), action, number, count, comparisons.as_ptr())
        })
    }

    /// The program, written to a scratch file that is empty.
    pub fn export(&self, scratch: &mut File) -> Result<Vec<Instruction>, Refused> {
        scratch.set_len(0).unwrap();
        scratch.seek(SeekFrom::Start(0)).unwrap();
        // SAFETY: By the type invariant, this is a filter of ours; the file is open.
        check(unsafe { seccomp_export_bpf(self.0.as_ptr(), scratch.as_raw_fd()) })?;
        let mut bytes = Vec::new();
        scratch.seek(SeekFrom::Start(0)).unwrap();
        scratch.read_to_end(&mut bytes).unwrap();
        let instructions = bytes.chunks_exact(8).map(|b| {
            let code = u16::from_ne_bytes([b[0], b[1]]);
            Instruction::new(
                code,
                b[2],
                b[3],
                u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
            )
        });
        Ok(instructions.collect())
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this is a filter of ours, which nobody uses from here on.
        unsafe { seccomp_release(self.0.as_ptr()) };
    }
}
