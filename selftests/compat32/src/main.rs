// SPDX-License-Identifier: GPL-2.0

//! A 32-bit program that makes calls for the kselftests: see the library.

#![no_std]
#![no_main]

#[cfg(not(target_arch = "x86"))]
compile_error!("this program is for i686");

mod call;
mod signals;
mod start;

use call::{exit, read, write};
use compat32::{Hello, Plain, Registers, Reply, Request, BUFFER_SIZE};

/// Memory for the kselftests.
#[repr(align(4096))]
pub struct Buffer(#[allow(dead_code)] [u8; BUFFER_SIZE]);

static mut BUFFER: Buffer = Buffer([0; BUFFER_SIZE]);

/// Also the stack of a child that has no other.
pub static mut STACK: Buffer = Buffer([0; BUFFER_SIZE]);

fn read_exact(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        match read(bytes) {
            0 => exit(0),
            len if len > 0 => bytes = &mut bytes[len as usize..],
            _ => exit(1),
        }
    }
}

fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(bytes) {
            len if len > 0 => bytes = &bytes[len as usize..],
            _ => exit(1),
        }
    }
}

fn reply(after: Registers, is_child: bool) {
    let reply = Reply {
        after,
        is_child: is_child.into(),
        padding: 0,
    };
    write_all(reply.as_bytes());
}

/// What a child does that returned from a call: it may share its parent's memory, which waits.
extern "C" fn child() -> ! {
    reply(call::after(), true);
    exit(0)
}

/// `stack` is as the kernel set it up.
extern "C" fn main(stack: *const usize, start: &[u32; 9]) -> ! {
    let vsyscall = start::sysinfo(stack);
    call::init(vsyscall);
    let hello = Hello {
        start: *start,
        vsyscall: vsyscall as u32,
        after_vsyscall: call::after_vsyscall(),
        buffer: &raw const BUFFER as u32,
        stack: &raw const STACK as u32 + BUFFER_SIZE as u32,
        ..signals::addresses()
    };
    write_all(hello.as_bytes());
    loop {
        let mut request = Request::zeroed();
        read_exact(request.as_bytes_mut());
        reply(call::make(&request), false);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(2)
}
