// SPDX-License-Identifier: GPL-2.0

use crate::rules::{Judgement, ParseError, RuleSet, Verdict};
use proptest::prelude::*;

const GETPID: i32 = 39;
const GETPPID: i32 = 110;
const OPENAT: i32 = 257;
const UNJUDGED: [i32; 3] = [219, 335, 336];

fn parse(text: &str) -> RuleSet {
    RuleSet::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e:?}"))
}

/// The line, the column and the reason for which a text is refused.
fn error(text: &[u8]) -> (u32, u32, &'static str) {
    match RuleSet::parse(text) {
        Err(ParseError::Syntax {
            line,
            column,
            reason,
        }) => (line, column, reason),
        Err(e) => panic!("{e:?}"),
        Ok(set) => panic!("accepted as {set}"),
    }
}

fn verdict(text: &str, nr: i32) -> Verdict {
    parse(text).judge(nr).verdict
}

#[test]
fn nothing_allows_everything() {
    let set = parse("");
    assert_eq!(set.to_string(), "default allow\n");
    for nr in [-1, 0, GETPPID, 511, 512, i32::MAX, i32::MIN] {
        assert_eq!(
            set.judge(nr),
            Judgement {
                verdict: Verdict::Allow,
                line: Some(0)
            }
        );
    }
}

#[test]
fn each_verdict() {
    assert_eq!(verdict("getppid allow", GETPPID), Verdict::Allow);
    assert_eq!(verdict("getppid log", GETPPID), Verdict::Log);
    assert_eq!(verdict("getppid return 7", GETPPID), Verdict::Return(7));
    assert_eq!(verdict("getppid errno EPERM", GETPPID), Verdict::Errno(1));
}

#[test]
fn a_rule_is_for_its_syscall_only() {
    let set = parse("getppid errno EPERM");
    assert_eq!(set.judge(GETPPID - 1).verdict, Verdict::Allow);
    assert_eq!(set.judge(GETPPID + 1).verdict, Verdict::Allow);
    assert_eq!(set.judge(GETPPID | 1 << 30).verdict, Verdict::Allow);
    assert_eq!(set.judge(GETPPID - 512).verdict, Verdict::Allow);
}

#[test]
fn default_is_for_the_rest() {
    let set = parse("getppid allow\ndefault errno 38");
    assert_eq!(set.judge(GETPPID).verdict, Verdict::Allow);
    assert_eq!(set.judge(GETPID).verdict, Verdict::Errno(38));
    assert_eq!(set.judge(100_000).verdict, Verdict::Errno(38));
    assert_eq!(set.judge_by_default().verdict, Verdict::Errno(38));
}

#[test]
fn some_are_never_judged() {
    for nr in UNJUDGED {
        let judgement = parse("default errno EPERM").judge(nr);
        assert_eq!(judgement.verdict, Verdict::Allow);
        assert_eq!(judgement.line, None);
    }
    assert_eq!(error(b"uprobe allow"), (1, 1, "uprobe is never judged"));
    assert_eq!(error(b"\n335 log"), (2, 1, "uretprobe is never judged"));
    assert_eq!(
        error(b"restart_syscall errno EPERM"),
        (1, 1, "restart_syscall is never judged")
    );
    assert_eq!(error(b"219 allow").2, "restart_syscall is never judged");
}

#[test]
fn the_strictest_wins_in_any_order() {
    let lines = [
        "getppid allow",
        "getppid log",
        "getppid return 3",
        "getppid errno EIO",
    ];
    for (i, weaker) in lines.iter().enumerate() {
        for stricter in &lines[i..] {
            let want = verdict(stricter, GETPPID);
            assert_eq!(verdict(&format!("{weaker}\n{stricter}"), GETPPID), want);
            assert_eq!(verdict(&format!("{stricter}\n{weaker}"), GETPPID), want);
        }
    }
}

#[test]
fn the_first_of_equals_wins() {
    let set = parse("getppid errno EIO\ngetppid errno EPERM");
    assert_eq!(set.judge(GETPPID).verdict, Verdict::Errno(5));
    assert_eq!(set.judge(GETPPID).line, Some(1));
}

#[test]
fn a_judgement_names_the_line_that_decided() {
    let set = parse("default log\n\ngetpid allow\ngetppid errno EIO\ngetpid log");
    assert_eq!(set.judge(OPENAT).line, Some(0));
    assert_eq!(set.judge(GETPPID).line, Some(2));
    assert_eq!(set.judge(GETPID).line, Some(3));
    assert_eq!(set.nr_lines(), 4);
}

#[test]
fn numbers_and_names_are_the_same() {
    assert_eq!(
        parse("110 errno 1").to_string(),
        parse("getppid errno EPERM").to_string()
    );
    assert_eq!(
        parse("0x6e allow").to_string(),
        "default allow\ngetppid allow\n"
    );
    assert_eq!(parse("511 allow").to_string(), "default allow\n511 allow\n");
    assert_eq!(
        parse("getppid errno 4095").judge(GETPPID).verdict,
        Verdict::Errno(4095)
    );
    assert_eq!(
        parse("getppid errno EWOULDBLOCK").to_string(),
        "default allow\ngetppid errno EAGAIN\n"
    );
}

#[test]
fn values() {
    for (text, value) in [
        ("0", 0),
        ("-1", -1),
        ("0x7fffffffffffffff", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("-0x10", -16),
    ] {
        assert_eq!(
            verdict(&format!("getppid return {text}"), GETPPID),
            Verdict::Return(value)
        );
    }
}

#[test]
fn comments_and_space() {
    let text = "# a policy\n\n \t getppid \t errno  EPERM # why\r\n#getpid log\ndefault allow";
    assert_eq!(
        parse(text).to_string(),
        "default allow\ngetppid errno EPERM\n"
    );
}

#[test]
fn errors_name_line_and_column() {
    assert_eq!(error(b"openat\n"), (1, 7, "a verdict is missing"));
    assert_eq!(error(b"\n  opennat allow"), (2, 3, "not a syscall"));
    assert_eq!(error(b"openat  alow"), (1, 9, "not a verdict"));
    assert_eq!(error(b"openat errno"), (1, 13, "an error is missing"));
    assert_eq!(error(b"openat errno EFOO"), (1, 14, "not an error"));
    assert_eq!(error(b"openat return"), (1, 14, "a value is missing"));
    assert_eq!(error(b"openat return 1x"), (1, 15, "not a value"));
    assert_eq!(
        error(b"openat allow log"),
        (1, 14, "nothing more is expected here")
    );
    assert_eq!(
        error(b"default log\ndefault log"),
        (2, 1, "there is a default already")
    );
    assert_eq!(
        error(b"getppid allow\nget\xffpid allow"),
        (2, 4, "not text")
    );
    assert_eq!(error(b"default"), (1, 8, "a verdict is missing"));
}

#[test]
fn values_out_of_range() {
    for errno in [
        "0", "4096", "-1", "65537", "512", "513", "514", "516", "+1", "0x", "1_0",
    ] {
        assert_eq!(
            error(format!("getppid errno {errno}").as_bytes()).2,
            "not an error",
            "{errno}"
        );
    }
    for nr in ["512", "-1", "65536", "99999999999999999999", "0x", "+1"] {
        assert_eq!(
            error(format!("{nr} allow").as_bytes()).2,
            "not a syscall",
            "{nr}"
        );
    }
    for value in ["-512", "-513", "-514", "-516", "-0x200"] {
        assert_eq!(
            error(format!("getppid return {value}").as_bytes()).2,
            "not a value",
            "{value}"
        );
    }
    assert_eq!(
        verdict("getppid return -515", GETPPID),
        Verdict::Return(-515)
    );
    assert_eq!(verdict("getppid return 512", GETPPID), Verdict::Return(512));
    for value in [
        "9223372036854775808",
        "-9223372036854775809",
        "--1",
        "+1",
        "",
        "0x",
    ] {
        RuleSet::parse(format!("getppid return {value}x").as_bytes())
            .err()
            .expect(value);
    }
}

fn any_verdict() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("allow".to_string()),
        Just("log".to_string()),
        any::<i64>()
            .prop_filter("restarts", |v| !(-516..=-512).contains(v))
            .prop_map(|v| format!("return {v}")),
        (1u16..512).prop_map(|e| format!("errno {e}")),
    ]
}

fn any_syscall() -> impl Strategy<Value = u16> {
    (0u16..512).prop_filter("never judged", |&nr| !UNJUDGED.contains(&i32::from(nr)))
}

fn any_rules() -> impl Strategy<Value = (Option<String>, Vec<(u16, String)>)> {
    (
        prop::option::of(any_verdict()),
        prop::collection::vec((any_syscall(), any_verdict()), 0..40),
    )
}

fn text((default, rules): &(Option<String>, Vec<(u16, String)>)) -> String {
    let mut text: String = rules.iter().map(|(nr, v)| format!("{nr} {v}\n")).collect();
    if let Some(default) = default {
        text += &format!("default {default}\n");
    }
    text
}

/// What the documentation says, as plainly as it can be written.
fn reference((default, rules): &(Option<String>, Vec<(u16, String)>), nr: i32) -> String {
    if UNJUDGED.contains(&nr) {
        return "allow".into();
    }
    let mut best: Option<&String> = None;
    for order in ["errno", "return", "log", "allow"] {
        best = best.or_else(|| {
            rules
                .iter()
                .find(|(n, v)| i32::from(*n) == nr && v.starts_with(order))
                .map(|r| &r.1)
        });
    }
    best.or(default.as_ref()).cloned().unwrap_or("allow".into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000)
    ))]

    #[test]
    fn the_engine_does_what_the_reference_does(rules in any_rules(), nr in -2i32..600) {
        let want = verdict(&format!("getppid {}", reference(&rules, nr)), GETPPID);
        prop_assert_eq!(parse(&text(&rules)).judge(nr).verdict, want);
    }

    #[test]
    fn the_canonical_text_is_the_same_policy(rules in any_rules()) {
        let set = parse(&text(&rules));
        let again = parse(&set.to_string());
        prop_assert_eq!(set.to_string(), again.to_string());
        for nr in 0..512 {
            prop_assert_eq!(set.judge(nr), again.judge(nr));
        }
    }

    #[test]
    fn no_input_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = RuleSet::parse(&text);
    }

    #[test]
    fn no_text_of_rule_words_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "default", "getppid", "219", "errno", "return", "allow", "log", "-1", "EPERM",
                "0x", "#", "\n", "\t", "\u{fc}", "99999999999999999999",
            ]),
            0..40,
        )
    ) {
        let text = words.join(" ");
        if let Ok(set) = RuleSet::parse(text.as_bytes()) {
            prop_assert_eq!(parse(&set.to_string()).to_string(), set.to_string());
        }
    }
}
