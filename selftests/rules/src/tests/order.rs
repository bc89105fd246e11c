// SPDX-License-Identifier: GPL-2.0

//! Which of several rules decides, where the order is what the policy says.

use super::{judge, parse, GETPID, GETPPID};
use crate::{
    check::Caller,
    rules::{Abi, Action},
};

/// What becomes of getppid with this argument.
fn action(text: &str, argument: u64) -> Action {
    judge(&parse(text), Abi::X86_64, GETPPID, [argument; 6]).action
}

#[test]
fn the_first_rule_that_holds_decides() {
    let (allow, log, trap) = (Action::Allow, Action::Log, Action::Trap(0));
    for (text, holding, otherwise) in [
        // An exception from what follows.
        ("getppid arg0 == 1 allow\ngetppid trap", allow, trap),
        ("getppid arg0 == 1 log\ngetppid arg1 <= 1 trap", log, trap),
        ("getppid log\ngetppid trap", log, log),
        ("getppid trap\ngetppid log", trap, trap),
        // What comes too late.
        ("getppid allow\ngetppid arg0 == 1 trap", allow, allow),
        (
            "getppid arg0 == 1 log\ngetppid allow\ngetppid arg1 == 0 trap",
            log,
            allow,
        ),
        ("getppid arg0 == 1 log\ngetppid arg0 == 1 trap", log, allow),
        ("getppid arg0 == 1 log\ndefault trap", log, trap),
        ("default trap\ngetppid arg0 == 1 allow when 1", allow, trap),
        ("getppid arg0 == 1 allow when 2\ngetppid log", log, log),
        (
            "getppid arg0 == 1 arg1 == 1 allow\n100..200 trap",
            allow,
            trap,
        ),
        ("100..200 log\ngetppid arg0 == 1 trap", log, log),
        ("100..200 arg0 == 1 log\ngetppid trap", log, trap),
    ] {
        for text in [
            format!("order first\n{text}"),
            format!("{text}\norder first"),
        ] {
            assert_eq!(action(&text, 1), holding, "{text}");
            assert_eq!(action(&text, 0), otherwise, "{text}");
        }
    }
}

#[test]
fn rules_that_are_not_asked_do_not_count() {
    let text = "getppid arg0 == 1 log when 2\ngetppid arg0 <= 1 errno EIO when 1+\n\
                getppid arg0 == 0 trap when 1+\ngetpid log when 1+";
    for (order, want) in [("order first\n", [2, 2, 0, 1]), ("", [2, 3, 1, 1])] {
        let set = parse(&format!("{order}{text}"));
        let mut caller = Caller::new(&set);
        for argument in [1, 1, 0, 2] {
            caller.arguments[0] = argument;
            caller.judge(&set, Abi::X86_64, GETPPID);
        }
        caller.judge(&set, Abi::X86_64, GETPID);
        assert_eq!(*caller.counts.borrow(), want);
    }
}

#[test]
fn what_needs_no_counting_is_known_without_judging() {
    let set = parse(
        "order first\nread arg0 == 1 trap\nread allow\nread arg1 == 1 trap\n\
         write allow\nwrite arg0 == 1 trap\nopen trap\nopen allow",
    );
    for (nr, argument, allowed, constant) in [
        (0, 0, Some(2), false),
        (0, 1, None, false),
        (1, 1, Some(4), false),
        (2, 1, None, true),
    ] {
        let mut caller = Caller::new(&set);
        caller.arguments[0] = argument;
        assert_eq!(
            set.allows(Abi::X86_64, nr, &caller),
            allowed,
            "{nr} {argument}"
        );
        let is_constant = set.judge_constant(Abi::X86_64, nr).is_some();
        assert_eq!(is_constant, constant, "{nr} {argument}");
    }
}
