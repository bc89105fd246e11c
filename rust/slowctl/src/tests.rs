// SPDX-License-Identifier: GPL-2.0

//! The simulation against the engine, on rules by chance and by hand.

use crate::{
    error::Kind,
    rules::{Abi, Report, RuleSet},
    sim::{Answer, Caller, Question},
    text::{canonical_line, Text},
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::{cell::RefCell, convert::Infallible};

fn parse(text: &str) -> Text {
    Text::parse("rules", text.as_bytes()).unwrap_or_else(|places| panic!("{places:?} in\n{text}"))
}

fn question(call: &str, arguments: &[u64], nth: Option<u32>) -> Question {
    let words: Vec<String> = arguments.iter().map(u64::to_string).collect();
    Question::new(Abi::X86_64, call, &words, nth).unwrap()
}

/// Where the decisions are, from 1, and 0 for the default that nothing says; and what they do.
fn ask(text: &str, call: &str, arguments: &[u64], nth: Option<u32>) -> Vec<(usize, String)> {
    let answer = Answer::new("rules", &parse(text), &question(call, arguments, nth));
    let decisions = answer.decisions.into_iter();
    decisions
        .map(|d| (d.line.unwrap_or(0), d.effect.join("; ")))
        .collect()
}

#[test]
fn lines_are_those_of_the_file() {
    let text = "# what\n\ndefault arch i386 errno EPERM\n?nosuch errno EIO\n\topenat  errno EIO # a\nread log\ndefault errno EACCES\n";
    assert_eq!(ask(text, "openat", &[], None)[0].0, 5);
    assert_eq!(ask(text, "read", &[], None)[0].0, 6);
    assert_eq!(ask(text, "write", &[], None)[0].0, 7);
    assert_eq!(ask("read log", "write", &[], None)[0].0, 0);
}

#[test]
fn effects_are_in_words() {
    let said = |rule: &str| ask(rule, "openat", &[1, 2, 3], None)[0].1.clone();
    assert_eq!(
        said("openat errno EIO"),
        "it is not made, and fails with EIO"
    );
    assert_eq!(
        said("openat errno 4000"),
        "it is not made, and fails with 4000"
    );
    assert_eq!(said("openat delay 20ms"), "it waits 20ms; it is made");
    assert_eq!(
        said("openat after delay 1500us"),
        "it is made; it returns 1500us later"
    );
    assert_eq!(
        said("openat set arg2 | 0x80000 set arg2 & 0xffff0"),
        "arg2 becomes 0x80003; arg2 becomes 0x80000; it is made"
    );
    assert_eq!(
        said("openat redirect openat2"),
        "it becomes openat2; it is made"
    );
    assert_eq!(
        said("openat signal SIGUSR1 return -1"),
        "the thread gets SIGUSR1; it is not made, and returns -1"
    );
}

#[test]
fn when_is_chosen_by_number() {
    let text = "read errno EIO when 3+2\n";
    let lines: Vec<usize> = (1..=6)
        .map(|n| ask(text, "read", &[], Some(n))[0].0)
        .collect();
    assert_eq!(lines, [0, 0, 1, 0, 1, 0]);
    let lines = ask(text, "read", &[], None);
    assert_eq!(lines.iter().map(|d| d.0).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn chance_is_left_open() {
    let text = "read errno EIO when 10%\nread log when 100%\n";
    let lines = |nth| {
        ask(text, "read", &[], nth)
            .iter()
            .map(|d| d.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(Some(1)), [1, 2]);
    // The first of these is certain, but which of all calls it is has not been said.
    assert_eq!(lines(None), [1, 2, 0]);
}

#[test]
fn arguments_are_numbers() {
    let parse = |word: &str| {
        Question::new(Abi::X86_64, "read", &[word.into()], None).map(|q| q.arguments[0])
    };
    assert_eq!(parse("-100").unwrap(), -100i64 as u64);
    assert_eq!(parse("0x10").unwrap(), 16);
    assert_eq!(parse("010").unwrap(), 8);
    assert_eq!(parse("18446744073709551615").unwrap(), u64::MAX);
    for junk in [
        "",
        "-",
        "+1",
        "0x",
        "--1",
        "18446744073709551616",
        "1 ",
        "-0x8000000000000001",
    ] {
        assert_eq!(parse(junk).unwrap_err().kind, Kind::Usage, "{junk}");
    }
    let of_i386 = Question::new(Abi::I386, "read", &["-1".into()], None).unwrap();
    assert_eq!(of_i386.arguments[0], 0xffff_ffff);
}

#[test]
fn calls_are_names_or_numbers() {
    let number = |call: &str, abi| Question::new(abi, call, &[], None).map(|q| q.number);
    assert_eq!(number("socketcall", Abi::I386).unwrap(), 102);
    assert_eq!(number("1000", Abi::X86_64).unwrap(), 1000);
    let error = number("socketcall", Abi::X86_64).unwrap_err();
    assert!(error.help.unwrap().contains("--arch i386"));
    assert!(number("junk", Abi::X86_64).is_err());
}

/// Lines that are rules, or not, with room between the words.
fn line() -> impl Strategy<Value = String> {
    let call = select(
        &[
            "read",
            "write",
            "openat",
            "kill",
            "0..3 arch x86_64",
            "?nosuch",
            "1 arch i386",
        ][..],
    );
    let condition = select(&["", " arg0 == 1", " arg1 & 0x3 != 0", " arg0 < 2"][..]);
    let action = select(
        &[
            "allow",
            "log",
            "errno EIO",
            "return 0",
            "delay 1ms",
            "after errno EIO",
            "trap",
        ][..],
    );
    let when = select(
        &[
            "",
            " when 3+2",
            " when 2",
            " when 2..4",
            " when 50% seed 7",
            " when 30%",
        ][..],
    );
    let rule = (call, condition, action, when)
        .prop_map(|(call, condition, action, when)| format!("{call}{condition} {action}{when}"));
    prop_oneof![
        8 => rule,
        1 => select(&["", "# default log", "   ", "\t# x"][..]).prop_map(String::from),
    ]
}

/// Texts that make sense, with defaults and an order anywhere.
fn text() -> impl Strategy<Value = String> {
    let some = |line: &'static str| prop::option::of((Just(line), any::<prop::sample::Index>()));
    let more = (
        some("default errno EPERM"),
        some("default arch i386 log"),
        some("default above 300 errno ENOSYS"),
        some("order first"),
    );
    (vec(line(), 0..12), more).prop_map(|(mut lines, (a, b, c, d))| {
        for (line, at) in [a, b, c, d].into_iter().flatten() {
            lines.insert(at.index(lines.len() + 1), line.into());
        }
        lines.join("\n")
    })
}

/// The lines by which the engine judges the first calls of this kind.
fn judged(set: &RuleSet, question: &Question, calls: usize) -> Vec<Option<usize>> {
    let caller = Caller {
        arguments: question.arguments,
        counts: RefCell::new(vec![0; set.nr_counters()]),
    };
    let count = |counter: usize| {
        let count = &mut caller.counts.borrow_mut()[counter];
        *count += 1;
        Ok::<u64, Infallible>(*count)
    };
    let judge = |_| {
        let judged = set.judge(question.abi, question.number, &caller, count);
        judged.unwrap_or_else(|never| match never {}).line
    };
    (0..calls).map(judge).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each line that can decide comes from the line that says the same.
    #[test]
    fn origins_say_the_same(text in text()) {
        let parsed = parse(&text);
        let lines: Vec<&str> = text.split('\n').collect();
        for line in 0..parsed.set.nr_lines() {
            let canonical = canonical_line(&parsed.set, line);
            match parsed.origin(line) {
                Some(origin) => {
                    let alone = parse(lines[origin]);
                    prop_assert_eq!(canonical_line(&alone.set, alone.set.nr_lines() - 1), canonical);
                }
                None => prop_assert_eq!(canonical, "default allow"),
            }
        }
        let rules: Vec<usize> = parsed.rule_lines().collect();
        prop_assert!(rules.windows(2).all(|two| two[0] < two[1]));
    }

    /// Which line decides is one of those that are said to; which one of such calls it is decides
    /// which, where no chance is left.
    #[test]
    fn simulation_agrees_with_the_engine(
        text in text(),
        call in select(&["read", "write", "openat", "kill", "close", "301", "restart_syscall"][..]),
        abi in select(&Abi::ALL[..]),
        arguments in [0..3u64, 0..4u64],
        random in any::<u64>(),
    ) {
        let parsed = parse(&text);
        let words: Vec<String> = arguments.iter().map(u64::to_string).collect();
        let question = |nth| Question::new(abi, call, &words, nth).unwrap();
        // The kernel's own choice of chances.
        let kernels = RuleSet::parse(text.as_bytes(), random, &mut Report::new()).unwrap();
        let all = Answer::new("", &parsed, &question(None)).decisions;
        prop_assert!(all.last().unwrap().when.is_none());
        for (n, line) in judged(&kernels, &question(None), 12).into_iter().enumerate() {
            let rule = line.map(|line| canonical_line(&kernels, line));
            let origin = line.and_then(|line| parsed.origin(line)).map(|origin| origin + 1);
            let is_it = |d: &crate::sim::Decision| d.rule == rule && d.line == origin;
            prop_assert!(all.iter().any(is_it), "{rule:?} is none of {all:?}");
            let nth = Answer::new("", &parsed, &question(Some(n as u32 + 1))).decisions;
            if !text.contains("30%") {
                prop_assert_eq!(nth.len(), 1);
                prop_assert!(is_it(&nth[0]), "{:?} is not {:?}", rule, nth);
            }
        }
    }

    /// Whatever is asked, and of whatever text, there is an answer.
    #[test]
    fn junk_has_an_answer(text in "[ -~\n\t]{0,80}", call in "[ -~]{0,12}", words in vec("[ -~]{0,8}", 0..8)) {
        let parsed = Text::parse("rules", text.as_bytes());
        let question = Question::new(Abi::X86_64, &call, &words, Some(3));
        if let (Ok(parsed), Ok(question)) = (parsed, question) {
            prop_assert!(!Answer::new("", &parsed, &question).decisions.is_empty());
        }
    }
}
