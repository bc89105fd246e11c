// SPDX-License-Identifier: GPL-2.0

//! How policies may be written, and how they are written back.

use super::{parse, refused, VERDICTS};
use crate::{check::check, rules::MAX_LINE};

/// The canonical text, without the default's line if that is the first.
fn canonical(text: &str) -> String {
    let text = parse(text).to_string();
    text.strip_prefix("default allow\n").unwrap_or(&text).into()
}

#[test]
fn a_line_has_one_canonical_form() {
    for (text, want) in [
        ("getppid allow", "getppid allow"),
        ("110 allow", "getppid arch x86_64 allow"),
        ("0x6e allow", "getppid arch x86_64 allow"),
        ("64 arch i386 allow", "getppid arch i386 allow"),
        ("512 arch x32 allow", "rt_sigaction arch x32 allow"),
        ("getuid32 arch i386 allow", "getuid32 arch i386 allow"),
        ("559 allow", "559 arch x86_64 allow"),
        ("0x22f arch i386 allow", "559 arch i386 allow"),
        ("read errno 1", "read errno EPERM"),
        ("read errno EWOULDBLOCK", "read errno EAGAIN"),
        ("read errno 0xfff", "read errno 4095"),
        ("read after errno 5", "read after errno EIO"),
        ("read return -0x10", "read return -16"),
        ("read after return 0x10", "read after return 16"),
        ("read signal 9", "read signal SIGKILL"),
        ("read signal SIGIOT", "read signal SIGABRT"),
        ("read signal 0x20", "read signal 32"),
        ("read trap 0", "read trap"),
        ("read trap 0x10", "read trap 16"),
        ("read delay 0ns", "read delay 0s"),
        ("read delay 2000ms", "read delay 2s"),
        ("read delay 1500ms", "read delay 1500ms"),
        ("read delay 1000us", "read delay 1ms"),
        ("read delay 1000001ns", "read delay 1000001ns"),
        ("read set arg5 0x10", "read set arg5 16"),
        ("read redirect write", "read redirect write"),
        ("0 redirect 1", "read arch x86_64 redirect write"),
        ("0 arch x32 redirect 559", "read arch x32 redirect 559"),
        ("read arg0 == 0x10 log", "read arg0 == 16 log"),
        ("read arg1 <= 0x0 log", "read arg1 <= 0 log"),
        ("read arg0 == 010 log", "read arg0 == 8 log"),
        ("read arg2 & 15 == 1 log", "read arg2 & 0xf == 0x1 log"),
        (
            "chmod arg1 & 04000 != 0 log",
            "chmod arg1 & 0x800 != 0x0 log",
        ),
        ("read arg2 & 15 >= 1 log", "read arg2 & 0xf >= 0x1 log"),
        ("openat arg0 == -0x64 log", "openat arg0 == -100 log"),
        ("openat arg0 > -0144 log", "openat arg0 > -100 log"),
        ("openat i32(arg0) == -100 log", "openat arg0 == -100 log"),
        ("openat u32(arg0) == 100 log", "openat u32(arg0) == 100 log"),
        ("read u32(arg0) == 1 log", "read arg0 == 1 log"),
        ("read u64(arg0) == 1 log", "read u64(arg0) == 1 log"),
        ("read u64(arg2) == 1 log", "read arg2 == 1 log"),
        ("read u32(arg2) == 1 log", "read u32(arg2) == 1 log"),
        (
            "read arch i386 u32(arg2) == 1 log",
            "read arch i386 arg2 == 1 log",
        ),
        (
            "read arch i386 u64(arg2) == 1 log",
            "read arch i386 arg2 == 1 log",
        ),
        ("lseek arg1 < -5 log", "lseek arg1 < -5 log"),
        ("lseek i64(arg1) < -5 log", "lseek i64(arg1) < -5 log"),
        (
            "lseek arch x86_64 i64(arg1) < -5 log",
            "lseek arch x86_64 arg1 < -5 log",
        ),
        (
            "lseek arg1 == 5000000000 log",
            "lseek arg1 == 5000000000 log",
        ),
        (
            "lseek arg1 == 5000000000 i32(arg1) == -5 log",
            "lseek arg1 == 5000000000 i32(arg1) == -5 log",
        ),
        ("470..559 errno 38", "470..559 arch x86_64 errno ENOSYS"),
        ("0x10..020 arch i386 log", "16..16 arch i386 log"),
        ("?read log", "read log"),
        ("restart_syscall allow", "restart_syscall allow"),
        ("read log when 3..3", "read log when 3"),
        ("read log when 3..3+2", "read log when 3"),
        ("read log when 3..9+1", "read log when 3..9"),
        ("read log when 3..9+2", "read log when 3..9+2"),
        ("read log when 10%", "read log when 10%"),
        ("read log when 012% seed 0x7", "read log when 10% seed 7"),
        ("read after delay 1000ms", "read after delay 1s"),
        ("read set arg5 | 4", "read set arg5 | 0x4"),
        ("read set arg5 & 0xff", "read set arg5 & 0xff"),
        (
            "read after delay 1s errno EIO signal 10 delay 2s",
            "read delay 2s signal SIGUSR1 errno EIO after delay 1s",
        ),
        (
            "read after return 3 set arg1 2 redirect write set arg0 | 1",
            "read redirect write set arg1 2 set arg0 | 0x1 after return 3",
        ),
        (
            "default arch x32 above 0500 trap",
            "default arch x32 above 320 trap",
        ),
        (
            "read arg2 & 18446744073709551615 == 1 log",
            "read arg2 & 0xffffffffffffffff == 0x1 log",
        ),
        (
            "read arg0 != 1 arg0 != 2 log",
            "read arg0 != 1 arg0 != 2 log",
        ),
        ("read arg0 > 1 arch i386 log", "read arch i386 arg0 > 1 log"),
        ("read log when 3", "read log when 3"),
        ("read log when 0x3+1", "read log when 3+"),
        ("read trap when 3+2", "read trap when 3+2"),
        (
            "read arg0 <= 1 trap 5 when 3+",
            "read arg0 <= 1 trap 5 when 3+",
        ),
        ("default arch x32 trap 0", "default arch x32 trap"),
    ] {
        assert_eq!(canonical(text), format!("{want}\n"), "{text}");
        assert_eq!(canonical(want), format!("{want}\n"));
    }
}

#[test]
fn defaults_come_first_and_rules_stay_in_their_order() {
    let text = "write log\ndefault arch x32 log\nread log\ndefault arch i386 log\ndefault trap\n";
    let want = "default trap\ndefault arch i386 log\ndefault arch x32 log\nwrite log\nread log\n";
    let set = parse(text);
    assert_eq!(set.to_string(), want);
    for (i, line) in want.lines().enumerate() {
        let mut one = String::new();
        set.fmt_line(i, &mut one).unwrap();
        assert_eq!(one, line);
    }
}

#[test]
fn the_order_comes_first_of_all() {
    let text = "write log\ndefault trap\n order  first # x\nread log\ndefault above 5 log";
    let want = "order first\ndefault trap\ndefault above 5 log\nwrite log\nread log\n";
    let set = parse(text);
    assert_eq!(set.to_string(), want);
    assert_eq!(set.nr_lines(), 4);
    assert_eq!(parse(want).to_string(), want);
}

#[test]
fn what_is_added_to_has_no_default_that_was_not_said() {
    for (text, want) in [
        ("", ""),
        ("default allow", "default allow\n"),
        ("default trap\nread log", "default trap\nread log\n"),
        ("default arch i386 log", "default arch i386 log\n"),
        ("read log\norder first", "order first\nread log\n"),
    ] {
        let mut to_be_added_to = String::new();
        parse(text).fmt_text(true, &mut to_be_added_to).unwrap();
        assert_eq!(to_be_added_to, want);
        parse(&to_be_added_to);
    }
}

#[test]
fn comments_and_space_mean_nothing() {
    let want = "getppid errno EPERM\n";
    for text in [
        "# a policy\n\n \t getppid \t errno  EPERM # why\r\n#getpid log\ndefault allow",
        "getppid errno EPERM#",
        "getppid errno EPERM#getpid log",
        "\x0cgetppid\x0cerrno\tEPERM\r\r\n",
        "\n\n\ngetppid errno EPERM\n\n\n",
        "# \u{fc}\ngetppid errno EPERM # \u{fc} \0 #",
    ] {
        assert_eq!(canonical(text), want, "{text:?}");
    }
    for text in ["", "\n", "#", " \t\r\n", "# default trap"] {
        assert_eq!(parse(text).to_string(), "default allow\n");
    }
}

#[test]
fn words_need_space_between_them() {
    for text in [
        "getppid arg0==1 log",
        "getppid arg0 ==1 log",
        "getppid arg0&1 == 1 log",
        "getppid arg0 &1 == 1 log",
        "getppid log when 3 +2",
        "getppid delay 20 ms",
        "getppid\u{a0}log",
        "getppid\0log",
        "getppid\x0blog",
        "Getppid log",
        "getppid LOG",
        "getppid errno eperm",
    ] {
        refused(text.as_bytes());
    }
}

#[test]
fn the_canonical_text_of_any_rule_can_be_read() {
    for calls in [
        "getppid",
        "110",
        "559",
        "getppid arch i386",
        "getppid arch x32",
    ] {
        for conditions in [
            "",
            "arg0 == 1",
            "arg5 & 0xf == 3 arg1 < 4294967295",
            "arg5 & 0xf != 3 i16(arg1) < -5",
        ] {
            for action in VERDICTS {
                for when in [
                    "",
                    "when 1",
                    "when 65535+",
                    "when 2+65535",
                    "when 2..65535",
                    "when 2..65535+2",
                    "when 10% seed 3",
                ] {
                    let text = format!("{calls} {conditions} {action} {when}");
                    parse(&text);
                    check(text.as_bytes(), std::iter::empty());
                }
            }
        }
    }
}

#[test]
fn a_long_line_that_is_accepted_can_be_written_back() {
    for (before, after) in [("read", "log"), ("0", "log"), ("26 arch i386", "errno 111")] {
        for condition in [" arg0 < 9", " arg0 & 9 == 9"] {
            let room = MAX_LINE - before.len() - after.len() - 1;
            for conditions in 1..=room / condition.len() {
                let text = format!("{before}{} {after}", condition.repeat(conditions));
                check(text.as_bytes(), std::iter::empty());
            }
        }
    }
}
