// SPDX-License-Identifier: GPL-2.0

//! Arguments as the kernel takes them.

use super::{judge, names::SYSCALLS, parse, reference::Syscall};
use crate::rules::{Abi, Action};

fn number(name: &str, abi: Abi) -> i32 {
    let mut calls = SYSCALLS.iter();
    let (_, numbers) = calls.find(|call| call.0 == name).unwrap();
    numbers[abi as usize].into()
}

/// Whether a rule that logs is for a call with this argument.
fn holds_on(abi: Abi, rule: &str, argument: usize, register: u64) -> bool {
    let mut arguments = [0; 6];
    arguments[argument] = register;
    let nr = number(rule.split_whitespace().next().unwrap(), abi);
    judge(&parse(&format!("{rule} log")), abi, nr, arguments).action == Action::Log
}

fn holds(rule: &str, argument: usize, register: u64) -> bool {
    holds_on(Abi::X86_64, rule, argument, register)
}

const MINUS_ONE: u64 = u64::MAX;
const MINUS_100: u64 = -100i64 as u64;
const MINUS_100_OF_32: u64 = -100i32 as u32 as u64;
const BIT_32: u64 = 1 << 32;

#[test]
fn upper_bits_that_the_kernel_ignores_are_ignored() {
    for (rule, argument, register, want) in [
        // An unsigned int.
        ("ioctl arg1 == 0x5412", 1, 0x5412, true),
        ("ioctl arg1 == 0x5412", 1, 0x5412 | BIT_32, true),
        ("ioctl arg1 == 0x5412", 1, 0x5412 | 1 << 63, true),
        ("ioctl arg1 == 0x5412", 1, 0x5413, false),
        ("ioctl arg1 != 0x5412", 1, 0x5412 | BIT_32, false),
        ("close arg0 < 3", 0, 2 | BIT_32, true),
        ("close arg0 >= 3", 0, 2 | BIT_32, false),
        // An int.
        ("openat arg0 == -100", 0, MINUS_100, true),
        ("openat arg0 == -100", 0, MINUS_100_OF_32, true),
        ("openat arg0 == -100", 0, MINUS_100_OF_32 | BIT_32, true),
        ("openat arg0 == -100", 0, 100, false),
        ("openat arg0 != -100", 0, MINUS_100_OF_32, false),
        ("socket arg0 == 16", 0, 16 | 1 << 40, true),
        ("setpriority arg2 > 10", 2, 11, true),
        ("setpriority arg2 > 10", 2, 10, false),
        ("setpriority arg2 > 10", 2, MINUS_ONE, false),
        ("setpriority arg2 > 10", 2, 0xffff_ffff, false),
        ("setpriority arg2 > 10", 2, 11 | 1 << 63, true),
        ("setpriority arg2 < 0", 2, 0xffff_ffec, true),
        ("setpriority arg2 < 0", 2, BIT_32, false),
        ("setpriority arg2 <= -20", 2, 0xffff_ffec, true),
        ("setpriority arg2 <= -20", 2, 0xffff_ffed, false),
        ("setpriority arg2 >= -20", 2, 0xffff_ffeb, false),
        ("setpriority arg2 >= -20", 2, 0, true),
        // A mode.
        ("chmod arg1 & 04000 != 0", 1, 0o4755, true),
        ("chmod arg1 & 04000 != 0", 1, 0o0755, false),
        ("chmod arg1 == 0755", 1, 0o755 | 1 << 16, true),
        ("chmod arg1 <= 0777", 1, 0o755 | 1 << 31, true),
        ("openat arg3 & 0111 == 0", 3, 0o644 | 1 << 48, true),
        // A long, an unsigned long, a pointer and a size are whole registers.
        ("lseek arg1 < 0", 1, MINUS_ONE, true),
        ("lseek arg1 < 0", 1, 0xffff_ffff, false),
        ("write arg2 > 5000000000", 2, 5_000_000_001, true),
        ("clone arg0 & 0x7e020000 != 0", 0, 0x1000_0000, true),
        ("clone arg0 & 0x7e020000 != 0", 0, 0x1200, false),
        ("clone arg0 == 17", 0, 17 | BIT_32, false),
        ("mmap arg0 == 0", 0, BIT_32, false),
        ("ptrace arg0 == 16", 0, 16 | BIT_32, false),
        // There is no such argument.
        ("getppid arg0 == 1", 0, 1 | BIT_32, false),
    ] {
        assert_eq!(
            holds(rule, argument, register),
            want,
            "{rule}: {register:#x}"
        );
    }
}

#[test]
fn a_width_may_be_said() {
    for (rule, register, want) in [
        ("u64(arg0) == 9", 9, true),
        ("u64(arg0) == 9", 9 | BIT_32, false),
        ("i64(arg0) < 0", 1 << 63, true),
        ("i64(arg0) < 0", 0xffff_ffff, false),
        ("u32(arg0) == 4294967295", MINUS_ONE, true),
        ("i32(arg0) == -1", 0xffff_ffff, true),
        ("i32(arg0) > -3", 0xffff_fffd, false),
        ("u16(arg0) == 0", 1 << 16, true),
        ("i16(arg0) == -1", 0xffff, true),
        ("i16(arg0) >= 0", 0x1_7fff, true),
        ("u8(arg0) == 255", 0x1ff, true),
        ("i8(arg0) < -127", 0x80, true),
        ("i8(arg0) & 0x80 != 0", 0x180, true),
        ("i8(arg0) & 0x80 == 0x80", 0x17f, false),
    ] {
        let rule = format!("close {rule}");
        assert_eq!(holds(&rule, 0, register), want, "{rule}: {register:#x}");
    }
}

#[test]
fn each_architecture_has_its_own_widths() {
    use Abi::{I386, X32, X86_64};

    for (abi, rule, argument, register, want) in [
        // What is a long on x86_64 is an int with a sign there, if the kernel says so.
        (X86_64, "lseek arg1 == -5", 1, -5i64 as u64, true),
        (X86_64, "lseek arg1 == -5", 1, -5i32 as u32 as u64, false),
        (I386, "lseek arg1 == -5", 1, -5i64 as u64, true),
        (I386, "lseek arg1 < 0", 1, 0xffff_ffff, true),
        (I386, "lseek arg1 == 5000000000", 1, 5_000_000_000, false),
        (I386, "lseek arg1 != 5000000000", 1, 5_000_000_000, true),
        (I386, "lseek arg1 < 5000000000", 1, 5, true),
        // A pointer has 32 bits.
        (I386, "write arg1 == 1", 1, 1 | BIT_32, true),
        (I386, "write arg2 > 4294967295", 2, MINUS_ONE, false),
        (X86_64, "write arg2 > 4294967295", 2, MINUS_ONE, true),
        (I386, "openat arg0 == -100", 0, MINUS_100, true),
        (X32, "openat arg0 == -100", 0, MINUS_100_OF_32, true),
        // A kernel that calls itself old has IDs of 16 bits.
        (I386, "setuid arg0 == 0", 0, 1 << 16, true),
        (X86_64, "setuid arg0 == 0", 0, 1 << 16, false),
        (I386, "setuid32 arg0 == 0", 0, 1 << 16, false),
        // Offsets come in halves.
        (I386, "pread64 arg3 == 7", 3, 7, true),
        (I386, "pread64 arg4 == 7", 4, 7, true),
        (X86_64, "pread64 arg3 == 7", 3, 7 | BIT_32, false),
        (I386, "fanotify_mark arg4 == -100", 4, MINUS_100, true),
        (X86_64, "fanotify_mark arg3 == -100", 3, MINUS_100, true),
        // x32 calls some functions that are for 32 bits.
        (X32, "ptrace arg0 == 16", 0, 16 | BIT_32, true),
        (X32, "ioctl arg2 == 1", 2, 1 | BIT_32, true),
        (X86_64, "ioctl arg2 == 1", 2, 1 | BIT_32, false),
    ] {
        let holds = holds_on(abi, rule, argument, register);
        assert_eq!(holds, want, "{abi:?}: {rule}: {register:#x}");
    }
}

#[test]
fn rules_by_number_go_by_the_call_that_it_is_of() {
    let log = |text: &str, abi, nr, register| {
        judge(&parse(text), abi, nr, [register; 6]).action == Action::Log
    };
    assert!(log("3 arg0 == 9 log", Abi::X86_64, 3, 9 | BIT_32));
    assert!(log("6 arch i386 arg0 == 9 log", Abi::I386, 6, 9 | BIT_32));
    // In a range and where there is no call, they are whole registers.
    assert!(!log("3..5 arg0 == 9 log", Abi::X86_64, 3, 9 | BIT_32));
    assert!(log("3..5 u32(arg0) == 9 log", Abi::X86_64, 3, 9 | BIT_32));
    assert!(!log("559 arg0 == 9 log", Abi::X86_64, 559, 9 | BIT_32));
    assert!(log(
        "559 arch i386 arg0 == 9 log",
        Abi::I386,
        559,
        9 | BIT_32
    ));
}

/// As the manual pages of libseccomp have them, and its bug reports.
#[test]
fn what_libseccomp_warns_of_is_no_problem_here() {
    // "Arguments are 64 bits, and the kernel ignores the upper ones": no rule is passed by so.
    for garbage in [0, BIT_32, 1 << 63, 0xdead_beef_0000_0000] {
        assert!(holds("prctl arg0 == 22", 0, 22 | garbage));
        assert!(holds("socket arg0 & 0xfffc == 16", 0, 17 | garbage));
        assert!(holds(
            "personality arg0 == 0xffffffff",
            0,
            0xffff_ffff | garbage
        ));
    }
    // "A 32 bit value that is negative is extended with its sign, or is not".
    for register in [MINUS_100, MINUS_100_OF_32] {
        assert!(holds("openat arg0 == -100", 0, register));
        assert!(!holds("openat arg0 >= 0", 0, register));
        assert!(holds("openat arg0 < 0", 0, register));
    }
    // "The mask is applied to the argument, and not to the value".
    assert!(holds("open arg1 & 3 == 0", 1, 0o100));
    assert!(!holds("open arg1 & 3 == 0", 1, 0o101));
    // "An argument may be compared only once in a rule": all comparisons of one hold.
    for (register, want) in [(9, false), (10, true), (15, true), (16, false), (12, false)] {
        assert_eq!(
            holds("close arg0 >= 10 arg0 < 16 arg0 != 12", 0, register),
            want
        );
    }
    // Rules for one call do not take the place of each other.
    let set = parse("socket arg0 == 1 allow\nsocket arg0 == 2 allow\ndefault errno EPERM");
    for (register, want) in [
        (1, Action::Allow),
        (2, Action::Allow),
        (3, Action::Errno(1)),
    ] {
        let register = register | BIT_32;
        assert_eq!(judge(&set, Abi::X86_64, 41, [register; 6]).action, want);
    }
}

#[test]
fn the_reference_has_the_widths_of_the_prototypes() {
    let width = |name: &str, abi: Abi, argument| {
        let name = SYSCALLS.iter().position(|call| call.0 == name).unwrap();
        let width = Syscall::Named(name).width(abi as usize, argument);
        (width.bits, width.is_signed)
    };
    for (name, want) in [
        (
            "openat",
            [
                (32, true),
                (64, false),
                (32, true),
                (16, false),
                (64, false),
            ],
        ),
        (
            "ioctl",
            [
                (32, false),
                (32, false),
                (64, false),
                (64, false),
                (64, false),
            ],
        ),
        (
            "lseek",
            [
                (32, false),
                (64, true),
                (32, false),
                (64, false),
                (64, false),
            ],
        ),
        (
            "kill",
            [
                (32, true),
                (32, true),
                (64, false),
                (64, false),
                (64, false),
            ],
        ),
        (
            "pread64",
            [
                (32, false),
                (64, false),
                (64, false),
                (64, true),
                (64, false),
            ],
        ),
        (
            "setresuid",
            [
                (32, false),
                (32, false),
                (32, false),
                (64, false),
                (64, false),
            ],
        ),
        (
            "mq_open",
            [
                (64, false),
                (32, true),
                (16, false),
                (64, false),
                (64, false),
            ],
        ),
    ] {
        for (argument, want) in want.into_iter().enumerate() {
            assert_eq!(
                width(name, Abi::X86_64, argument),
                want,
                "{name} {argument}"
            );
        }
    }
    for (name, _) in SYSCALLS {
        for argument in 0..6 {
            assert!(
                width(name, Abi::I386, argument).0 <= 32,
                "{name} {argument}"
            );
        }
    }
}
