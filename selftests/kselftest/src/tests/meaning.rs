// SPDX-License-Identifier: GPL-2.0

//! What rules mean: the examples of their documentation, as programs see them.

use super::{
    policy::under,
    verdicts::{count, handle},
};
use crate::{
    process::{getppid, gettid, syscall, until, Puppet},
    slowpath::{attach, detach, Policy},
};
use anyhow::{ensure, Result};
use std::{
    fs::OpenOptions,
    io::Write,
    time::{Duration, Instant},
};

super::tests! {
    [] =>
        rule_arguments_are_what_the_kernel_takes
        rule_width_said
        rule_order_first
        rule_ranges_and_newer_calls
        rule_for_calls_that_there_may_not_be
        rule_when_it_ends
        rule_when_by_chance
        rule_bits_set
        rule_everything_on_one_line
        rule_refused_and_delayed
        rule_pokes
        rule_pokes_of_a_call_that_waits
        rule_after_delay
        rule_after_delay_ends_with_its_rules
        rules_appended
        rules_appended_by_many
        rules_refused_say_all_mistakes
        rules_taken_with_a_warning;
}

const EXDEV: i64 = -(libc::EXDEV as i64);
const EIO: i64 = -(libc::EIO as i64);
const ENOENT: i64 = -(libc::ENOENT as i64);
const EBADF: i64 = -(libc::EBADF as i64);

fn rule_arguments_are_what_the_kernel_takes() -> Result<()> {
    let _under = under(
        "ioctl arg1 == 0x5412 errno EXDEV\nopenat arg0 == -100 arg2 == 0x200000 errno EXDEV\n\
         setpriority arg2 > 10 errno EXDEV\nchmod arg1 & 04000 != 0 errno EXDEV\n\
         unshare arg0 & 0x7e020000 != 0 errno EXDEV",
    )?;
    const PATH: u64 = libc::O_PATH as u64;

    let nowhere = c"/nowhere/at/all".as_ptr() as u64;
    let calls: &[(i64, [u64; 3], i64)] = &[
        (libc::SYS_ioctl, [999, 0x5412, 0], EXDEV),
        (libc::SYS_ioctl, [999, 0x5412 | 1 << 32, 0], EXDEV),
        (libc::SYS_ioctl, [999, 0x5412 | 1 << 63, 0], EXDEV),
        (libc::SYS_ioctl, [999, 0x5413, 0], EBADF),
        (libc::SYS_openat, [-100i64 as u64, nowhere, PATH], EXDEV),
        (
            libc::SYS_openat,
            [-100i32 as u32 as u64, nowhere, PATH],
            EXDEV,
        ),
        (libc::SYS_openat, [-101i64 as u64, nowhere, PATH], ENOENT),
        (libc::SYS_setpriority, [0, 0, 11], EXDEV),
        (libc::SYS_setpriority, [0, 0, 11 | 1 << 40], EXDEV),
        (libc::SYS_setpriority, [0, 0, 10], 0),
        (libc::SYS_setpriority, [0, 0, -1i64 as u64], 0),
        (libc::SYS_setpriority, [0, 0, 0xffff_ffff], 0),
        (libc::SYS_chmod, [nowhere, 0o4755, 0], EXDEV),
        (libc::SYS_chmod, [nowhere, 0o755, 0], ENOENT),
        (libc::SYS_chmod, [nowhere, 0o755 | 1 << 16, 0], ENOENT),
        (libc::SYS_unshare, [0x0002_0000, 0, 0], EXDEV),
        (libc::SYS_unshare, [0x4000_0000, 0, 0], EXDEV),
        (libc::SYS_unshare, [0, 0, 0], 0),
    ];
    for (nr, [a, b, c], want) in calls {
        let result = syscall(*nr, [*a, *b, *c, 0, 0, 0]);
        // An absolute path is found from anywhere.
        ensure!(result == *want, "{nr} {a:#x} {b:#x} {c:#x}: {result}");
    }
    Ok(())
}

fn rule_width_said() -> Result<()> {
    let (_, policy) = under("")?;
    for (rule, value, want) in [
        ("close u64(arg0) == 999", 999, EXDEV),
        ("close u64(arg0) == 999", 999 | 1 << 32, EBADF),
        ("close i32(arg0) == -1", 0xffff_ffff, EXDEV),
        ("close i32(arg0) < -1", 0xffff_fffe, EXDEV),
        ("close u8(arg0) == 231", 999, EXDEV),
    ] {
        policy.set("rules", &format!("{rule} errno EXDEV"))?;
        ensure!(policy.get("rules")? == format!("default allow\n{rule} errno EXDEV"));
        let result = syscall(libc::SYS_close, [value, 0, 0, 0, 0, 0]);
        ensure!(result == want, "{rule}, {value:#x}: {result}");
    }
    policy.set("rules", "close u32(arg0) == 999 errno EXDEV")?;
    ensure!(policy.get("rules")? == "default allow\nclose arg0 == 999 errno EXDEV");
    Ok(())
}

fn rule_order_first() -> Result<()> {
    let rules = "getpid arg0 == 1 allow\ngetpid arg0 < 3 return 3\ngetpid errno EXDEV\n\
                 getpid arg0 == 2 return 4";
    let pid = i64::from(gettid());
    let (_, policy) = under("")?;
    for (order, wants) in [("order first\n", [3, pid, 3]), ("", [EXDEV, EXDEV, EXDEV])] {
        policy.set("rules", &format!("{order}{rules}"))?;
        for (value, want) in wants.into_iter().enumerate() {
            let result = syscall(libc::SYS_getpid, [value as u64, 0, 0, 0, 0, 0]);
            ensure!(result == want, "{order:?} {value}: {result}");
        }
        let result = syscall(libc::SYS_getpid, [9, 0, 0, 0, 0, 0]);
        ensure!(result == EXDEV, "{result}");
        ensure!(policy
            .get("rules")?
            .starts_with(&format!("{order}default allow")));
    }
    Ok(())
}

fn rule_ranges_and_newer_calls() -> Result<()> {
    const ENOSYS: i64 = -(libc::ENOSYS as i64);

    let (_, policy) = under("520..559 errno EXDEV")?;
    for (nr, want) in [(519, ENOSYS), (520, EXDEV), (559, EXDEV), (560, ENOSYS)] {
        let result = syscall(nr, [0; 6]);
        ensure!(result == want, "{nr}: {result}");
    }
    policy.set("rules", "default above 520 errno EXDEV\n540 errno EIO")?;
    let calls = [
        (520, ENOSYS),
        (521, EXDEV),
        (540, EIO),
        (5000, EXDEV),
        (libc::SYS_getppid, getppid()),
    ];
    for (nr, want) in calls {
        let result = syscall(nr, [0; 6]);
        ensure!(result == want, "{nr}: {result}");
    }
    Ok(())
}

fn rule_for_calls_that_there_may_not_be() -> Result<()> {
    let (_, policy) =
        under("?no_such_call errno EIO\n?getppid errno EXDEV\nrestart_syscall allow")?;
    let want = "default allow\ngetppid errno EXDEV\nrestart_syscall allow";
    ensure!(policy.get("rules")? == want);
    ensure!(getppid() == EXDEV);
    Ok(())
}

/// Which of ten calls fail.
fn failing() -> Vec<usize> {
    (1..=10).filter(|_| getppid() == EXDEV).collect()
}

fn rule_when_it_ends() -> Result<()> {
    let (_, policy) = under("")?;
    for (when, want) in [
        ("3..5", vec![3, 4, 5]),
        ("2..8+3", vec![2, 5, 8]),
        ("2..7+3", vec![2, 5]),
        ("9..20", vec![9, 10]),
    ] {
        policy.set("rules", &format!("getppid errno EXDEV when {when}"))?;
        let failing = failing();
        ensure!(failing == want, "when {when}: {failing:?}");
    }
    Ok(())
}

fn rule_when_by_chance() -> Result<()> {
    let (_, policy) = under("")?;
    let hit = |when: &str| -> Result<Vec<usize>> {
        policy.set("rules", &format!("getppid errno EXDEV when {when}"))?;
        Ok((1..=1000).filter(|_| getppid() == EXDEV).collect())
    };
    let seven = hit("10% seed 7")?;
    ensure!((50..150).contains(&seven.len()), "{} of 1000", seven.len());
    ensure!(hit("10% seed 7")? == seven, "other ones by the same seed");
    ensure!(hit("10% seed 8")? != seven, "the same by another seed");
    ensure!(hit("10%")? != hit("10%")?, "the same by chance");
    ensure!(hit("100%")?.len() == 1000);
    Ok(())
}

fn rule_bits_set() -> Result<()> {
    let (task, policy) = under("umask set arg0 | 022 set arg0 & 077")?;
    syscall(libc::SYS_umask, [0o700, 0, 0, 0, 0, 0]);
    policy.set("rules", "umask set arg0 037")?;
    let first = syscall(libc::SYS_umask, [0, 0, 0, 0, 0, 0]);
    task.set("policy", "none")?;
    let second = syscall(libc::SYS_umask, [0o22, 0, 0, 0, 0, 0]);
    ensure!((first, second) == (0o22, 0o37), "{first:o}, {second:o}");
    Ok(())
}

fn rule_everything_on_one_line() -> Result<()> {
    handle(libc::SIGUSR1, 0);
    let ppid = getppid();
    let (_, policy) = under("")?;
    for (rule, want, signals, least) in [
        ("delay 5ms signal SIGUSR1", ppid, 1, 5),
        ("signal SIGUSR1 after return 9", 9, 1, 0),
        ("signal SIGUSR1 errno EXDEV", EXDEV, 1, 0),
        ("delay 5ms return 3", 3, 0, 5),
        ("delay 3ms after errno EIO after delay 4ms", EIO, 0, 7),
        (
            "delay 3ms signal SIGUSR1 errno EIO after delay 4ms",
            EIO,
            1,
            7,
        ),
        (
            "redirect umask set arg0 022 signal SIGUSR1 after return 8",
            8,
            1,
            0,
        ),
    ] {
        policy.set("rules", &format!("getppid {rule}"))?;
        let (before, start) = (count(), Instant::now());
        let result = getppid();
        let took = start.elapsed();
        ensure!(result == want, "{rule}: {result}");
        ensure!(
            count() - before == signals,
            "{rule}: {} signals",
            count() - before
        );
        ensure!(took >= Duration::from_millis(least), "{rule}: {took:?}");
        ensure!(policy.hits(1)? == 1, "{rule}");
    }
    Ok(())
}

fn rule_refused_and_delayed() -> Result<()> {
    for (rule, end) in [
        ("delay 5ms kill_process", 256 + libc::SIGSYS),
        ("delay 5ms trap 7", 256 + libc::SIGSYS),
        ("delay 5ms signal SIGKILL", 256 + libc::SIGKILL),
    ] {
        let mut puppet = Puppet::new(|_| getppid())?;
        let _policy = Policy::new("test", &format!("getppid {rule}"))?;
        attach(puppet.tid())?.set("policy", "test")?;
        let start = Instant::now();
        puppet.send(0)?;
        ensure!(puppet.end()? == end, "{rule}");
        ensure!(start.elapsed() >= Duration::from_millis(5), "{rule}");
    }
    Ok(())
}

fn rule_pokes() -> Result<()> {
    let (_, policy) = under("")?;
    // A result in memory.
    policy.set("rules", "pread64 poke arg1 41424300 return 4")?;
    let mut text = [b'x'; 6];
    let buffer = text.as_mut_ptr() as u64;
    let result = syscall(libc::SYS_pread64, [999, buffer, 4, 0, 0, 0]);
    ensure!(result == 4 && text == *b"ABC\0xx", "{result} {text:?}");
    // Another path.
    policy.set("rules", "chdir poke arg0 2f00")?;
    text = *b"/nope\0";
    let result = syscall(libc::SYS_chdir, [buffer, 0, 0, 0, 0, 0]);
    ensure!(result == 0 && text == *b"/\0ope\0", "{result} {text:?}");
    // What the call has written.
    policy.set("rules", "uname after poke arg0 585900 set arg1 7")?;
    // SAFETY: All-zero is valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    let to = &raw mut name;
    let result = syscall(libc::SYS_uname, [to as u64, 0, 0, 0, 0, 0]);
    ensure!(result == 0 && name.sysname[..3] == [88, 89, 0] && name.release[0] != 0);
    // Both, and a result.
    policy.set(
        "rules",
        "pread64 poke arg1 4142 after poke arg1 43 after return 9",
    )?;
    let result = syscall(libc::SYS_pread64, [999, buffer, 4, 0, 0, 0]);
    ensure!(result == 9 && text[..2] == *b"CB", "{result} {text:?}");
    // Where there is no memory to write to, the call goes on.
    policy.set("rules", "getppid poke arg0 00 after poke arg1 00")?;
    for address in [0, 8, c"constant".as_ptr() as u64, u64::MAX - 1] {
        let result = syscall(libc::SYS_getppid, [address, address, 0, 0, 0, 0]);
        ensure!(result > 0, "{address:#x}: {result}");
    }
    Ok(())
}

/// It is written when the call returns, and not before; by whoever made it, whatever became of the
/// rules.
fn rule_pokes_of_a_call_that_waits() -> Result<()> {
    let mut ends = [0; 2];
    // SAFETY: There is room for two.
    ensure!(unsafe { libc::pipe(ends.as_mut_ptr()) } == 0);
    let mut puppet = Puppet::new(move |_| {
        let mut byte = 0u8;
        let to = &raw mut byte;
        let result = syscall(libc::SYS_read, [ends[0] as u64, to as u64, 1, 0, 0, 0]);
        // SAFETY: Nothing else refers to it.
        result << 8 | i64::from(unsafe { to.read_volatile() })
    })?;
    let policy = Policy::new("test", "read arg2 == 1 after poke arg1 58")?;
    let task = attach(puppet.tid())?;
    task.set("policy", "test")?;
    puppet.send(0)?;
    until("it reads", || Ok(policy.hits(1)? > 0))?;
    task.set("policy", "none")?;
    drop(policy);
    // SAFETY: Writes a byte of a constant.
    ensure!(unsafe { libc::write(ends[1], c"a".as_ptr().cast(), 1) } == 1);
    let result = puppet.reply()?;
    ensure!(result == 1 << 8 | 0x58, "{result:#x}");
    detach(puppet.tid())
}

fn rule_after_delay() -> Result<()> {
    let ppid = getppid();
    let (task, _policy) = under("getppid after delay 20ms")?;
    let start = Instant::now();
    ensure!(getppid() == ppid);
    ensure!(start.elapsed() >= Duration::from_millis(20));
    ensure!(task.stat("after")? == 1);
    Ok(())
}

fn rule_after_delay_ends_with_its_rules() -> Result<()> {
    let mut puppet = Puppet::new(|_| getppid())?;
    let ppid = puppet.call(0)?;
    let policy = Policy::new("test", "getppid after delay 3600s")?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.send(0)?;
    until("the call is made", || Ok(policy.hits(1)? == 1))?;
    policy.set("rules", "\n")?;
    ensure!(puppet.reply()? == ppid);
    detach(puppet.tid())
}

fn append(policy: &Policy, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(policy.path("rules"))?;
    file.write_all(text.as_bytes())
}

fn rules_appended() -> Result<()> {
    let (_, policy) = under("getppid errno EIO")?;
    ensure!(getppid() == EIO);
    // A default that nobody said does not stand in the way of one.
    append(&policy, "default log\nsched_yield return 5")?;
    ensure!(policy.get("rules")? == "default log\ngetppid errno EIO\nsched_yield return 5");
    ensure!(policy.hits(1)? == 1, "the hits are gone");
    ensure!(syscall(libc::SYS_sched_yield, [0; 6]) == 5);
    // Two writes to one open file.
    let mut file = OpenOptions::new().append(true).open(policy.path("rules"))?;
    file.write_all(b"getpid return 7\n")?;
    file.write_all(b"gettid return 8\n")?;
    let rules = policy.get("rules")?;
    ensure!(
        rules.ends_with("sched_yield return 5\ngetpid return 7\ngettid return 8"),
        "{rules}"
    );
    ensure!(append(&policy, "default trap").is_err(), "two defaults");
    ensure!(append(&policy, "# x\n frobnicate log").is_err());
    ensure!(
        policy.get("error")? == "line 2, column 2: not a syscall",
        "lines count from the text"
    );
    ensure!(policy.get("rules")? == rules);
    Ok(())
}

fn rules_appended_by_many() -> Result<()> {
    const WRITERS: usize = 4;
    const RULES: usize = 50;

    let policy = Policy::new("test", "default log")?;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let policy = &policy;
            scope.spawn(move || {
                for i in 0..RULES {
                    let rule = format!("getpid arg0 == {} return {writer}\n", writer * RULES + i);
                    append(policy, &rule).unwrap();
                }
            });
        }
    });
    let rules = policy.get("rules")?;
    ensure!(
        rules.lines().count() == 1 + WRITERS * RULES,
        "some are lost"
    );
    Ok(())
}

fn rules_refused_say_all_mistakes() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EIO")?;
    ensure!(policy.get("error")?.is_empty());
    let text = "getppid alow\nread log\nfoo log\nread errno EIO return 3\nclose arg0 == -1 log";
    ensure!(policy.set("rules", text).is_err());
    let want = "line 1, column 9: not a verdict\nline 3, column 1: not a syscall\n\
                line 4, column 16: there is a result already\n\
                line 5, column 15: negative, and the argument has no sign";
    ensure!(policy.get("error")? == want, "{}", policy.get("error")?);
    ensure!(policy.get("rules")? == "default allow\ngetppid errno EIO");
    // It stays until there is something else to say.
    policy.set("rules", "getppid log")?;
    ensure!(policy.get("error")? == want);
    ensure!(policy.set("rules", &"foo log\n".repeat(100)).is_err());
    ensure!(policy.get("error")?.lines().count() == 20);
    Ok(())
}

fn rules_taken_with_a_warning() -> Result<()> {
    let policy = Policy::new(
        "test",
        "read log\nclock_gettime errno EPERM\nsocket errno EPERM",
    )?;
    let error = policy.get("error")?;
    let lines: Vec<&str> = error.lines().collect();
    ensure!(lines.len() == 2, "{error}");
    ensure!(
        lines[0].starts_with("line 2, column 1: warning: "),
        "{error}"
    );
    ensure!(
        lines[1].starts_with("line 3, column 1: warning: i386 has socketcall"),
        "{error}"
    );
    // What was there before is not warned of again.
    append(&policy, "# x\nread log\nshmget log")?;
    let error = policy.get("error")?;
    ensure!(error == "line 3, column 1: warning: i386 has ipc, too, which stays open");
    policy.set("rules", "socket errno EPERM\ndefault arch i386 errno EPERM")?;
    ensure!(policy.get("error")? == error);
    Ok(())
}
