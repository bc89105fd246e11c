// SPDX-License-Identifier: GPL-2.0

//! Kselftests of Slowpath: real programs, in a VM with the module loaded.
//!
//! Each test is a process of its own. The output is KTAP.

mod audit;
mod compat;
mod dependencies;
mod faults;
mod paths;
mod process;
mod registers;
mod seccomp;
mod slowpath;
mod tests;
mod trace;
mod tracee;

use anyhow::{Context, Result};
use clap::Parser;
use dependencies::{Dependencies, Dependency};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{exit, Command, ExitCode, Stdio},
    sync::atomic::Ordering::Relaxed,
    time::Instant,
};

/// Why a test cannot run here.
#[derive(Debug)]
struct Skip(&'static str);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}

#[derive(Clone, Copy)]
struct Test {
    name: &'static str,
    run: fn() -> Result<()>,
    on: Dependencies,
}

/// The exit status of a test that was skipped, as in the kernel's kselftests.
const KSFT_SKIP: i32 = 4;

#[derive(Parser)]
#[command(about = "Kselftests of Slowpath; run as root with the module loaded")]
struct Args {
    /// Run the tests whose names contain one of these
    filter: Vec<String>,
    /// Without a filter, run only those whose outcome can depend on one of these
    #[arg(long, value_delimiter = ',')]
    on: Option<Vec<Dependency>>,
    /// Run those that take minutes as well
    #[arg(long)]
    long: bool,
    /// Write into this file how many seconds each test took
    #[arg(long, value_name = "FILE")]
    seconds: Option<PathBuf>,
    /// Give them so many times as long before they are taken for hung, on a kernel that is slow
    #[arg(long, default_value_t = 1, value_name = "FACTOR")]
    patience: u32,
    /// Divide the rounds by this of tests that make thousands
    #[arg(long, default_value_t = 1, value_name = "DIVISOR", value_parser = clap::value_parser!(u32).range(1..))]
    rounds_divisor: u32,
    /// Only list their names, and what their outcome can depend on
    #[arg(long)]
    list: bool,
    /// Run one test in this process
    #[arg(long, hide = true, value_name = "NAME")]
    exec: Option<String>,
}

/// How many seconds a test may take before it is taken for hung, and one of those that take long.
const LIMIT: u32 = 300;
const LONG_LIMIT: u32 = 1200;

fn is_long(test: Test) -> bool {
    tests::LONG
        .iter()
        .flat_map(|file| file.iter())
        .any(|group| group.iter().any(|t| t.name == test.name))
}

fn exec(test: Test, patience: u32, rounds_divisor: u32) -> ! {
    let limit = if is_long(test) { LONG_LIMIT } else { LIMIT };
    // The signal's default action ends this process.
    let seconds = u64::from(limit * patience);
    process::syscall(libc::SYS_alarm, [seconds, 0, 0, 0, 0, 0]);
    process::PATIENCE.store(patience, Relaxed);
    process::ROUNDS_DIVISOR.store(rounds_divisor, Relaxed);
    registers::look_at_syscall();
    let result = slowpath::reset().and_then(|()| (test.run)());
    let status = match result {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e:#}");
            if e.is::<Skip>() {
                KSFT_SKIP
            } else {
                1
            }
        }
    };
    // The next test finds nothing of this one.
    if let Err(e) = slowpath::reset() {
        eprintln!("cleaning up: {e:#}");
        exit(1);
    }
    exit(status);
}

/// Runs a test in a process of its own; returns its KTAP line's end and its messages.
fn spawn(test: Test, patience: u32, rounds_divisor: u32) -> Result<(bool, String, String)> {
    // A file, not a pipe: a child that the test leaves behind must not keep us waiting.
    let stderr = std::env::temp_dir().join(format!("slowpath-{}", test.name));
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exec", test.name, "--patience", &patience.to_string()])
        .args(["--rounds-divisor", &rounds_divisor.to_string()])
        .stdin(Stdio::null())
        .stderr(File::create(&stderr)?)
        .process_group(0)
        .spawn()
        .context("starting the test")?;
    let status = child.wait()?;
    // SAFETY: Has no memory effects. The group is the test's own, and may be empty by now.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let messages = String::from_utf8_lossy(&fs::read(&stderr)?).into_owned();
    fs::remove_file(&stderr)?;
    let skip = messages.lines().next().unwrap_or_default().to_string();
    Ok(match status.code() {
        Some(0) => (true, String::new(), messages),
        Some(KSFT_SKIP) => (true, format!(" # SKIP {skip}"), String::new()),
        Some(_) => (false, String::new(), messages),
        None => (
            false,
            String::new(),
            format!("{messages}the test died: {status}\n"),
        ),
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all: Vec<Test> = [tests::ALL, tests::LONG]
        .iter()
        .flat_map(|files| files.iter())
        .flat_map(|groups| groups.iter())
        .flat_map(|group| group.iter().copied())
        .collect();

    if let Some(name) = args.exec {
        match all.iter().find(|t| t.name == name) {
            Some(&test) => exec(test, args.patience, args.rounds_divisor),
            None => exit(2),
        }
    }

    let on = args.on.map(|on| Dependencies::new(&on));
    let chosen: Vec<Test> = all
        .into_iter()
        .filter(|&t| match args.filter.as_slice() {
            [] => (args.long || !is_long(t)) && on.is_none_or(|on| t.on.intersect(on)),
            filter => filter.iter().any(|part| t.name.contains(part.as_str())),
        })
        .collect();
    if args.list {
        for test in &chosen {
            println!("{:<60} {}", test.name, test.on);
        }
        return ExitCode::SUCCESS;
    }

    println!("KTAP version 1\n1..{}", chosen.len());
    let (mut failed, mut seconds) = (0, String::new());
    for (i, &test) in chosen.iter().enumerate() {
        let start = Instant::now();
        let (ok, end, messages) = spawn(test, args.patience, args.rounds_divisor)
            .unwrap_or_else(|e| (false, String::new(), format!("{e:#}\n")));
        for line in messages.lines() {
            println!("# {line}");
        }
        let result = if ok { "ok" } else { "not ok" };
        println!("{result} {} {}{end}", i + 1, test.name);
        seconds += &format!("{:.2} {}\n", start.elapsed().as_secs_f64(), test.name);
        failed += u32::from(!ok);
    }
    if let Some(Err(e)) = args.seconds.map(|file| fs::write(file, seconds)) {
        eprintln!("the seconds cannot be written: {e}");
        failed += 1;
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
