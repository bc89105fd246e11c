// SPDX-License-Identifier: GPL-2.0

//! Which calls live tasks make, as a policy that allows these.

use crate::{
    counts::{CallName, Count, Counting, OTHERS},
    error::{End, Error, Kind, Result, Trying},
    lines::Number,
    module::{self, Group},
    output::Output,
    recorded::{can_be_said, Profile},
    rules::{syscall_name_of, Abi},
    signals::Signals,
    text::{read, Text},
    values::{self, AllSeen, ValueOf, Values},
    watch::{Watch, WatchArgs},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Record which calls live tasks make, as rules that allow these and no others
#[derive(clap::Args)]
pub struct RecordArgs {
    #[command(flatten)]
    watch: WatchArgs,
    /// So long, such as 60s or 10m; without, until it is interrupted
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Begin with these rules: calls that they have lines for are left to them
    #[arg(long, value_name = "FILE|NAME")]
    base: Option<String>,
    /// How calls fail that were not made
    #[arg(
        long,
        value_name = "ERROR",
        default_value = "EPERM",
        conflicts_with = "base"
    )]
    errno: String,
    /// Allow a call with the values that an argument had, from 0 to 63, as in socket:arg0
    #[arg(long, value_name = "CALL:ARG,...", value_delimiter = ',', value_parser = ValueOf::parse)]
    values: Vec<ValueOf>,
    /// Write the rules to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    name: CallName,
    calls: u64,
    errors: u64,
}

#[derive(Serialize)]
struct Recorded {
    targets: Vec<String>,
    groups: Vec<String>,
    seconds: f64,
    calls: Vec<Row>,
    rules: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    notes: Vec<String>,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.output {
            Some(file) => writeln!(
                f,
                "{file}: {} lines, of {} calls",
                self.rules.lines().count(),
                self.calls.iter().map(|row| row.calls).sum::<u64>()
            ),
            None => f.write_str(&self.rules),
        }
    }
}

impl RecordArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        // What is wrong with these is found out before the time is spent.
        let base = self.base.as_deref().map(read_base).transpose()?;
        match &base {
            Some((name, rules)) => drop(Profile::default().onto(name, rules)?),
            None => drop(Profile::default().smallest(&self.errno)?),
        }
        values::check(&self.values)?;
        let file = self.output.as_deref().map(open).transpose()?;
        let signals = Signals::new()?;
        let mut watch = Watch::new(&self.watch, out)?;
        let recorded = self.record(out, &mut watch, &signals, base.as_ref());
        let ended = watch.end(out);
        let mut recorded = recorded?;
        if let (Some(mut file), Some(path)) = (file, &self.output) {
            let what = || path.display().to_string();
            file.set_len(0).trying(what())?;
            file.write_all(recorded.rules.as_bytes()).trying(what())?;
            recorded.output = Some(what());
        }
        for note in &recorded.notes {
            out.note(note);
        }
        out.print(&recorded);
        ended
    }

    fn record(
        &self,
        out: Output,
        watch: &mut Watch,
        signals: &Signals,
        base: Option<&(String, String)>,
    ) -> Result<Recorded> {
        let values = Values::start(&self.values, &watch.groups)?;
        let counting = match Counting::start(&watch.groups, false) {
            Ok(counting) => counting,
            Err(e) => {
                values.stop();
                return Err(e);
            }
        };
        let result = (|| {
            let waiting = in_progress(&watch.groups)?;
            let start = Instant::now();
            let until = match self.duration {
                Some(time) => format!("for {}", humantime::format_duration(time)),
                None => "until interrupted".into(),
            };
            watch.say(out);
            out.note(&format!("recording {until}: {}", watch.names.join(", ")));
            signals.wait(self.duration, &watch.groups)?;
            let (counts, lost) = counting.read()?;
            // Rules without what was counted there would refuse it.
            if let Some(lost) = lost.first() {
                return Err(Error::new(Kind::Failed, lost).help("record once more"));
            }
            watch.note_switches();
            let seen = values.read()?;
            self.recorded(watch, counts.calls, seen, waiting, start.elapsed(), base)
        })();
        let notes = [counting.stop(), values.stop()].concat();
        result.map(|mut recorded| {
            recorded.notes.extend(notes);
            recorded
        })
    }

    fn recorded(
        &self,
        watch: &Watch,
        calls: BTreeMap<CallName, Count>,
        mut seen: AllSeen,
        waiting: Vec<Waiting>,
        time: Duration,
        base: Option<&(String, String)>,
    ) -> Result<Recorded> {
        if calls.is_empty() {
            let time = humantime::format_duration(Duration::from_secs(time.as_secs()));
            let what = format!("no call was made in {time}");
            let help = "have the tasks do what they are there for meanwhile, or record for longer";
            let why = watch.switches.first().map_or(help, String::as_str);
            return Err(Error::new(Kind::Failed, what).help(why));
        }
        let mut profile = Profile::new(&calls);
        for Waiting { call, arguments } in waiting {
            profile.add(call);
            let name = syscall_name_of(i32::from(call.1), call.0);
            if let Some(seen) = name.and_then(|name| seen.get_mut(name)) {
                seen.add(&arguments);
            }
        }
        let mut notes = watch.notes.clone();
        notes.extend(watch.switches.clone());
        for (call, seen) in seen.iter().filter(|(_, seen)| seen.others > 0) {
            notes.push(format!(
                "{} calls of {call} had an {} above 63: it is allowed whatever that is",
                seen.others, seen.argument
            ));
        }
        profile.values = seen;
        let of_others = watch.groups.iter().filter(|_| self.values.is_empty());
        for group in of_others {
            if let Some(policy) = group.policy().ok().flatten() {
                notes.push(format!(
                    "{} is under the policy {}: what that refuses is recorded, too",
                    group.0, policy.0
                ));
            }
        }
        for (CallName { arch, call }, count) in &profile.beyond {
            notes.push(match call.as_str() {
                OTHERS => format!(
                    "{count} calls of {arch} have numbers that no rule can have: the default is for them"
                ),
                _ => format!("{call} of {arch} is a call that this command does not know"),
            });
        }
        let rules = match base {
            None => profile.smallest(&self.errno)?,
            Some((name, rules)) => {
                let (rules, kept) = profile.onto(name, rules)?;
                for (call, lines) in kept {
                    notes.push(format!("{call} was made, and is left to {name}: {lines}"));
                }
                rules
            }
        };
        let mut rows: Vec<Row> = calls
            .into_iter()
            .map(|(name, count)| Row {
                name,
                calls: count.calls,
                errors: count.errors,
            })
            .collect();
        rows.sort_by_key(|row| row.name.order());
        Ok(Recorded {
            targets: watch.names.clone(),
            groups: watch.groups.iter().map(|group| group.0.clone()).collect(),
            seconds: time.as_secs_f64(),
            calls: rows,
            rules,
            output: None,
            notes,
        })
    }
}

/// The rules of a file as they were written, with comments, or those of a policy.
fn read_base(said: &str) -> Result<(String, String)> {
    let policy = module::Policy(said.into());
    if policy.exists() {
        return Ok((said.into(), policy.get("rules")?));
    }
    let rules = read(Path::new(said)).trying(said)?;
    Text::parse(said, &rules).map_err(|places| Error::rules(said, places))?;
    // What makes sense is text.
    Ok((said.into(), String::from_utf8_lossy(&rules).into_owned()))
}

/// A file that can be written, with what it has so far.
fn open(path: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(path);
    file.trying(path.display().to_string())
}

/// A call that a task waits in.
struct Waiting {
    call: Number,
    arguments: Vec<u64>,
}

/// Such calls may not be made again for as long as is recorded.
fn in_progress(groups: &[Group]) -> Result<Vec<Waiting>> {
    let mut calls = Vec::new();
    for group in groups {
        let members = match group.members() {
            // Removed meanwhile.
            Err(e) if e.kind == Kind::NotFound => continue,
            members => members?,
        };
        calls.extend(members.into_iter().filter_map(waits_in));
    }
    Ok(calls)
}

fn waits_in(tid: i32) -> Option<Waiting> {
    let text = fs::read_to_string(format!("/proc/{tid}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let arguments = words.take(6).map_while(hex).collect();
    let waiting = |abi, number| {
        let call = (abi, can_be_said(number)?);
        Some(Waiting { call, arguments })
    };
    let x32 = 1 << 30;
    if number >= x32 {
        return waiting(Abi::X32, number - x32);
    }
    // Of ELF, the fifth byte says how wide addresses are.
    let mut header = [0; 5];
    let mut program = fs::File::open(format!("/proc/{tid}/exe")).ok()?;
    program.read_exact(&mut header).ok()?;
    let abi = if header[4] == 1 {
        Abi::I386
    } else {
        Abi::X86_64
    };
    waiting(abi, number)
}
