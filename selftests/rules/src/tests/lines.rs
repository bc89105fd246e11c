// SPDX-License-Identifier: GPL-2.0

//! What may be said on one line, and what that comes to.

use super::{judge, parse, refused, GETPPID};
use crate::rules::{Abi, Action, Change};

/// What becomes of getppid, step by step.
fn steps(text: &str) -> Vec<Action> {
    let set = parse(text);
    let judgement = judge(&set, Abi::X86_64, GETPPID, [0; 6]);
    set.steps(&judgement.action).to_vec()
}

#[test]
fn actions_go_together() {
    let set = |argument, change, value| Action::Set {
        argument,
        change,
        value,
    };
    for (text, want) in [
        (
            "delay 1s signal 9",
            vec![Action::Delay(1_000_000_000), Action::Signal(9)],
        ),
        (
            "signal 9 delay 1s",
            vec![Action::Delay(1_000_000_000), Action::Signal(9)],
        ),
        (
            "errno EIO signal 9",
            vec![Action::Signal(9), Action::Errno(5)],
        ),
        (
            "signal 9 return 3",
            vec![Action::Signal(9), Action::Return(3)],
        ),
        (
            "signal 9 after errno 5",
            vec![Action::Signal(9), Action::AfterErrno(5)],
        ),
        ("trap 3 signal 9", vec![Action::Signal(9), Action::Trap(3)]),
        ("trap signal 9", vec![Action::Signal(9), Action::Trap(0)]),
        (
            "kill_process delay 1ns",
            vec![Action::Delay(1), Action::KillProcess],
        ),
        (
            "after delay 1ns delay 2ns",
            vec![Action::Delay(2), Action::AfterDelay(1)],
        ),
        (
            "after delay 1ns errno EIO",
            vec![Action::Errno(5), Action::AfterDelay(1)],
        ),
        (
            "after delay 1ns after return 7",
            vec![Action::AfterReturn(7), Action::AfterDelay(1)],
        ),
        (
            "set arg0 1 set arg2 | 2 set arg1 & 3 set arg2 & 4 after return 7",
            vec![
                set(0, Change::Assign, 1),
                set(2, Change::Or, 2),
                set(1, Change::And, 3),
                set(2, Change::And, 4),
                Action::AfterReturn(7),
            ],
        ),
        (
            "audit errno EIO delay 1s",
            vec![
                Action::Delay(1_000_000_000),
                Action::Errno(5),
                Action::Audit,
            ],
        ),
        ("trap audit", vec![Action::Trap(0), Action::Audit]),
        (
            "after delay 1ns audit",
            vec![Action::AfterDelay(1), Action::Audit],
        ),
        (
            "set arg0 1 set arg1 2 set arg2 3 set arg3 4 set arg4 5 set arg5 6",
            (0..6)
                .map(|i| set(i, Change::Assign, u64::from(i) + 1))
                .collect(),
        ),
    ] {
        for text in [
            format!("getppid {text}"),
            format!("getppid arg0 == 0 {text}"),
            format!("getppid {text} when 1"),
        ] {
            assert_eq!(steps(&text), want, "{text}");
        }
        if !text.contains("set") {
            assert_eq!(steps(&format!("default {text}")), want, "{text}");
            assert_eq!(steps(&format!("default above 9 {text}")), want, "{text}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    const RESULT: &str = "there is a result already";
    const ALONE: &str = "'allow' and 'log' stand alone";
    const DELAY: &str = "there is a delay already";
    const POKED: &str = "there is such a poke already";
    const SET: &str = "the argument is set already";
    const CHANGED: &str = "a call that is not made cannot be changed";
    const OVER: &str = "there is nothing after 'trap' and after what kills";
    const KILLED: &str = "there is no signal for what is killed";

    for (first, second, reason) in [
        ("allow", "log", ALONE),
        ("allow", "allow", ALONE),
        ("audit", "audit", "there is an 'audit' already"),
        ("log", "errno EIO", ALONE),
        ("allow", "delay 1s", ALONE),
        ("log", "set arg0 1", ALONE),
        ("errno EIO", "return 3", RESULT),
        ("errno EIO", "errno EIO", RESULT),
        ("after errno EIO", "errno EIO", RESULT),
        ("after errno EIO", "after return 3", RESULT),
        ("trap", "kill_thread", RESULT),
        ("kill_process", "kill_thread", RESULT),
        ("return 3", "trap 3", RESULT),
        ("delay 1s", "delay 1s", DELAY),
        ("after delay 1s", "after delay 2s", DELAY),
        ("signal 9", "signal 10", "there is a signal already"),
        (
            "redirect getpid",
            "redirect getpid",
            "there is a redirection already",
        ),
        ("set arg0 1", "set arg0 1", SET),
        ("set arg0 1", "set arg0 | 1", SET),
        ("set arg0 1", "set arg0 & 1", SET),
        ("set arg0 | 1", "set arg0 | 2", SET),
        ("set arg0 & 1", "set arg0 & 2", SET),
        ("poke arg1 00", "poke arg1 01", POKED),
        ("after poke arg1 00", "after poke arg1 00", POKED),
        ("poke arg1 00", "log", ALONE),
        ("after poke arg0 00", "trap", OVER),
        ("after poke arg0 00", "kill_process", OVER),
        ("set arg0 1", "errno EIO", CHANGED),
        ("set arg0 | 1", "return 1", CHANGED),
        ("redirect getpid", "trap", CHANGED),
        ("redirect getpid", "kill_process", CHANGED),
        ("after delay 1s", "trap", OVER),
        ("after delay 1s", "kill_thread", OVER),
        ("after delay 1s", "kill_process", OVER),
        ("signal 9", "kill_thread", KILLED),
        ("signal 9", "kill_process", KILLED),
    ] {
        for (first, second) in [(first, second), (second, first)] {
            let text = format!("getppid {first} {second}");
            let remark = refused(text.as_bytes()).1[0];
            assert_eq!(remark.reason, reason, "{text}");
            assert_eq!(remark.column as usize, 10 + first.len(), "{text}");
            // Not because of what is in between.
            let text = format!("getppid {first} set arg5 & 1 {second}");
            refused(text.as_bytes());
        }
    }
}

#[test]
fn a_line_is_as_strict_as_the_strictest_of_its_actions() {
    for (weaker, stricter) in [
        ("allow", "audit"),
        ("audit", "log"),
        ("log", "after delay 1s"),
        ("after delay 1s audit", "after return 3"),
        ("after delay 1s", "after return 3 after delay 1s"),
        ("after errno EIO after delay 1s", "set arg0 1"),
        ("after errno EIO", "after poke arg0 00"),
        ("after poke arg0 00", "poke arg0 00"),
        ("poke arg0 00 after errno EIO", "set arg0 1"),
        ("set arg0 1 set arg1 2 after errno EIO", "redirect getpid"),
        ("redirect getpid set arg0 1", "delay 1s"),
        ("delay 1s set arg0 1 after errno EIO", "signal 9"),
        ("signal 9 delay 1s", "return 3"),
        ("return 3 signal 9 delay 1s", "errno EIO"),
        ("errno EIO signal 9 after delay 1s", "trap delay 1s"),
        ("trap signal 9", "kill_thread"),
        ("kill_thread delay 9s", "kill_process"),
    ] {
        let stricter = format!("getppid {stricter}\n");
        let weaker = format!("getppid {weaker}\n");
        let want = steps(&stricter);
        assert_eq!(steps(&format!("{stricter}{weaker}")), want, "{stricter}");
        assert_eq!(steps(&format!("{weaker}{stricter}")), want, "{stricter}");
    }
    // The first of equals.
    for (first, second) in [
        ("delay 1s after return 3", "delay 2s"),
        ("errno EIO", "errno EPERM signal 9"),
    ] {
        for (first, second) in [(first, second), (second, first)] {
            let text = format!("getppid {first}\ngetppid {second}");
            assert_eq!(steps(&text), steps(&format!("getppid {first}")));
        }
    }
}

#[test]
fn bytes_are_written_as_said() {
    let text = "getppid after poke arg5 0102ff poke arg1 AbCd return 4 poke arg0 00";
    let set = parse(text);
    let judgement = judge(&set, Abi::X86_64, GETPPID, [0; 6]);
    let pokes = set.steps(&judgement.action).iter();
    let pokes: Vec<(bool, u8, &[u8])> = pokes
        .filter_map(|step| match step {
            Action::Poke(poke) => Some((false, poke.argument, set.bytes(*poke))),
            Action::AfterPoke(poke) => Some((true, poke.argument, set.bytes(*poke))),
            _ => None,
        })
        .collect();
    let want = [
        (false, 0, &[0][..]),
        (false, 1, &[0xab, 0xcd]),
        (true, 5, &[1, 2, 255]),
    ];
    assert_eq!(pokes, want);
    let want = "getppid poke arg0 00 poke arg1 abcd return 4 after poke arg5 0102ff";
    assert_eq!(set.to_string(), format!("default allow\n{want}\n"));
}

#[test]
fn arguments_change_as_said() {
    assert_eq!(Change::Assign.of(5, 6), 6);
    assert_eq!(Change::Or.of(5, 6), 7);
    assert_eq!(Change::And.of(5, 6), 4);
}
