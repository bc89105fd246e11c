// SPDX-License-Identifier: GPL-2.0

//! What is merged against the engine, on rules by chance and by hand.

use super::*;
use crate::{
    effect::effect,
    sim::{judge, Answer, Question},
};
use proptest::{collection::vec, prelude::*, sample::select};

fn merged(one: &str, other: &str) -> Result<String> {
    let canonical = |rules: &str| {
        let text = Text::parse("", rules.as_bytes()).unwrap_or_else(|p| panic!("{p:?}\n{rules}"));
        text.set.to_string()
    };
    merge(("one", &canonical(one)), ("other", &canonical(other)))
}

/// What becomes of a call, as a rule says it.
fn actions(rules: &str, abi: Abi, call: &str, arguments: &[u64]) -> String {
    let text = Text::parse("", rules.as_bytes()).unwrap();
    let words: Vec<String> = arguments.iter().map(u64::to_string).collect();
    let question = Question::new(abi, call, &words, None).unwrap();
    Answer::new("", &text, &question).decisions[0]
        .effect
        .join("; ")
}

#[test]
fn what_one_allows_is_allowed() {
    let one = "default errno EPERM\nread allow\nsocket arg0 == 1 allow";
    let other = "default errno EACCES\nwrite allow\nsocket arg0 == 2 allow\nread errno EIO";
    let rules = merged(one, other).unwrap();
    assert_eq!(
        rules,
        "default errno EPERM\nread allow\nwrite allow\nsocket arg0 == 1 allow\nsocket arg0 == 2 allow\n"
    );
}

#[test]
fn what_both_refuse_is_refused_as_the_first_says() {
    let one = "ptrace errno EIO\nmount errno EIO\nsocket arg0 == 1 errno EIO";
    let other = "ptrace kill_process\nsocket arg1 == 2 errno EPERM";
    let rules = merged(one, other).unwrap();
    assert_eq!(
        rules,
        "default allow\nsocket arg0 == 1 arg1 == 2 errno EIO\nptrace errno EIO\n"
    );
}

#[test]
fn thresholds_stay() {
    let one = "default errno EPERM\ndefault above 450 errno ENOSYS\nread allow";
    let rules = merged(one, "default errno EPERM\nwrite allow").unwrap();
    // The first one's, where there is any call above.
    let rules_of = |call: &str| actions(&rules, Abi::X86_64, call, &[]);
    assert!(rules_of("451").contains("ENOSYS"), "{rules}");
    assert!(rules_of("450").contains("EPERM"), "{rules}");
    assert!(rules.lines().count() < 8, "{rules}");
}

#[test]
fn what_cannot_be_merged_is_refused() {
    for (one, other, why) in [
        (
            "read errno EIO when 3",
            "default errno EPERM",
            "for some calls only",
        ),
        ("read delay 1s", "write errno EIO", "cannot be merged"),
        (
            "default return 0",
            "default errno EPERM",
            "cannot be merged",
        ),
    ] {
        let error = merged(one, other).unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
    // What is the same stays.
    let rules = merged("read delay 1s", "read delay 1s\nwrite errno EIO").unwrap();
    assert_eq!(rules, "default allow\nread delay 1s\n");
}

fn rules() -> impl Strategy<Value = String> {
    let call = select(
        &[
            "read",
            "openat",
            "socketcall",
            "kill",
            "0..5 arch x86_64",
            "1 arch i386",
            "520 arch x32",
            "openat arch i386",
            "470..559 arch x86_64",
        ][..],
    );
    let condition = select(
        &[
            "",
            "",
            " arg0 == 1",
            " arg1 & 0x3 != 0",
            " arg0 < 2",
            " arg0 == 1 arg1 == 2",
        ][..],
    );
    let action = select(
        &[
            "allow",
            "log",
            "errno EIO",
            "errno EPERM",
            "kill_process",
            "audit",
        ][..],
    );
    let line = (call, condition, action).prop_map(|(c, i, a)| format!("{c}{i} {a}"));
    let some = |lines: &'static [&'static str]| prop::option::of(select(lines));
    let more = (
        some(&["default errno EPERM", "default log", "default kill_process"]),
        some(&["default arch i386 errno EIO", "default arch i386 allow"]),
        some(&[
            "default above 300 errno ENOSYS",
            "default above 0 allow",
            "default above 559 log",
        ]),
        some(&["order first"]),
    );
    (vec(line, 0..8), more).prop_map(|(mut lines, (a, b, c, d))| {
        lines.extend([a, b, c, d].into_iter().flatten().map(String::from));
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Made if one would make it, as it is done by the one that does least; refused as the first does.
    #[test]
    fn merging_is_exact(one in rules(), other in rules()) {
        let rules = merged(&one, &other).unwrap();
        let again = Text::parse("", rules.as_bytes()).unwrap();
        let one = Text::parse("", one.as_bytes()).unwrap();
        let other = Text::parse("", other.as_bytes()).unwrap();
        let calls = ["0", "1", "2", "5", "6", "62", "102", "257", "295", "300", "301", "469", "470",
            "520", "559", "560", "1000"];
        for (abi, call) in Abi::ALL.into_iter().flat_map(|abi| calls.map(|call| (abi, call))) {
            for arguments in [[0, 0], [0, 1], [1, 0], [1, 2], [2, 2], [5, 4]] {
                let words: Vec<String> = arguments.iter().map(u64::to_string).collect();
                let question = Question::new(abi, call, &words, None).unwrap();
                let verdict = |text: &Text| {
                    let action = judge(&text.set, &question).action;
                    let effect = effect(&text.set, action, abi, &question.arguments);
                    (action.kind().name(), effect)
                };
                let is_made = |verdict: &str| ["allow", "audit", "log"].contains(&verdict);
                let (a, b, c) = (verdict(&one), verdict(&other), verdict(&again));
                let wanted = match (is_made(a.0), is_made(b.0)) {
                    (true, true) if ["audit", "log"].contains(&a.0) && kind(b.0) < kind(a.0) => &b,
                    (false, true) => &b,
                    _ => &a,
                };
                prop_assert_eq!(&c, wanted, "{} {} {:?}\n{}", abi.name(), call, arguments, rules);
            }
        }
    }
}
