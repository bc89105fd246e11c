// SPDX-License-Identifier: GPL-2.0

//! A BPF program that has a system call of one process return an error, by a kprobe on it.

use anyhow::{bail, Context, Result};
use std::{
    fs,
    io::Error,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// `struct bpf_insn`, as far as it is used here.
#[repr(C)]
struct Insn {
    code: u8,
    /// Destination, source.
    registers: u8,
    offset: i16,
    value: i32,
}

const fn insn(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Insn {
    Insn {
        code,
        registers: from << 4 | to,
        offset,
        value,
    }
}

const MOVE_VALUE: u8 = 0xb7;
const MOVE: u8 = 0xbf;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const GET_CURRENT_PID_TGID: i32 = 14;
const OVERRIDE_RETURN: i32 = 58;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    length: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// What a system call returned, which makes a file descriptor.
fn descriptor(what: &str, ret: libc::c_long) -> Result<OwnedFd> {
    if ret < 0 {
        bail!("{what}: {}", Error::last_os_error());
    }
    // SAFETY: It is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(ret as i32) })
}

fn load(process: i32) -> Result<OwnedFd> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_KPROBE: u32 = 2;
    let program = [
        insn(MOVE, 6, 1, 0, 0),
        insn(CALL, 0, 0, 0, GET_CURRENT_PID_TGID),
        insn(SHIFT_RIGHT, 0, 0, 0, 32),
        insn(JUMP_NOT_EQUAL, 0, 0, 3, process),
        insn(MOVE, 1, 6, 0, 0),
        insn(MOVE_VALUE, 2, 0, 0, -libc::EPERM),
        insn(CALL, 0, 0, 0, OVERRIDE_RETURN),
        insn(MOVE_VALUE, 0, 0, 0, 0),
        insn(EXIT, 0, 0, 0, 0),
    ];
    let attributes = Load {
        program_type: BPF_PROG_TYPE_KPROBE,
        length: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: The attributes, and what they point to, are valid for reads as long as this takes.
    let ret = unsafe {
        let size = size_of_val(&attributes);
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size)
    };
    descriptor("loading a BPF program", ret)
}

/// Has `getppid` of the process fail. It lasts as long as the descriptor.
pub fn override_getppid(process: i32) -> Result<OwnedFd> {
    const PERF_EVENT_IOC_ENABLE: u64 = 0x2400;
    const PERF_EVENT_IOC_SET_BPF: u64 = 0x4004_2408;
    let kind = fs::read_to_string("/sys/bus/event_source/devices/kprobe/type");
    let kind: u64 = kind.context("probes of the kernel")?.trim().parse()?;
    // `struct perf_event_attr` as it was when it got `config2`: where the function's name is, and an offset.
    let mut attributes = [0u64; 9];
    attributes[0] = kind | (size_of_val(&attributes) as u64) << 32;
    attributes[7] = c"__x64_sys_getppid".as_ptr() as u64;
    // SAFETY: The attributes, and the name, are valid for reads as long as this takes.
    let ret = unsafe {
        let attributes = attributes.as_ptr();
        libc::syscall(libc::SYS_perf_event_open, attributes, -1, 0, -1, 0)
    };
    let event = descriptor("a probe of getppid", ret)?;
    let program = load(process)?;
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: These have no pointers.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } != 0 {
            bail!("the probe of getppid: {}", Error::last_os_error());
        }
    }
    Ok(event)
}
