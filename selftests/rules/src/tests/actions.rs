// SPDX-License-Identifier: GPL-2.0

//! What actions say, and which of several wins.

use super::{action, action_on, judge, parse, GETPID, GETPPID, OPENAT, VERDICTS};
use crate::rules::{Abi, Action, Change};

#[test]
fn each_action_is_what_its_words_say() {
    for (text, want) in [
        ("allow", Action::Allow),
        ("audit", Action::Audit),
        ("allow audit", Action::Audit),
        ("audit allow", Action::Audit),
        ("log", Action::Log),
        ("audit log", Action::Log),
        ("kill_process audit", Action::KillProcess),
        ("audit kill_thread", Action::KillThread),
        ("after return 7", Action::AfterReturn(7)),
        ("after errno EIO", Action::AfterErrno(5)),
        ("delay 20ms", Action::Delay(20_000_000)),
        ("return 7", Action::Return(7)),
        ("errno EPERM", Action::Errno(1)),
        ("signal SIGUSR1", Action::Signal(10)),
        ("trap", Action::Trap(0)),
        ("trap 7", Action::Trap(7)),
        ("kill_thread", Action::KillThread),
        ("kill_process", Action::KillProcess),
    ] {
        for text in [
            format!("getppid {text}"),
            format!("getppid arg0 == 0 {text}"),
            format!("getppid {text} when 1"),
            format!("default {text}"),
            format!("default arch x86_64 {text}"),
        ] {
            assert_eq!(action(&text, GETPPID), want, "{text}");
        }
    }
}

#[test]
fn an_argument_is_set_to_any_value() {
    for argument in 0..6 {
        for value in [0, 1, u64::MAX] {
            let change = Change::Assign;
            let want = Action::Set {
                argument,
                change,
                value,
            };
            for value in [format!("{value}"), format!("{value:#x}")] {
                let text = format!("getppid set arg{argument} {value}");
                assert_eq!(action(&text, GETPPID), want, "{text}");
            }
        }
    }
}

#[test]
fn a_call_becomes_the_other_one_of_its_architecture() {
    for (text, abi, nr, want) in [
        ("getpid redirect getppid", Abi::X86_64, 39, 110),
        ("getpid redirect getppid", Abi::I386, 20, 64),
        ("getpid redirect getppid", Abi::X32, 39, 110),
        ("getpid redirect rt_sigaction", Abi::X32, 39, 512),
        ("getpid arch i386 redirect getuid32", Abi::I386, 20, 199),
        ("getpid arch i386 redirect 400", Abi::I386, 20, 400),
        ("getpid arch x32 redirect 559", Abi::X32, 39, 559),
        ("getpid arch x86_64 redirect 0", Abi::X86_64, 39, 0),
        ("39 redirect 110", Abi::X86_64, 39, 110),
        ("39 redirect accept", Abi::X86_64, 39, 43),
        ("accept redirect arch_prctl", Abi::X32, 43, 158),
        ("getuid32 redirect time", Abi::I386, 199, 13),
        ("getpid redirect getpid", Abi::I386, 20, 20),
    ] {
        let Action::Redirect(calls) = action_on(text, abi, nr) else {
            panic!("{text}");
        };
        assert_eq!(calls.number(abi), Some(want), "{text}");
    }
}

#[test]
fn values_reach_to_their_limits() {
    for (text, want) in [
        ("return 0", Action::Return(0)),
        ("return -0", Action::Return(0)),
        ("return -0x10", Action::Return(-16)),
        ("return 9223372036854775807", Action::Return(i64::MAX)),
        ("return 0x7fffffffffffffff", Action::Return(i64::MAX)),
        ("return -9223372036854775808", Action::Return(i64::MIN)),
        ("return -0x8000000000000000", Action::Return(i64::MIN)),
        ("return 512", Action::Return(512)),
        ("return -511", Action::Return(-511)),
        ("return -515", Action::Return(-515)),
        ("return -517", Action::Return(-517)),
        ("return 0xfffffdfd", Action::Return(0xffff_fdfd)),
        ("after return -515", Action::AfterReturn(-515)),
        ("errno 1", Action::Errno(1)),
        ("errno 0xfff", Action::Errno(4095)),
        ("errno 515", Action::Errno(515)),
        ("errno EWOULDBLOCK", Action::Errno(11)),
        ("after errno 4095", Action::AfterErrno(4095)),
        ("signal 1", Action::Signal(1)),
        ("signal 64", Action::Signal(64)),
        ("signal 0x1f", Action::Signal(31)),
        ("signal SIGPOLL", Action::Signal(29)),
        ("trap 0", Action::Trap(0)),
        ("trap 0xffff", Action::Trap(65535)),
        ("delay 0ns", Action::Delay(0)),
        ("delay 1ns", Action::Delay(1)),
        ("delay 1us", Action::Delay(1000)),
        ("delay 1s", Action::Delay(1_000_000_000)),
        ("delay 36028797s", Action::Delay(36_028_797_000_000_000)),
        ("delay 36028797018963967ns", Action::Delay((1 << 55) - 1)),
    ] {
        assert_eq!(action(&format!("getppid {text}"), GETPPID), want, "{text}");
    }
}

#[test]
fn the_strictest_wins_in_any_order() {
    for (i, stricter) in VERDICTS.iter().enumerate() {
        for weaker in &VERDICTS[..i] {
            for (condition, other) in [
                ("", ""),
                ("arg0 == 0", ""),
                ("", "arg0 == 0"),
                ("arg0 == 0", "arg1 < 1"),
            ] {
                let stricter = format!("getppid {condition} {stricter}\n");
                let weaker = format!("getppid {other} {weaker}\n");
                let want = action(&stricter, GETPPID);
                for text in [format!("{stricter}{weaker}"), format!("{weaker}{stricter}")] {
                    assert_eq!(action(&text, GETPPID), want, "{text}");
                }
            }
        }
    }
}

#[test]
fn the_first_of_equals_wins() {
    for (first, second) in [
        ("after return 1", "after return 2"),
        ("after errno 1", "after errno 2"),
        ("set arg0 1", "set arg0 2"),
        ("redirect getpid", "redirect gettid"),
        ("delay 1s", "delay 2s"),
        ("return 1", "return 2"),
        ("errno 1", "errno 2"),
        ("signal 1", "signal 2"),
        ("trap 1", "trap 2"),
        ("log", "log"),
    ] {
        for condition in ["", "arg0 == 0"] {
            for other in ["", "arg0 == 0"] {
                for (first, second) in [(first, second), (second, first)] {
                    let text = format!("getppid {condition} {first}\ngetppid {other} {second}");
                    let judgement = judge(&parse(&text), Abi::X86_64, GETPPID, [0; 6]);
                    let want = action(&format!("getppid {first}"), GETPPID);
                    assert_eq!(
                        (judgement.action, judgement.line),
                        (want, Some(1)),
                        "{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_judgement_names_the_line_that_decided() {
    let set = parse(
        "default log\n\ngetpid allow\ngetppid errno EIO\ngetpid log\ndefault arch x32 trap\n
         getppid arg0 == 1 trap\ndefault arch i386 return 0",
    );
    assert_eq!(set.nr_lines(), 7);
    for (abi, nr, argument, want) in [
        (Abi::X86_64, OPENAT, 0, 0),
        (Abi::I386, OPENAT, 0, 1),
        (Abi::X32, OPENAT, 0, 2),
        (Abi::X86_64, GETPID, 0, 5),
        (Abi::I386, 20, 0, 5),
        (Abi::X86_64, GETPPID, 0, 4),
        (Abi::X86_64, GETPPID, 1, 6),
    ] {
        let judgement = judge(&set, abi, nr, [argument, 0, 0, 0, 0, 0]);
        assert_eq!(judgement.line, Some(want), "{abi:?} {nr}");
    }
}
