// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for: by their arguments, and by how many there were.

use super::{action, judge, parse, GETPID, GETPPID};
use crate::{
    check::Caller,
    rules::{Abi, Action, Call, Judgement, Report, RuleSet},
};
use std::{cell::RefCell, collections::BTreeSet};

const MAX: u64 = u64::MAX;

/// Whether a condition holds for the first argument.
fn holds(condition: &str, argument: u64) -> bool {
    let set = parse(&format!("getppid arg0 {condition} log"));
    judge(&set, Abi::X86_64, GETPPID, [argument, 0, 0, 0, 0, 0]).action == Action::Log
}

#[test]
fn comparisons_of_whole_registers_are_of_64_bits_without_a_sign() {
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
                // What never holds is a mistake.
                if (operator, value) == ("<", 0) || (operator, value) == (">", MAX) {
                    continue;
                }
                for value in [
                    format!("{value}"),
                    format!("{value:#x}"),
                    format!("0{value:o}"),
                ] {
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
        ("& 0x7e020000 != 0", 0, false),
        ("& 0x7e020000 != 0", 0x20000, true),
        ("& 0x7e020000 != 0", !0x7e020000, false),
        ("& 0xf0 != 0x10", 0x11f, false),
        ("& 0xf0 != 0x10", 0x12f, true),
        ("& 0xf0 < 0x20", 0xf1f, true),
        ("& 0xf0 < 0x20", 0x20, false),
        ("& 0xf0 <= 0x25", 0x2f, true),
        ("& 0xf0 <= 0x25", 0x30, false),
        ("& 0xf0 > 0x20", 0x2f, false),
        ("& 0xf0 > 0x20", 0x30, true),
        ("& 0xf0 >= 0x20", 0x2f, true),
        ("& 0xf0 >= 0x20", 0x1f, false),
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
            let is_logged = judge(&set, Abi::X86_64, GETPPID, arguments).action == Action::Log;
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
        let judgement = judge(&set, Abi::X86_64, GETPPID, [first, 0, 0, 0, 0, last]);
        assert_eq!(judgement.action == Action::Log, want, "{first} {last}");
    }
}

#[test]
fn where_no_condition_holds_the_other_rules_decide() {
    for (text, held, otherwise) in [
        ("getppid arg0 == 1 log", Action::Log, Action::Allow),
        (
            "getppid arg0 == 1 log\ndefault trap",
            Action::Log,
            Action::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ndefault trap",
            Action::Allow,
            Action::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ndefault arch x86_64 trap",
            Action::Allow,
            Action::Trap(0),
        ),
        (
            "getppid arg0 == 1 allow\ngetppid trap",
            Action::Trap(0),
            Action::Trap(0),
        ),
        (
            "getppid trap\ngetppid arg0 == 1 allow",
            Action::Trap(0),
            Action::Trap(0),
        ),
        (
            "getppid arg0 == 1 trap\ngetppid log",
            Action::Trap(0),
            Action::Log,
        ),
        (
            "getppid allow\ngetppid arg0 == 1 trap\ndefault log",
            Action::Trap(0),
            Action::Allow,
        ),
        (
            "getppid arg0 == 1 log\ngetppid arg0 != 1 trap",
            Action::Log,
            Action::Trap(0),
        ),
        (
            "getppid arg0 == 1 log\ngetppid arg0 >= 1 trap",
            Action::Trap(0),
            Action::Allow,
        ),
        (
            "getppid arg0 < 2 log\ngetppid arg0 == 1 trap",
            Action::Trap(0),
            Action::Log,
        ),
        (
            "getppid allow when 2\ndefault trap",
            Action::Trap(0),
            Action::Trap(0),
        ),
        (
            "getppid allow when 1\ndefault trap",
            Action::Allow,
            Action::Allow,
        ),
    ] {
        let set = parse(text);
        for (argument, want) in [(1, held), (0, otherwise)] {
            let judgement = judge(&set, Abi::X86_64, GETPPID, [argument, 0, 0, 0, 0, 0]);
            assert_eq!(judgement.action, want, "{text}: {argument}");
        }
        assert_eq!(
            judge(&set, Abi::X86_64, GETPID, [1; 6]).action,
            action(text, GETPID)
        );
    }
}

/// Which of the first calls of getppid a policy logs.
fn logged(text: &str, calls: u64) -> Vec<u64> {
    let set = parse(text);
    let caller = Caller::new(&set);
    (1..=calls)
        .filter(|_| caller.judge(&set, Abi::X86_64, GETPPID).action == Action::Log)
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
        ("3..5", &[3, 4, 5]),
        ("3..3", &[3]),
        ("8..100", &[8, 9]),
        ("2..8+3", &[2, 5, 8]),
        ("2..7+3", &[2, 5]),
        ("1..65535+65535", &[1]),
        ("010", &[8]),
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
        let action = caller.judge(&set, Abi::X86_64, GETPPID).action;
        assert_eq!(action == Action::Log, want, "{when}: {count}");
    }
}

#[test]
fn a_share_of_the_calls_is_hit_by_chance() {
    for percent in [1, 10, 50, 99] {
        for seed in ["", " seed 0", " seed 7", " seed 4294967295"] {
            let hit = logged(&format!("getppid log when {percent}%{seed}"), 10_000).len();
            let want = percent * 100;
            assert!(hit.abs_diff(want) < 250, "{percent}%{seed}: {hit}");
        }
    }
    assert_eq!(logged("getppid log when 100%", 100).len(), 100);
}

#[test]
fn a_seed_says_which_calls_are_hit() {
    let hit = |text| logged(text, 1000);
    let seven = hit("getppid log when 10% seed 7");
    assert_eq!(hit("# another line\ngetppid log when 10% seed 07"), seven);
    assert_ne!(hit("getppid log when 10% seed 8"), seven);
    // More include those.
    let more = hit("getppid log when 20% seed 7");
    assert!(seven.iter().all(|call| more.contains(call)));
}

#[test]
fn without_a_seed_others_are_hit_each_time() {
    let hit = |random, line: usize| {
        let text = "getppid log when 10%\ngetpid log when 10%";
        let set = RuleSet::parse(text.as_bytes(), random, &mut Report::new()).unwrap();
        let caller = Caller::new(&set);
        let hit = (0..1000).map(|_| {
            caller
                .judge(&set, Abi::X86_64, [GETPPID, GETPID][line])
                .action
        });
        hit.collect::<Vec<_>>()
    };
    assert_eq!(hit(1, 0), hit(1, 0));
    assert_ne!(hit(1, 0), hit(2, 0));
    assert_ne!(hit(1, 0), hit(1, 1));
}

#[test]
fn a_rule_counts_what_its_conditions_hold_for() {
    let set = parse("getppid arg0 == 1 log when 2\ngetppid arg0 <= 1 trap when 4+");
    let mut caller = Caller::new(&set);
    let mut actions = Vec::new();
    for argument in [1, 2, 0, 2, 1, 1, 0, 2] {
        caller.arguments[0] = argument;
        actions.push(caller.judge(&set, Abi::X86_64, GETPPID).action);
    }
    let (allow, log, trap) = (Action::Allow, Action::Log, Action::Trap(0));
    assert_eq!(
        actions,
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
    caller.judge(&set, Abi::X86_64, GETPPID);
    assert_eq!(*caller.counts.borrow(), [1]);
}

#[test]
fn a_rule_counts_the_calls_of_every_architecture() {
    let set = parse("getppid log when 3\ngetppid arch i386 trap when 2");
    let caller = Caller::new(&set);
    let actions = [
        (Abi::X86_64, 110),
        (Abi::X32, 110),
        (Abi::I386, 64),
        (Abi::X32, 110),
        (Abi::I386, 64),
    ];
    let actions = actions.map(|(abi, nr)| caller.judge(&set, abi, nr).action);
    let (allow, log, trap) = (Action::Allow, Action::Log, Action::Trap(0));
    assert_eq!(actions, [allow, allow, log, allow, trap]);
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
}

impl Asked {
    fn count(&self, counter: usize) -> Result<u64, ()> {
        self.1.borrow_mut().push(counter);
        Ok(1)
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
        set.judge(Abi::X86_64, nr, &asked, |counter| asked.count(counter))
            .unwrap();
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
    for (abi, nr, argument, allowed, logged) in [
        (Abi::X86_64, 0, 0, Some(2), None),
        (Abi::X86_64, 1, 0, Some(3), None),
        (Abi::X86_64, 1, 1, None, None),
        (Abi::X86_64, 2, 0, None, Some(5)),
        (Abi::X86_64, 3, 0, None, None),
        (Abi::X86_64, 9, 1, Some(0), None),
        (Abi::X86_64, 9, 2, None, None),
        (Abi::X86_64, 7, 0, None, None),
        (Abi::X86_64, 7, 1, None, None),
        (Abi::X86_64, GETPID, 0, Some(0), None),
        (Abi::X86_64, 219, 0, None, None),
        (Abi::X86_64, -1, 0, None, None),
        (Abi::X86_64, 560, 0, None, None),
        (Abi::I386, 3, 0, Some(2), None),
        (Abi::I386, 5, 0, None, Some(5)),
        (Abi::I386, 20, 0, None, None),
    ] {
        let mut caller = Caller::new(&set);
        caller.arguments[0] = argument;
        let got = set.allows(abi, nr, &caller);
        assert_eq!(got, allowed, "{abi:?} {nr} {argument}");
        let got = set.judge_constant(abi, nr);
        let want = logged.map(|line| Judgement {
            action: Action::Log,
            line: Some(line),
        });
        assert_eq!(got, want, "{abi:?} {nr}");
        assert_eq!(*caller.counts.borrow(), [0, 0]);
    }
}

#[test]
fn a_call_that_cannot_be_counted_is_not_judged() {
    let set = parse("read kill_process\nread allow when 2\nwrite errno EPERM");
    let fail = |_| Err(());
    let caller = Caller::new(&set);
    assert_eq!(set.judge(Abi::X86_64, 0, &caller, fail), Err(()));
    assert!(set.judge(Abi::X86_64, 1, &caller, fail).is_ok());
}
