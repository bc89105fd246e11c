// SPDX-License-Identifier: GPL-2.0

//! Which syscalls, of which architecture, a rule is for.

use super::{action, action_on, judge, parse, GETPID, GETPPID};
use crate::rules::{Abi, Action, Judgement};

/// The architectures, and numbers on them, that a policy logs.
fn logged(text: &str) -> Vec<(Abi, i32)> {
    let set = parse(text);
    let calls = Abi::ALL
        .into_iter()
        .flat_map(|abi| (-2..1100).map(move |nr| (abi, nr)));
    calls
        .filter(|&(abi, nr)| judge(&set, abi, nr, [0; 6]).action == Action::Log)
        .collect()
}

#[test]
fn nothing_allows_everything() {
    let set = parse("");
    let want = Judgement {
        action: Action::Allow,
        line: Some(0),
    };
    for abi in Abi::ALL {
        for nr in [
            i32::MIN,
            -1,
            1,
            GETPPID,
            559,
            560,
            1 << 16 | GETPPID,
            i32::MAX,
        ] {
            assert_eq!(judge(&set, abi, nr, [0; 6]), want, "{abi:?} {nr}");
        }
    }
}

#[test]
fn a_rule_is_for_the_calls_that_it_names_only() {
    use Abi::{I386, X32, X86_64};

    for (calls, want) in [
        ("getppid", &[(X86_64, 110), (I386, 64), (X32, 110)][..]),
        ("rt_sigaction", &[(X86_64, 13), (I386, 174), (X32, 512)]),
        ("accept", &[(X86_64, 43), (X32, 43)]),
        ("getuid32", &[(I386, 199)]),
        ("getppid arch x86_64", &[(X86_64, 110)]),
        ("getppid arch i386", &[(I386, 64)]),
        ("getppid arch x32", &[(X32, 110)]),
        ("rt_sigaction arch x32", &[(X32, 512)]),
        ("getuid32 arch i386", &[(I386, 199)]),
        ("110", &[(X86_64, 110)]),
        ("0x6e", &[(X86_64, 110)]),
        ("110 arch x86_64", &[(X86_64, 110)]),
        ("64 arch i386", &[(I386, 64)]),
        ("110 arch x32", &[(X32, 110)]),
        ("0", &[(X86_64, 0)]),
        ("559", &[(X86_64, 559)]),
        ("559 arch i386", &[(I386, 559)]),
        ("559 arch x32", &[(X32, 559)]),
        ("219 arch i386", &[(I386, 219)]),
        ("335 arch i386", &[(I386, 335)]),
        ("?getppid", &[(X86_64, 110), (I386, 64), (X32, 110)]),
        ("?getuid32", &[(I386, 199)]),
        ("?accept arch i386", &[]),
        ("?no_such_call", &[]),
        ("?no_such_call arch x32", &[]),
        ("334..337", &[(X86_64, 334), (X86_64, 337)]),
        ("0..2 arch i386", &[(I386, 1), (I386, 2)]),
        ("558..559 arch x32", &[(X32, 558), (X32, 559)]),
        ("110..110", &[(X86_64, 110)]),
        ("0 arch x32", &[(X32, 0)]),
    ] {
        for rest in ["log", "arg0 == 0 log", "log when 1"] {
            let text = format!("{calls} {rest}");
            assert_eq!(logged(&text), want, "{text}");
        }
    }
}

#[test]
fn a_default_is_for_what_no_rule_is_for() {
    let set = parse("getppid allow\ndefault errno 38\nclone arg0 == 1 log");
    for abi in Abi::ALL {
        for nr in [-1, 20, GETPID, 56, 559, 560, 100_000, i32::MIN, i32::MAX] {
            assert_eq!(
                judge(&set, abi, nr, [0; 6]).action,
                Action::Errno(38),
                "{abi:?} {nr}"
            );
        }
    }
    assert_eq!(
        judge(&set, Abi::X86_64, GETPPID, [0; 6]).action,
        Action::Allow
    );
    assert_eq!(
        judge(&set, Abi::I386, GETPPID, [0; 6]).action,
        Action::Errno(38)
    );
}

#[test]
fn a_default_of_an_architecture_replaces_the_general_one() {
    let (allow, log, trap) = (Action::Allow, Action::Log, Action::Trap(0));
    for (text, want) in [
        ("default trap", [trap, trap, trap]),
        ("default arch x86_64 trap", [trap, allow, allow]),
        ("default arch i386 trap", [allow, trap, allow]),
        ("default arch x32 trap", [allow, allow, trap]),
        ("default arch i386 trap\ndefault log", [log, trap, log]),
        (
            "default trap\ndefault arch x86_64 allow",
            [allow, trap, trap],
        ),
        (
            "default arch x32 log\ndefault arch i386 trap\ndefault arch x86_64 allow\ndefault trap",
            [allow, trap, log],
        ),
    ] {
        for nr in [-1, GETPPID, 555, 1000] {
            let got = Abi::ALL.map(|abi| action_on(text, abi, nr));
            assert_eq!(got, want, "{text}: {nr}");
        }
    }
    assert_eq!(
        action("default arch x86_64 trap\ngetppid allow", GETPPID),
        Action::Allow
    );
    assert_eq!(
        action("default arch i386 trap\ngetppid log", GETPPID),
        Action::Log
    );
}

#[test]
fn a_default_above_a_number_is_for_what_is_newer() {
    use Abi::{I386, X32, X86_64};

    let (allow, log, trap) = (Action::Allow, Action::Log, Action::Trap(0));
    for (text, calls) in [
        (
            "default above 450 trap",
            &[
                (X86_64, 450, allow),
                (X86_64, 451, trap),
                (I386, 450, allow),
                (I386, 451, trap),
                (X32, 451, trap),
                // Not newer than the others of x32.
                (X32, 511, trap),
                (X32, 512, allow),
                (X32, 547, allow),
                (X32, 548, trap),
                (X86_64, 512, trap),
                (X86_64, 560, trap),
                (X32, 100_000, trap),
                (I386, i32::MAX, trap),
                (X86_64, -2, trap),
                (X86_64, 219, allow),
            ][..],
        ),
        (
            "default above 450 trap\ndefault arch i386 log\n455 allow\n456 arg0 == 1 allow",
            &[
                (I386, 450, log),
                (I386, 451, trap),
                (X86_64, 454, trap),
                (X86_64, 455, allow),
                (X86_64, 456, trap),
            ],
        ),
        (
            "default above 450 trap\ndefault arch i386 above 400 log\ndefault errno 38",
            &[
                (I386, 400, Action::Errno(38)),
                (I386, 401, log),
                (I386, 451, log),
                (X86_64, 450, Action::Errno(38)),
                (X86_64, 451, trap),
            ],
        ),
        (
            "default above 400 trap\ndefault arch i386 above 450 log",
            &[(I386, 401, trap), (I386, 450, trap), (I386, 451, log)],
        ),
        (
            "default above 0 trap",
            &[(X86_64, 0, allow), (X86_64, 1, trap)],
        ),
        (
            "default above 559 trap",
            &[(X86_64, 559, allow), (X86_64, 560, trap)],
        ),
    ] {
        for &(abi, nr, want) in calls {
            assert_eq!(action_on(text, abi, nr), want, "{text}: {abi:?} {nr}");
        }
    }
}

#[test]
fn what_is_never_judged_may_be_allowed() {
    for text in [
        "default trap\nrestart_syscall allow",
        "default trap\n219 allow\nuretprobe arg0 == 1 allow when 2",
        "default trap\nrestart_syscall arch i386 allow\n335 arch x32 allow",
        "default trap\n0..559 errno EPERM\n219 allow",
    ] {
        let set = parse(text);
        for (abi, nr) in [(Abi::X86_64, 219), (Abi::I386, 0), (Abi::X86_64, 335)] {
            let judgement = judge(&set, abi, nr, [1; 6]);
            assert_eq!(
                (judgement.action, judgement.line),
                (Action::Allow, None),
                "{text}"
            );
        }
    }
}

#[test]
fn some_are_never_judged() {
    let texts = [
        "default kill_process",
        "default arch i386 trap\ndefault arch x32 trap\ndefault log",
    ];
    for text in texts {
        let set = parse(text);
        for (abi, nr) in [
            (Abi::X86_64, 219),
            (Abi::X86_64, 335),
            (Abi::X86_64, 336),
            (Abi::I386, 0),
            (Abi::X32, 219),
            (Abi::X32, 335),
            (Abi::X32, 336),
        ] {
            let want = Judgement {
                action: Action::Allow,
                line: None,
            };
            assert_eq!(judge(&set, abi, nr, [0; 6]), want, "{text}: {abi:?} {nr}");
        }
        for (abi, nr) in [
            (Abi::X86_64, 0),
            (Abi::I386, 219),
            (Abi::I386, 335),
            (Abi::X32, 0),
        ] {
            assert!(
                judge(&set, abi, nr, [0; 6]).line.is_some(),
                "{text}: {abi:?} {nr}"
            );
        }
    }
}
