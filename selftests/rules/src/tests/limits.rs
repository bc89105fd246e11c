// SPDX-License-Identifier: GPL-2.0

//! How much a policy may have, and how much memory that takes.

use super::{names::SYSCALLS, parse, reference::is_judged, refused};
use crate::rules::{ParseError, Remark, MAX_COUNTERS, MAX_LINE, MAX_RULES, MAX_TEXT};

/// The line, the column and the reason for which a text is too big.
fn too_big(text: &str) -> (usize, usize, &'static str) {
    let (error, remarks) = refused(text.as_bytes());
    assert_eq!(error, ParseError::TooBig);
    let Remark {
        line,
        column,
        reason,
    } = remarks[0];
    (line as usize, column as usize, reason)
}

#[test]
fn a_policy_has_so_many_rules_and_no_more() {
    for rule in [
        "getppid log\n",
        "getppid arg0 == 1 log\n",
        "openat arch i386 trap\n",
    ] {
        let defaults = "default log\n\ndefault arch i386 log # x\n";
        let full = format!("{defaults}{}", rule.repeat(MAX_RULES));
        let set = parse(&full);
        assert_eq!(set.nr_lines(), MAX_RULES + 2);
        assert_eq!(parse(&set.to_string()).to_string(), set.to_string());
        parse(&format!("{full}default arch x32 log\n# x\n"));
        let want = (MAX_RULES + 4, 2, "too many rules");
        assert_eq!(too_big(&format!("{full} {rule}")), want);
    }
}

#[test]
fn the_last_of_many_rules_decides() {
    let many = "getppid log\nopenat arg0 != 0 log\n".repeat(MAX_RULES / 2 - 1);
    let set = parse(&format!("{many}getppid trap\nopenat arg0 == 0 trap"));
    for nr in [super::GETPPID, super::OPENAT] {
        let judgement = super::judge(&set, crate::rules::Abi::X86_64, nr, [0; 6]);
        assert_eq!(judgement.action, crate::rules::Action::Trap(0));
    }
}

#[test]
fn so_many_rules_count_and_no_more() {
    let full = "getppid log\ngetppid log when 3\n".repeat(MAX_COUNTERS);
    assert_eq!(parse(&full).nr_counters(), MAX_COUNTERS);
    assert_eq!(
        parse(&format!("{full}openat arg0 == 1 log")).nr_counters(),
        MAX_COUNTERS
    );
    let want = (2 * MAX_COUNTERS + 1, 1, "too many rules with 'when'");
    assert_eq!(too_big(&format!("{full}openat log when 1+")), want);
}

#[test]
fn a_line_is_so_long_and_no_longer() {
    let full = format!("{:<MAX_LINE$}", "getppid trap #");
    for end in ["", "\n", "\nopenat log"] {
        parse(&format!("{full}{end}"));
        let want = (2, MAX_LINE + 1, "the line is too long");
        assert_eq!(too_big(&format!("\n{full} {end}")), want);
        assert_eq!(too_big(&format!("\n{full}\r{end}")), want);
    }
    let wide = format!("#{}", "\u{fc}".repeat(MAX_LINE / 2));
    assert_eq!(too_big(&wide), (1, MAX_LINE + 1, "the line is too long"));
}

#[test]
fn a_text_is_so_long_and_no_longer() {
    let full = format!("{:<255}\n", "#").repeat(MAX_TEXT / 256);
    parse(&full);
    assert_eq!(
        too_big(&format!("{full}\n")),
        (1, 1, "the text is too long")
    );
}

#[test]
fn a_line_whose_canonical_text_cannot_be_read_is_refused() {
    let conditions = " arg0 == 9".repeat(20);
    let text = |value| format!("# x\nread log\n148{conditions} arg1 == {value} log");
    let set = parse(&text("1234567890"));
    assert_eq!(set.to_string().lines().map(str::len).max(), Some(MAX_LINE));
    let want = (3, 1, "the line is too long with names for its numbers");
    assert_eq!(too_big(&text("12345678901")), want);
}

#[test]
fn a_text_whose_canonical_text_cannot_be_read_is_refused() {
    let many = "148 errno 1\n".repeat(1424);
    let set = parse(&format!("{many}read log when 123"));
    assert_eq!(set.to_string().len(), MAX_TEXT);
    let want = (1425, 1, "the text is too long with names for its numbers");
    assert_eq!(too_big(&format!("{many}read log when 1234")), want);
}

/// The names that a rule can name.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    let judged = SYSCALLS
        .iter()
        .filter(|(_, numbers)| (0..3).all(|abi| is_judged(abi, numbers[abi].into())));
    judged.map(|(name, _)| *name)
}

#[test]
fn constant_rules_fit_into_8_kib() {
    // Rules by name, so for each architecture that has it, of as many names as there are; with a
    // default for each architecture, and few actions, for each is stored once.
    for count in [0, 1, 100, 1000] {
        let mut text = String::from("default log\n");
        for abi in ["x86_64", "i386", "x32"] {
            text += &format!("default arch {abi} errno EPERM\n");
        }
        let actions = super::VERDICTS
            .iter()
            .filter(|v| !v.starts_with("redirect"))
            .cycle();
        for (name, action) in names().cycle().zip(actions).take(count) {
            text += &format!("{name} {action}\n");
        }
        let size = parse(&text).size();
        assert!(size <= 8 << 10, "{count} rules: {size} bytes");
    }
}

#[test]
fn a_conditional_rule_takes_64_bytes_at_most() {
    // As above, but each rule has a condition: each of one name, or all of the same. The lists have
    // no room to spare, or the sizes in between would show it.
    let same = std::iter::repeat("getppid");
    for count in (1..=1000).step_by(37).chain([1000]) {
        for names in [
            Vec::from_iter(names().cycle().take(count)),
            same.clone().take(count).collect(),
        ] {
            let line = |name| format!("{name} arg0 == 1 log\n");
            let text: String = names.into_iter().map(line).collect();
            let size = parse(&text).size();
            assert!(
                size <= (8 << 10) + 64 * count,
                "{count} rules: {size} bytes"
            );
        }
    }
}

#[test]
fn a_rule_that_counts_takes_72_bytes_at_most() {
    let line = |name| format!("{name} arg0 == 1 log when 2+3\n");
    let text: String = names().take(MAX_COUNTERS).map(line).collect();
    let size = parse(&text).size();
    assert!(size <= (8 << 10) + 72 * MAX_COUNTERS, "{size} bytes");
}

#[test]
fn ranges_with_conditions_are_for_so_many_calls_and_no_more() {
    let full = "0..559 arch i386 arg0 == 1 log\n".repeat(117);
    parse(&full);
    let want = (118, 1, "too many calls with conditions or 'when'");
    assert_eq!(too_big(&format!("{full}0..559 arg0 == 1 log")), want);
    parse(&format!("{full}{}", "0..559 log\n".repeat(MAX_RULES - 117)));
}
