// SPDX-License-Identifier: GPL-2.0

//! What is not a policy, and where.

use super::refused;
use crate::rules::{ParseError, Remark};

/// The line, the column and the reason for which a text is refused: the first one.
fn error(text: &[u8]) -> (u32, u32, &'static str) {
    let (error, remarks) = refused(text);
    assert_eq!(error, ParseError::Syntax);
    let Remark {
        line,
        column,
        reason,
    } = remarks[0];
    (line, column, reason)
}

#[test]
fn each_error_says_where_and_why() {
    const NO_VERDICT: &str = "a verdict is missing";
    const NO_ARCH: &str = "an architecture is missing";
    const ARCHES: &str = "not x86_64, i386 or x32";
    const NO_COMPARISON: &str = "a comparison is missing";
    const ERROR: &str = "expected an error";
    const VALUE: &str = "expected a value";
    const ARGUMENT: &str = "expected an argument";
    const WHEN: &str =
        "expected FIRST, FIRST+, FIRST+STEP, FIRST..LAST, FIRST..LAST+STEP or a percentage";
    const RANGE: &str = "out of the range of the argument";
    const NO_SIGN: &str = "negative, and the argument has no sign";
    const NO_VALUE: &str = "holds for no value";
    const WIDE_MASK: &str = "the mask has bits that the argument does not have";
    const NO_RANGE: &str = "not a range of syscalls";
    const BYTES: &str = "expected bytes, two hexadecimal digits each";
    const ABOVE: &str = "expected a number below 560";
    const MORE: &str = "nothing more is expected here";
    const NEVER_EQUAL: &str = "never equal: it has bits outside of the mask";
    const NOT_HERE: &str = "not a syscall of this architecture";
    const NOT_EVERYWHERE: &str = "not a syscall of every architecture that the rule is for";
    const NOT_FOR_DEFAULT: &str = "not a verdict for a default";

    for (text, column, reason) in [
        ("openat", 7, NO_VERDICT),
        ("openat  # allow", 9, NO_VERDICT),
        ("openat arch i386", 17, NO_VERDICT),
        ("openat arg0 == 1", 17, NO_VERDICT),
        ("default", 8, NO_VERDICT),
        ("default arch i386", 18, NO_VERDICT),
        ("openat  alow", 9, "not a verdict"),
        ("openat arg6 == 1 allow", 8, "not a verdict"),
        ("openat arg == 1 allow", 8, "not a verdict"),
        ("openat when 1 allow", 8, "not a verdict"),
        ("default alow", 9, "not a verdict"),
        ("default arg0 == 1 allow", 9, "not a verdict"),
        ("default arch i386 arch x32 allow", 19, "not a verdict"),
        ("default set arg0 1", 9, NOT_FOR_DEFAULT),
        ("default arch i386 redirect read", 19, NOT_FOR_DEFAULT),
        ("  opennat allow", 3, "not a syscall"),
        ("560 allow", 1, "not a syscall"),
        ("560 arch x32 allow", 1, "not a syscall"),
        ("-1 allow", 1, "not a syscall"),
        ("+1 allow", 1, "not a syscall"),
        ("0x allow", 1, "not a syscall"),
        ("65536 allow", 1, "not a syscall"),
        ("65646 allow", 1, "not a syscall"),
        ("99999999999999999999 allow", 1, "not a syscall"),
        (" getuid32 arch x86_64 allow", 2, NOT_HERE),
        ("accept arch i386 allow", 1, NOT_HERE),
        ("getuid arch", 12, NO_ARCH),
        ("default arch", 13, NO_ARCH),
        ("getuid arch ia64 allow", 13, ARCHES),
        ("default arch i387 allow", 14, ARCHES),
        ("getuid arch X32 allow", 13, ARCHES),
        (
            "getuid arch x32 arch x32 allow",
            17,
            "there is an architecture already",
        ),
        ("read arg0", 10, NO_COMPARISON),
        ("read arg0 & 1", 14, NO_COMPARISON),
        ("read arg0 = 1 log", 11, "not a comparison"),
        ("read arg0 & 1 = 1 log", 15, "not a comparison"),
        ("read arg0 & 1 & 1 == 1 log", 15, "not a comparison"),
        ("read arg0 &", 12, "a mask is missing"),
        ("read arg0 & == 1 log", 13, "not a mask"),
        ("read arg0 & -1 == 1 log", 13, "not a mask"),
        ("read arg0 ==", 13, "a value is missing"),
        ("read arg0 & 1 ==", 17, "a value is missing"),
        ("read arg0 == --1 log", 14, "not a value"),
        ("read arg0 == 08 log", 14, "not a value"),
        ("read arg0 == -1 log", 14, NO_SIGN),
        ("mmap arg4 == -1 log", 14, NO_SIGN),
        ("read u64(arg0) < -1 log", 18, NO_SIGN),
        ("openat arg0 == 0xffffff9c log", 16, RANGE),
        ("openat arg0 > 2147483648 log", 15, RANGE),
        ("openat arg0 >= -2147483649 log", 16, RANGE),
        ("read arg0 != 4294967296 log", 14, RANGE),
        ("read i8(arg0) == 128 log", 18, RANGE),
        ("read arg0 < 0 log", 13, NO_VALUE),
        ("read arg0 > 4294967295 log", 13, NO_VALUE),
        ("openat arg0 < -2147483648 log", 15, NO_VALUE),
        ("read arg0 & 0xff > 0xff log", 20, NO_VALUE),
        ("read arg0 & 0xff < 0x100 log", 20, RANGE),
        ("read arg0 & 0xff == -1 log", 21, NO_SIGN),
        ("read arg0 & 0x100000000 != 0 log", 13, WIDE_MASK),
        ("chmod arg1 & 0x10000 == 0 log", 14, WIDE_MASK),
        ("read u24(arg0) == 1 log", 6, "not an argument"),
        ("read u32(arg6) == 1 log", 6, "not an argument"),
        ("read u32(arg0 == 1 log", 6, "not an argument"),
        ("read u32( arg0 ) == 1 log", 6, "not an argument"),
        ("read arg0 == 18446744073709551616 log", 14, "not a value"),
        ("read arg0 == EPERM log", 14, "not a value"),
        ("read arg0 & 1 == 2 log", 18, NEVER_EQUAL),
        ("read arg0 & 1 != 2 log", 18, NEVER_EQUAL),
        ("read arg0 & 0 == 1 log", 18, NEVER_EQUAL),
        (
            "read u64(arg0) & 0x7fffffffffffffff == 18446744073709551615 log",
            40,
            NEVER_EQUAL,
        ),
        ("openat errno", 13, ERROR),
        ("openat errno EFOO", 14, ERROR),
        ("openat errno SIGKILL", 14, ERROR),
        ("openat after errno", 19, ERROR),
        ("openat after errno 4096", 20, ERROR),
        ("openat return", 14, VALUE),
        ("openat return 1x", 15, VALUE),
        ("openat after return", 20, VALUE),
        ("openat after return -512", 21, VALUE),
        (
            "openat after",
            13,
            "'return', 'errno', 'delay' or 'poke' is missing",
        ),
        (
            "openat after allow",
            14,
            "not 'return', 'errno', 'delay' or 'poke'",
        ),
        ("openat after delay 20", 20, "expected a time, like 20ms"),
        ("openat delay 010ms", 14, "expected a time, like 20ms"),
        ("openat delay", 13, "expected a time, like 20ms"),
        ("openat delay 20", 14, "expected a time, like 20ms"),
        ("openat signal", 14, "expected a signal"),
        ("openat signal SIGFOO", 15, "expected a signal"),
        ("openat trap 65536", 13, "expected a number of 16 bits"),
        ("openat trap 0x", 13, "expected a number of 16 bits"),
        ("openat trap foo", 13, MORE),
        ("openat poke", 12, ARGUMENT),
        ("openat poke 00", 13, ARGUMENT),
        ("openat poke arg0", 17, BYTES),
        ("openat poke arg0 abc", 18, BYTES),
        ("openat poke arg0 0x00", 18, BYTES),
        ("openat after poke arg0 +1", 24, BYTES),
        ("openat set arg0 |", 18, "expected bits"),
        ("openat set arg0 & x", 19, "expected bits"),
        ("openat set arg0 ^ 1", 17, VALUE),
        ("openat set", 11, ARGUMENT),
        ("openat set 1 2", 12, ARGUMENT),
        ("openat set arg6 2", 12, ARGUMENT),
        ("openat set arg00 2", 12, ARGUMENT),
        ("openat set arg0", 16, VALUE),
        ("openat set arg0 -1", 17, VALUE),
        ("openat redirect", 16, "a syscall is missing"),
        ("openat redirect 1", 17, "a number needs 'arch'"),
        ("openat redirect opennat", 17, "not a syscall"),
        ("openat arch i386 redirect 560", 27, "not a syscall"),
        ("openat arch i386 redirect opennat", 27, "not a syscall"),
        ("openat arch i386 redirect accept", 27, NOT_HERE),
        ("0 redirect getuid32", 12, NOT_HERE),
        ("openat redirect accept", 17, NOT_EVERYWHERE),
        ("openat redirect getuid32", 17, NOT_EVERYWHERE),
        ("openat allow when", 18, WHEN),
        ("openat allow when x", 19, WHEN),
        ("openat allow when 0", 19, WHEN),
        ("openat allow when 4..3", 19, WHEN),
        ("openat allow when 3..4+", 19, WHEN),
        ("openat allow when 3..", 19, WHEN),
        ("openat allow when ..3", 19, WHEN),
        ("openat allow when 0..3", 19, WHEN),
        ("openat allow when 3+2..9", 19, WHEN),
        ("openat allow when 0%", 19, WHEN),
        ("openat allow when 101%", 19, WHEN),
        ("openat allow when %", 19, WHEN),
        ("openat allow when 10 %", 22, MORE),
        (
            "openat allow when 10% seed",
            27,
            "expected a number of 32 bits",
        ),
        (
            "openat allow when 10% seed x",
            28,
            "expected a number of 32 bits",
        ),
        (
            "openat allow when 10% seed 4294967296",
            28,
            "expected a number of 32 bits",
        ),
        ("openat allow when 10 seed 1", 22, MORE),
        ("470..469 log", 1, NO_RANGE),
        ("470..560 log", 1, NO_RANGE),
        ("..5 log", 1, NO_RANGE),
        ("5.. log", 1, NO_RANGE),
        ("read..write log", 1, NO_RANGE),
        ("1..2..3 log", 1, NO_RANGE),
        ("? log", 1, "not a syscall"),
        ("?470 log", 1, "not a syscall"),
        ("?Read log", 1, "not a syscall"),
        ("??read log", 1, "not a syscall"),
        ("?no_such_call", 14, NO_VERDICT),
        ("?no_such_call alow", 15, "not a verdict"),
        ("?no_such_call arg0 == x log", 23, "not a value"),
        ("?no_such_call log log", 19, "'allow' and 'log' stand alone"),
        ("?no_such_call redirect foo", 24, "not a syscall"),
        ("default above", 14, ABOVE),
        ("default above 560 log", 15, ABOVE),
        ("default above log", 15, ABOVE),
        ("default above 5 arch i386 log", 17, "not a verdict"),
        ("order", 6, "expected 'first'"),
        ("order last", 7, "expected 'first'"),
        ("order first first", 13, MORE),
        ("openat allow log", 14, "'allow' and 'log' stand alone"),
        ("openat allow foo", 14, MORE),
        ("openat allow when 1 when 1", 21, MORE),
        ("openat trap 1 2", 15, MORE),
        ("default allow when 1", 15, MORE),
        ("default trap when 1", 14, MORE),
    ] {
        assert_eq!(error(text.as_bytes()), (1, column, reason), "{text}");
        let later = format!("# \u{fc}\r\n\nread arg0 == 1 log when 1\n{text}\ndefault alow");
        assert_eq!(error(later.as_bytes()), (4, column, reason), "{text}");
    }
}

#[test]
fn there_is_one_default_of_each_kind() {
    const ALREADY: &str = "there is such a default already";
    for (text, line) in [
        ("default log\ndefault log", 2),
        (
            "default log\ndefault arch i386 log\nread log\ndefault allow",
            4,
        ),
        (
            "default arch i386 log\ndefault arch x32 log\ndefault arch i386 log",
            3,
        ),
        ("default above 5 log\ndefault above 6 trap", 2),
        (
            "default arch x32 above 5 log\ndefault arch x32 above 5 log",
            2,
        ),
    ] {
        assert_eq!(error(text.as_bytes()), (line, 1, ALREADY), "{text}");
    }
    let twice = "order first\nread log\n order first";
    assert_eq!(error(twice.as_bytes()), (3, 2, "there is an order already"));
}

#[test]
fn what_is_never_judged_cannot_be_named() {
    for (calls, column) in [
        ("restart_syscall", 1),
        ("restart_syscall arch i386", 1),
        ("restart_syscall arch x32", 1),
        ("uprobe", 1),
        ("uprobe arch x86_64", 1),
        ("uretprobe", 1),
        ("219", 1),
        ("0xdb", 1),
        ("335", 1),
        ("336 arch x86_64", 1),
        ("0 arch i386", 1),
        ("219 arch x32", 1),
        ("335 arch x32", 1),
        ("336 arch x32", 1),
        ("read redirect restart_syscall", 15),
        ("read redirect uprobe", 15),
        ("0 redirect 219", 12),
        ("read arch i386 redirect 0", 25),
    ] {
        let text = if calls.contains("redirect") {
            calls.into()
        } else {
            format!("{calls} log")
        };
        let want = (1, column, "such calls are never judged");
        assert_eq!(error(text.as_bytes()), want, "{text}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let not_numbers = [
        "x", "+1", "1_0", "0x", "0X1", "1f", "0x1g", "0x0x1", "--1", "1.", "\u{661}",
    ];
    let too_big = ["18446744073709551616", "0x10000000000000000"];
    for (words, values) in [
        (
            "return",
            &[
                "9223372036854775808",
                "-9223372036854775809",
                "0x8000000000000000",
                "-512",
                "-513",
                "-514",
                "-516",
                "-0x200",
                "4294966784",
                "0x5fffffdfc",
                "-4294967808",
            ][..],
        ),
        ("after return", &["-512", "-513", "-514", "-516"]),
        (
            "errno",
            &[
                "0", "4096", "-1", "65537", "512", "513", "514", "516", "eperm",
            ],
        ),
        ("after errno", &["0", "4096", "512", "0x200"]),
        (
            "signal",
            &[
                "0", "65", "-1", "257", "265", "sigkill", "KILL", "SIGRTMIN", "EPERM",
            ],
        ),
        ("trap", &["-1", "65536", "0x10000"]),
        (
            "delay",
            &[
                "5",
                "ms",
                "5m",
                "5MS",
                "-5ms",
                "5 ms",
                "1.5s",
                "5msx",
                "0x10ms",
                "36028797018963968ns",
                "36028798s",
                "18446744073709551615s",
            ],
        ),
        ("set arg0", &["-1"]),
        ("set", &["arg6", "arg-1", "arg01", "ARG0", "0"]),
        (
            "log when",
            &[
                "0", "0+", "0+1", "1+0", "+", "+1", "1++", "1+1+1", "-1", "65536", "1+65536",
            ],
        ),
        ("arg0 ==", &["-1"]),
        ("arg0 &", &["-1"]),
    ] {
        for value in values.iter().chain(&not_numbers).chain(&too_big) {
            let text = format!("getppid {words} {value} == 1");
            let (line, column, reason) = error(text.as_bytes());
            assert_eq!(
                (line, column as usize),
                (1, 10 + words.len()),
                "{text}: {reason}"
            );
        }
    }
}

#[test]
fn what_is_not_text_is_refused_where_it_begins() {
    for (text, line, column) in [
        (&b"\xff"[..], 1, 1),
        (b"getppid allow\nget\xffpid allow", 2, 4),
        (b"getppid allow # \xc3", 1, 17),
        (b"getppid alow\n\n\xed\xa0\x80", 3, 1),
        (b"\xc3\xbc\xc3", 1, 3),
    ] {
        assert_eq!(error(text), (line, column, "not text"));
    }
}
