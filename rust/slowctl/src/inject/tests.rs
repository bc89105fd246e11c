// SPDX-License-Identifier: GPL-2.0

//! Expressions, as strace 6.1 takes or refuses them, and the rules that they become.

use super::*;
use proptest::prelude::*;

fn rules(expressions: &[&str]) -> Result<Rules> {
    let parsed = expressions.iter().map(|text| Expression::parse(text));
    Rules::new(&parsed.collect::<Result<Vec<_>>>()?)
}

fn text(expression: &str) -> String {
    rules(&[expression])
        .unwrap_or_else(|e| panic!("{expression}: {e}"))
        .text
}

#[test]
fn the_examples_of_the_manual() {
    assert_eq!(
        text("inject=chdir@64:error=ENOENT:when=3+"),
        "chdir arch x86_64 errno ENOENT when 3+\n"
    );
    assert_eq!(text("fault=chdir"), "chdir errno ENOSYS\n");
    assert_eq!(text("chdir:retval=7:syscall=getppid"), "chdir return 7\n");
    assert_eq!(
        text("chdir:poke_enter=@arg1=0000DEAD0000BEEF"),
        "chdir poke arg0 0000dead0000beef\n"
    );
    // Each architecture counts by itself.
    assert_eq!(
        text("openat:error=ENOENT:when=3+2"),
        "openat arch x86_64 errno ENOENT when 3+2\nopenat arch i386 errno ENOENT when 3+2\n\
         openat arch x32 errno ENOENT when 3+2\n"
    );
    assert_eq!(text("file:error=ENOENT"), text("%file:error=ENOENT"));
}

#[test]
fn all_at_once() {
    assert_eq!(
        text("getppid@64:error=5:signal=usr1:delay_enter=1.5:delay_exit=.5s:poke_exit=@arg2=00,"),
        "getppid arch x86_64 delay 1500ns signal SIGUSR1 errno 5 after poke arg1 00 \
         after delay 500000000ns\n"
    );
    assert_eq!(text("kill:signal=SIGRT_1"), "kill signal 33\n");
    assert_eq!(text("kill:signal=RTMIN"), "kill signal 32\n");
    assert_eq!(text("kill:retval=-1"), "kill return -1\n");
    assert_eq!(text("kill:retval= 010"), "kill return 8\n");
}

#[test]
fn the_last_one_is_for_a_call() {
    let rules = rules(&["chdir,chroot:error=EIO", "chroot:signal=SIGUSR1"]).unwrap();
    assert_eq!(rules.text, "chdir errno EIO\nchroot signal SIGUSR1\n");
}

#[test]
fn what_socketcall_is_told_to_do_has_a_name() {
    assert_eq!(
        text("socket:error=EMFILE"),
        "socket errno EMFILE\nsocketcall arch i386 arg0 == 1 errno EMFILE\n"
    );
    assert_eq!(
        text("semop@32:error=EIO"),
        "ipc arch i386 arg0 & 0xffff == 1 errno EIO\n"
    );
    assert_eq!(
        text("102@32:error=EIO"),
        "socketcall arch i386 arg0 < 1 errno EIO\nsocketcall arch i386 arg0 > 20 errno EIO\n"
    );
    assert!(rules(&["socket:poke_enter=@arg1=00"]).is_err());
    assert!(rules(&["socket@64:poke_enter=@arg1=00"]).is_ok());
    let counted = rules(&["%desc@32:error=EIO:when=3"]).unwrap();
    assert!(
        counted.notes.iter().any(|note| note.contains("socketcall")),
        "{:?}",
        counted.notes
    );
}

#[test]
fn times_are_exact() {
    let nanos = |time: &str| {
        Expression::parse(&format!("read:delay_enter={time}")).map(|e| e.delay_enter.unwrap())
    };
    for (time, wanted) in [
        ("0", 0),
        ("1", 1000),
        ("1.5", 1500),
        ("1e3", 1_000_000),
        ("1ms", 1_000_000),
        ("1.5e-3s", 1_500_000),
        ("+1", 1000),
        (" 1", 1000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("0.001", 1),
        ("10e-1ns", 1),
        ("00.0e9s", 0),
        ("1500000ns", 1_500_000),
    ] {
        assert_eq!(nanos(time).unwrap(), wanted, "{time}");
    }
    for junk in [
        "",
        "1m",
        "1S",
        "-1",
        "0x10",
        "inf",
        "nan",
        "1 s",
        "0.1ns",
        "1e30s",
        "1e18s",
        ".",
        "e3",
        "1e99999999999",
        "1.2.3",
        "s",
    ] {
        assert!(nanos(junk).is_err(), "{junk}");
    }
}

/// What strace takes, and what it does not, was found out by asking it.
#[test]
fn what_strace_takes_is_taken() {
    for good in [
        "inject=chdir:error=ENOENT:when=3..5+",
        "inject=chdir:error=ENOENT:when=65535",
        "inject=chdir:error=ENOENT:when=1..65534",
        "inject=chdir:error=ENOENT:when=1+65535",
        "inject=chdir:error=ENOENT:when=03",
        "inject=chdir:error=ENOENT:when=3:when=4",
        "inject=chdir:error=ENOENT:",
        "inject=chdir::error=ENOENT",
        "inject=chdir:error=enoent",
        "inject=chdir:error=05",
        "inject=chdir:retval=+1",
        "inject=chdir:signal=usr1",
        "inject=chdir:signal=64",
        "inject=chdir:poke_enter=@arg1=0x00",
        "fault=chdir:when=3",
        "inject=chdir:signal=1:syscall=getpid",
        "fault=chdir:error=EIO",
        "fault=!!chdir",
        "fault=/ch|getp",
        "fault=stat",
        "fault=?nosuch,chdir",
        "inject=chdir:retval=0x10",
    ] {
        assert!(rules(&[good]).is_ok(), "{good}: {:?}", rules(&[good]).err());
    }
    for junk in [
        "inject=chdir",
        "inject=chdir:",
        "inject=chdir:when=3",
        "inject=",
        "inject=:error=EIO",
        "",
        "inject=chdir:error=ENOENT:when=3..",
        "inject=chdir:error=ENOENT:when=0",
        "inject=chdir:error=ENOENT:when=65536",
        "inject=chdir:error=ENOENT:when=1..65535",
        "inject=chdir:error=ENOENT:when=1+65536",
        "inject=chdir:error=ENOENT:when=5..3",
        "inject=chdir:error=ENOENT:when=3+0",
        "inject=chdir:error=ENOENT:when=",
        "inject=chdir:error=ENOENT:when=0x3",
        "inject=chdir:error=ENOENT:error=EIO",
        "inject=chdir:error=ENOENT:retval=1",
        "inject=chdir:signal=1:signal=2",
        "inject=chdir:delay_enter=1:delay_enter=2",
        "inject=chdir:error",
        "inject=chdir:error=",
        "inject=chdir:error=ENOSUCH",
        "inject=chdir:error=0",
        "inject=chdir:error=4096",
        "inject=chdir:error=0x5",
        "inject=chdir:error=-1",
        "inject=chdir:retval=18446744073709551616",
        "inject=chdir:signal=0",
        "inject=chdir:signal=65",
        "inject=chdir:signal=SIGRT_0",
        "inject=chdir:signal=0x9",
        "inject=chdir:poke_enter=@arg1=0",
        "inject=chdir:poke_enter=@arg1=",
        "inject=chdir:poke_enter=@arg0=00",
        "inject=chdir:poke_enter=@arg1=00,@arg1=0a",
        "inject=chdir:poke_enter=arg1=00",
        "inject=chdir:poke_enter=@arg1=00:poke_enter=@arg2=00",
        "inject=chdir:syscall=getpid",
        "inject=chdir:error=EIO:syscall=sched_yield",
        "fault=chdir:retval=1",
        "fault=chdir:signal=SIGUSR1",
        "fault=chdir:error=EIO:nosuch=1",
        "trace=chdir",
    ] {
        let error = rules(&[junk]).err();
        assert!(error.is_some_and(|e| e.kind == Kind::Usage), "{junk}");
    }
}

/// strace would do these, and the kernel cannot, or not the same.
#[test]
fn what_the_kernel_lacks_is_refused() {
    for (expression, why) in [
        ("chdir:error=512", "restart a call"),
        ("chdir:error=ERESTARTSYS", "restart a call"),
        ("chdir:retval=-512", "restart a call"),
        ("chdir:poke_enter=@arg7=00", "six arguments"),
        ("chdir:delay_enter=0.1ns", "nanosecond"),
        ("chdir:delay_enter=1e9s", "year"),
        ("all:error=EIO", "never judged"),
        ("restart_syscall:error=EIO", "never judged"),
    ] {
        let error = rules(&[expression]).unwrap_err();
        assert!(error.message.contains(why), "{expression}: {error}");
    }
    assert!(rules(&["!restart_syscall,uprobe,uretprobe:error=EIO"]).is_ok());
    let error = rules(&["!restart_syscall,uprobe,uretprobe:error=EIO:when=3"]).unwrap_err();
    assert_eq!(error.kind, Kind::Rules);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is said, it is refused, or rules come of it that the engine takes.
    #[test]
    fn junk_has_an_answer(text in "(inject=|fault=)?[!?/%@a-z0-9,]{0,12}(:(error|retval|signal|when|delay_exit|poke_exit)=[@=+.,EIOa-f0-9]{0,9}){0,3}") {
        if let Ok(rules) = rules(&[&text]) {
            prop_assert!(crate::text::Text::parse("", rules.text.as_bytes()).is_ok());
        }
    }
}
