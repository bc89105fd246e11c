// SPDX-License-Identifier: GPL-2.0

//! What is said about a text: all of its mistakes, or warnings.

use super::refused;
use crate::{
    check::RANDOM,
    rules::{ParseError, Report, RuleSet, MAX_LINE, MAX_MISTAKES},
};

#[test]
fn all_mistakes_are_reported() {
    let text =
        "getppid alow\nread log\n  foo log\n\ndefault log\ndefault trap\nread arg0 == x log\n";
    let (error, remarks) = refused(text.as_bytes());
    assert_eq!(error, ParseError::Syntax);
    let remarks: Vec<String> = remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        remarks,
        [
            "line 1, column 9: not a verdict",
            "line 3, column 3: not a syscall",
            "line 6, column 1: there is such a default already",
            "line 7, column 14: not a value",
        ]
    );
}

#[test]
fn so_many_mistakes_are_reported_and_no_more() {
    for mistakes in [1, MAX_MISTAKES - 1, MAX_MISTAKES, MAX_MISTAKES + 1, 1000] {
        let text = "read log\nread alow\n".repeat(mistakes);
        let (_, remarks) = refused(text.as_bytes());
        assert_eq!(remarks.len(), mistakes.min(MAX_MISTAKES));
        for (i, remark) in remarks.iter().enumerate() {
            assert_eq!((remark.line as usize, remark.column), (2 * i + 2, 6));
        }
    }
}

#[test]
fn what_is_only_too_big_is_told_from_what_is_wrong() {
    let long = format!("{:>MAX_LINE$} x", "#");
    assert_eq!(refused(long.as_bytes()).0, ParseError::TooBig);
    for text in [format!("{long}\nread alow"), format!("read alow\n{long}")] {
        let (error, remarks) = refused(text.as_bytes());
        assert_eq!((error, remarks.len()), (ParseError::Syntax, 2));
    }
    let many = format!("read alow\n{}", "read log\n".repeat(3000));
    let (error, remarks) = refused(many.as_bytes());
    assert_eq!((error, remarks.len()), (ParseError::Syntax, 2));
    assert_eq!(
        (remarks[1].line, remarks[1].reason),
        (2050, "too many rules")
    );
}

const VDSO: &str = "warning: most programs get this from the vDSO, without a call";
const SOCKETCALL: &str = "warning: i386 has socketcall, too, which stays open";
const IPC: &str = "warning: i386 has ipc, too, which stays open";

/// The lines, columns and texts of warnings about a policy.
fn warnings(text: &str) -> Vec<(u32, u32, &'static str)> {
    let mut report = Report::new();
    RuleSet::parse(text.as_bytes(), RANDOM, &mut report).unwrap();
    let remarks = report.remarks().iter();
    remarks.map(|r| (r.line, r.column, r.reason)).collect()
}

#[test]
fn calls_that_the_vdso_answers_are_warned_of() {
    for call in [
        "clock_gettime",
        "gettimeofday",
        "time",
        "getcpu",
        "clock_gettime64",
        "clock_getres",
        "getrandom",
        "201",
        "clock_gettime arch x32",
    ] {
        let text = format!("read log\n {call} errno EPERM");
        assert_eq!(warnings(&text), [(2, 2, VDSO)], "{text}");
    }
    // Once, and not where nothing is done.
    let text = "time errno EPERM\ngetcpu log when 3\ntime arg0 == 1 trap";
    assert_eq!(warnings(text), [(1, 1, VDSO)]);
    for text in [
        "time allow",
        "read log",
        "default errno EPERM",
        "0..300 log",
    ] {
        assert_eq!(warnings(text), [], "{text}");
    }
}

#[test]
fn calls_that_i386_has_another_way_to_make_are_warned_of() {
    for (text, want) in [
        ("socket errno EPERM", Some(SOCKETCALL)),
        ("connect log when 3", Some(SOCKETCALL)),
        ("accept errno EPERM", Some(SOCKETCALL)),
        ("socket arch i386 trap", Some(SOCKETCALL)),
        ("359 arch i386 trap", Some(SOCKETCALL)),
        ("socket errno EPERM\nsocketcall allow", Some(SOCKETCALL)),
        (
            "default trap\nsocket errno EPERM\nsocketcall allow",
            Some(SOCKETCALL),
        ),
        ("shmget errno EPERM", Some(IPC)),
        ("socket arch x86_64 errno EPERM", None),
        ("socket allow", None),
        ("default errno EPERM\nsocket errno EACCES", None),
        ("default arch i386 errno EPERM\nsocket log", None),
        ("socket errno EPERM\nsocketcall errno EPERM", None),
        ("socket errno EPERM\nsocketcall arg0 == 1 errno EPERM", None),
        ("shmget errno EPERM\nipc log", None),
        ("socketcall errno EPERM", None),
    ] {
        let line = text.lines().position(|line| {
            let word = line.split(' ').next().unwrap();
            !["default", "socketcall"].contains(&word)
        });
        let want = want.map(|reason| (line.unwrap() as u32 + 1, 1, reason));
        assert_eq!(warnings(text), Vec::from_iter(want), "{text}");
    }
    let text = "bind log\ntime log\nsocket log\nmsgsnd log\nclock_gettime log\nshmat log";
    assert_eq!(
        warnings(text),
        [(1, 1, SOCKETCALL), (2, 1, VDSO), (4, 1, IPC)]
    );
}

#[test]
fn lines_before_a_text_are_not_counted() {
    let mut report = Report::new();
    let text = "time log\nread log\nsocket log";
    RuleSet::parse(text.as_bytes(), RANDOM, &mut report).unwrap();
    report.skip_lines(2);
    let remarks: Vec<String> = report.remarks().iter().map(ToString::to_string).collect();
    assert_eq!(remarks, [format!("line 1, column 1: {SOCKETCALL}")]);

    let mut report = Report::new();
    let text = "time log\nread log\nfoo log\n  bar log";
    assert!(RuleSet::parse(text.as_bytes(), RANDOM, &mut report).is_err());
    report.skip_lines(2);
    let places: Vec<_> = report
        .remarks()
        .iter()
        .map(|r| (r.line, r.column))
        .collect();
    assert_eq!(places, [(1, 1), (2, 3)]);
}
