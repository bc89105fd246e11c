// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for: by their arguments, and by how many there were.

use super::{judge, parse, verdict, GETPID, GETPPID};
use crate::{
    check::Caller,
    rules::{Arch, Call, Verdict},
};
use std::{cell::RefCell, collections::BTreeSet};

const MAX: u64 = u64::MAX;

/// Whether a condition holds for the first argument.
fn holds(condition: &str, argument: u64) -> bool {
    let set = parse(&format!("getppid arg0 {condition} log"));
    judge(&set, Arch::X86_64, GETPPID, [argument, 0, 0, 0, 0, 0]).verdict == Verdict::Log
}

#[test]
fn comparisons_are_of_64_bits_without_a_sign() {
    let values = [
        0,
        1,
        2,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 32,
        1 << 63,
        MAX - 1,
        MAX,
    ];
    for value in values {
        for argument in values {
            for (operator, want) in [
                ("==", argument == value),
                ("!=", argument != value),
                ("<", argument < value),
                ("<=", argument <= value),
                (">", argument > value),
                (">=", argument >= value),
            ] {
                for value in [format!("{value}"), format!("{value:#x}")] {
                    let condition = format!("{operator} {value}");
                    assert_eq!(holds(&condition, argument), want, "{argument} {condition}");
                }
            }
        }
    }
}

#[test]
fn a_mask_leaves_the_other_bits_out() {
    for (condition, argument, want) in [
        ("& 0 == 0", 0, true),
        ("& 0 == 0", MAX, true),
        ("& 1 == 0", 0, true),
        ("& 1 == 0", 1, false),
        ("& 1 == 1", 1, true),
        ("& 1 == 1", MAX, true),
        ("& 1 == 1", MAX - 1, false),
        ("& 0xfffc == 16", 16, true),
        ("& 0xfffc == 16", 19, true),
        ("& 0xfffc == 16", 0x1_0013, true),
        ("& 0xfffc == 16", 20, false),
        ("& 0x8000000000000000 == 0x8000000000000000", 1 << 63, true),
        (
            "& 0x8000000000000000 == 0x8000000000000000",
            MAX >> 1,
            false,
        ),
        ("& 0x8000000000000000 == 0", MAX >> 1, true),
        ("& 18446744073709551615 == 18446744073709551615", MAX, true),
        (
            "& 18446744073709551615 == 18446744073709551615",
            MAX - 1,
            false,
        ),
    ] {
        assert_eq!(
            holds(condition, argument),
            want,
            "{argument:#x} {condition}"
        );
    }
}

#[test]
fn a_condition_is_of_its_argument_only() {
    for argument in 0..6 {
        let set = parse(&format!("getppid arg{argument} == 7 log"));
        for other in 0..6 {
            let mut arguments = [0; 6];
            arguments[other] = 7;
            let is_logged = judge(&set, Arch::X86_64, GETPPID, arguments).verdict == Verdict::Log;
            assert_eq!(is_logged, other == argument);
        }
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let set = parse("getppid arg0 > 1 arg0 < 4 arg5 & 1 == 1 arg0 != 2 log");
    for (first, last, want) in [
        (1, 1, false),
        (2, 1, false),
        (3, 1, true),
        (3, 2, false),
        (4, 1, false),
    ] {
        let judgement = judge(&set, Arch::X86_64, GETPPID, [first, 0, 0, 0, 0, last]);
        assert_eq!(judgement.verdict == Verdict::Log, want, "{first} {last}");
    }
}

#[test]
fn where_no_condition_holds_the_other_rules_decide() {
    for (text, held, otherwise) in [
        ("getppid arg0 == 1 log", Verdict::Log, Verdict::Allow),
        (
            "getppid arg0 == 1 log\ndefault trap",
            Verdict::Log,
            Verdict::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ndefault trap",
            Verdict::Allow,
            Verdict::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ndefault arch x86_64 trap",
            Verdict::Allow,
            Verdict::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ngetppid trap",
            Verdict::Trap(0),
            Verdict::Trap(0),
        ),
        (
            "getppid trap\ngetppid arg0 == 1 allow",
            Verdict::Trap(0),
            Verdict::Trap(0),
        ),
        (
            "getppid arg0 == 1 trap\ngetppid log",
            Verdict::Trap(0),
            Verdict::Log,
        ),
        (
            "getppid allow\ngetppid arg0 == 1 trap\ndefault log",
            Verdict::Trap(0),
            Verdict::Allow,
        ),
        (
            "getppid arg0 == 1 log\ngetppid arg0 != 1 trap",
            Verdict::Log,
            Verdict::Trap(0),
        ),
        (
            "getppid arg0 == 1 log\ngetppid arg0 >= 1 trap",
            Verdict::Trap(0),
            Verdict::Allow,
        ),
        (
            "getppid arg0 < 2 log\ngetppid arg0 == 1 trap",
            Verdict::Trap(0),
            Verdict::Log,
        ),
        (
            "getppid allow when 2\ndefault trap",
            Verdict::Trap(0),
            Verdict::Trap(0),
        ),
        (
            "getppid allow when 1\ndefault trap",
            Verdict::Allow,
            Verdict::Allow,
        ),
    ] {
        let set = parse(text);
        for (argument, want) in [(1, held), (0, otherwise)] {
            let judgement = judge(&set, Arch::X86_64, GETPPID, [argument, 0, 0, 0, 0, 0]);
            assert_eq!(judgement.verdict, want, "{text}: {argument}");
        }
        assert_eq!(
            judge(&set, Arch::X86_64, GETPID, [1; 6]).verdict,
            verdict(text, GETPID)
        );
    }
}

/// Which of the first calls of getppid a policy logs.
fn logged(text: &str, calls: u64) -> Vec<u64> {
    let set = parse(text);
    let caller = Caller::new(&set);
    (1..=calls)
        .filter(|_| set.judge(Arch::X86_64, GETPPID, &caller).verdict == Verdict::Log)
        .collect()
}

#[test]
fn calls_are_counted_from_one() {
    for (when, want) in [
        ("1", &[1][..]),
        ("3", &[3]),
        ("1+", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("3+", &[3, 4, 5, 6, 7, 8, 9]),
        ("8+1", &[8, 9]),
        ("1+2", &[1, 3, 5, 7, 9]),
        ("2+2", &[2, 4, 6, 8]),
        ("3+2", &[3, 5, 7, 9]),
        ("5+3", &[5, 8]),
        ("9+9", &[9]),
        ("0x2+0x4", &[2, 6]),
        ("10", &[]),
        ("65535+65535", &[]),
    ] {
        assert_eq!(
            logged(&format!("getppid log when {when}"), 9),
            want,
            "{when}"
        );
    }
}

#[test]
fn counts_go_beyond_32_bits() {
    let beyond = 1 << 32;
    for (when, count, want) in [
        ("65535", 65535, true),
        ("65535", beyond + 65535, false),
        ("65535+", beyond, true),
        ("1+65535", beyond, true),
        ("1+65535", beyond + 1, false),
        ("1", beyond + 1, false),
        ("1+2", u64::MAX, true),
        ("2+2", u64::MAX, false),
    ] {
        let set = parse(&format!("getppid log when {when}"));
        let caller = Caller::new(&set);
        caller.counts.borrow_mut()[0] = count - 1;
        let verdict = set.judge(Arch::X86_64, GETPPID, &caller).verdict;
        assert_eq!(verdict == Verdict::Log, want, "{when}: {count}");
    }
}

#[test]
fn a_rule_counts_what_its_conditions_hold_for() {
    let set = parse("getppid arg0 == 1 log when 2\ngetppid arg0 <= 1 trap when 4+");
    let mut caller = Caller::new(&set);
    let mut verdicts = Vec::new();
    for argument in [1, 2, 0, 2, 1, 1, 0, 2] {
        caller.arguments[0] = argument;
        verdicts.push(set.judge(Arch::X86_64, GETPPID, &caller).verdict);
    }
    let (allow, log, trap) = (Verdict::Allow, Verdict::Log, Verdict::Trap(0));
    assert_eq!(
        verdicts,
        [allow, allow, allow, allow, log, trap, trap, allow]
    );
    assert_eq!(*caller.counts.borrow(), [3, 5]);
}

#[test]
fn a_rule_counts_even_where_a_stricter_one_decides() {
    for text in [
        "getppid log when 3+\ngetppid trap when 1+2",
        "getppid trap when 1+2\ngetppid log when 3+",
    ] {
        assert_eq!(logged(text, 6), [4, 6]);
    }
    let set = parse("getppid log when 1\ngetppid trap");
    let caller = Caller::new(&set);
    set.judge(Arch::X86_64, GETPPID, &caller);
    assert_eq!(*caller.counts.borrow(), [1]);
}

#[test]
fn a_rule_counts_the_calls_of_every_architecture() {
    let set = parse("getppid log when 3\ngetppid arch i386 trap when 2");
    let caller = Caller::new(&set);
    let verdicts = [
        (Arch::X86_64, 110),
        (Arch::X32, 110),
        (Arch::I386, 64),
        (Arch::X32, 110),
        (Arch::I386, 64),
    ];
    let verdicts = verdicts.map(|(arch, nr)| set.judge(arch, nr, &caller).verdict);
    let (allow, log, trap) = (Verdict::Allow, Verdict::Log, Verdict::Trap(0));
    assert_eq!(verdicts, [allow, allow, log, allow, trap]);
    assert_eq!(*caller.counts.borrow(), [5, 2]);
}

/// What the engine asked for: arguments, and counters.
#[derive(Default)]
struct Asked(RefCell<BTreeSet<u8>>, RefCell<Vec<usize>>);

impl Call for Asked {
    fn argument(&self, index: u8) -> u64 {
        self.0.borrow_mut().insert(index);
        0
    }

    fn count(&self, counter: usize) -> u64 {
        self.1.borrow_mut().push(counter);
        1
    }
}

#[test]
fn only_what_conditions_look_at_is_asked_for() {
    let set = parse(
        "default log\nread trap\nwrite arg1 == 0 arg2 == 0 log\nwrite arg5 == 0 trap\n
         open log when 1\nclose arg0 == 0 log when 1\nclose arg3 == 1 log when 2",
    );
    for (nr, arguments, counters) in [
        (0, &[][..], &[][..]),
        (1, &[1, 2, 5], &[]),
        (2, &[], &[0]),
        (3, &[0, 3], &[1]),
        (4, &[], &[]),
    ] {
        let asked = Asked::default();
        set.judge(Arch::X86_64, nr, &asked);
        assert!(asked.0.into_inner().iter().eq(arguments), "{nr}");
        assert_eq!(asked.1.into_inner(), counters, "{nr}");
    }
}

#[test]
fn what_needs_no_counting_is_known_without_judging() {
    let set = parse(
        "default arch i386 trap\nread allow\nwrite allow\nwrite arg0 == 1 log\nopen log\n
         close allow when 2\nmmap arg0 == 2 allow when 2\npoll log\npoll arg0 == 1 allow",
    );
    for (arch, nr, argument, allowed, decided) in [
        (Arch::X86_64, 0, 0, Some(2), None),
        (Arch::X86_64, 1, 0, Some(3), None),
        (Arch::X86_64, 1, 1, None, None),
        (Arch::X86_64, 2, 0, None, Some((5, Verdict::Log))),
        (Arch::X86_64, 3, 0, None, None),
        (Arch::X86_64, 9, 1, Some(0), None),
        (Arch::X86_64, 9, 2, None, None),
        (Arch::X86_64, 7, 0, None, None),
        (Arch::X86_64, 7, 1, None, None),
        (Arch::X86_64, GETPID, 0, Some(0), None),
        (Arch::X86_64, 219, 0, None, None),
        (Arch::X86_64, -1, 0, None, None),
        (Arch::X86_64, 560, 0, None, None),
        (Arch::I386, 3, 0, Some(2), None),
        (Arch::I386, 5, 0, None, Some((5, Verdict::Log))),
        (Arch::I386, 20, 0, None, None),
    ] {
        let mut caller = Caller::new(&set);
        caller.arguments[0] = argument;
        let got = set.line_that_allows(arch, nr, &caller);
        assert_eq!(got, allowed, "{arch:?} {nr} {argument}");
        assert_eq!(set.rule_that_decides(arch, nr), decided, "{arch:?} {nr}");
        assert_eq!(*caller.counts.borrow(), [0, 0]);
    }
}
