// SPDX-License-Identifier: GPL-2.0

//! What becomes of calls, as it happens.

mod decode;
mod flags;
mod trace;

use crate::{
    error::{End, Error, Kind, Result, Trying},
    membership::of_another_handler,
    module::{self, Group},
    output::{coloured, plain, Output, BAD, WARN},
    rules::{errno_name, signal_name, syscall_name_of, Abi, Action},
    signals::Signals,
    target::{Target, TargetArgs},
    task,
    watch::{named, Place},
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};
use trace::Trace;

/// Print what becomes of calls that are not just let through, as it happens
#[derive(clap::Args)]
pub struct EventsArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// All that are in this group
    #[arg(
        long = "group",
        value_name = "NAME",
        group = "targets",
        help_heading = "Targets"
    )]
    groups: Vec<String>,
    /// So long, such as 10s; without, until it is interrupted
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// End after so many
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Event {
    /// In seconds, by the clock of the trace system.
    time: f64,
    cpu: u32,
    tid: i32,
    comm: String,
    group: String,
    arch: &'static str,
    call: String,
    number: i32,
    arguments: [u64; 6],
    decoded: Vec<String>,
    action: String,
    value: i64,
    /// In words.
    effect: String,
}

const NAME: &str = ": syscall_slowpath_verdict: ";

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const X32_BIT: i32 = 1 << 30;

impl Event {
    /// From a line of the trace system.
    fn parse(line: &str) -> Option<Self> {
        // Names of tasks are too short to have this in them.
        let (head, body) = line.split_once(NAME)?;
        let (head, time) = head.trim_end().rsplit_once(' ')?;
        let (head, _flags) = head.trim_end().rsplit_once(' ')?;
        let (task, cpu) = head.trim_end().rsplit_once(' ')?;
        let (comm, tid) = task.trim_end().rsplit_once('-')?;
        let tid = tid.parse().ok()?;
        let cpu = cpu.strip_prefix('[')?.strip_suffix(']')?;

        let mut fields = body.splitn(6, ' ');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let arch = u32::from_str_radix(field("arch")?, 16).ok()?;
        let number: i32 = field("nr")?.parse().ok()?;
        let action = field("action")?.to_string();
        let value: i64 = field("value")?.parse().ok()?;
        let words = field("args")?.split(',');
        let words = words.map(|word| u64::from_str_radix(word, 16).ok());
        let arguments = words.collect::<Option<Vec<u64>>>()?.try_into().ok()?;
        let group = field("group")?.to_string();

        let abi = match arch {
            X86_64 if number >= X32_BIT => Abi::X32,
            X86_64 => Abi::X86_64,
            I386 => Abi::I386,
            _ => return None,
        };
        let number = if abi == Abi::X32 {
            number & !X32_BIT
        } else {
            number
        };
        let call = syscall_name_of(number, abi);
        let call = call.map_or(format!("syscall_{number:#x}"), String::from);
        Some(Self {
            time: time.parse().ok()?,
            cpu: cpu.parse().ok()?,
            tid,
            // The trace system does not remember all names.
            comm: match comm.trim_start() {
                "<...>" => task::comm(tid).unwrap_or_else(|| "?".into()),
                comm => comm.into(),
            },
            decoded: decode::decode(&call, &arguments),
            effect: effect(&action, value, abi),
            group,
            arch: abi.name(),
            call,
            number,
            arguments,
            action,
            value,
        })
    }

    fn is_refusal(&self) -> bool {
        ["skip", "trap", "kill_thread", "kill_process"].contains(&self.action.as_str())
    }
}

/// What an action does, with its value.
fn effect(action: &str, value: i64, abi: Abi) -> String {
    match action {
        "skip" => format!("= {}, not made", result(value)),
        "result" => format!("= {}, in place of its own", result(value)),
        // CAST: No delay is negative.
        "delay" => Action::Delay(value as u64).to_string(),
        "signal" => {
            let name = u8::try_from(value).ok().and_then(signal_name);
            format!("signal {}", name.map_or(value.to_string(), String::from))
        }
        "trap" => format!("trap {value}, not made"),
        "kill_thread" | "kill_process" => format!("{action}, not made"),
        "number" => {
            // CAST: A number of a call.
            let name = syscall_name_of(value as i32 & !X32_BIT, abi);
            format!("becomes {}", name.map_or(value.to_string(), String::from))
        }
        "argument" => format!("an argument becomes {value:#x}"),
        _ => action.into(),
    }
}

fn result(value: i64) -> String {
    let errno = u16::try_from(value.wrapping_neg()).ok();
    match errno.filter(|_| (-4095..0).contains(&value)) {
        Some(errno) => match errno_name(errno) {
            Some(name) => format!("-1 {name}"),
            None => format!("-1 (error {errno})"),
        },
        None => value.to_string(),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            time,
            comm,
            tid,
            group,
            call,
            ..
        } = self;
        let arch = match self.arch {
            "x86_64" => String::new(),
            arch => format!("{arch}:"),
        };
        let effect = match self.is_refusal() {
            true => coloured(BAD, &self.effect),
            false => coloured(WARN, &self.effect),
        };
        let arguments = self.decoded.join(", ");
        let comm = plain(comm);
        write!(
            f,
            "{time:.6} {comm}[{tid}] {arch}{call}({arguments}) {effect}  ({group})"
        )
    }
}

/// What was not printed: a line of its own.
#[derive(Serialize)]
struct Lost {
    /// How many came faster than they were read.
    lost: u64,
    /// How many lines make no sense to this command.
    #[serde(skip_serializing_if = "is_zero")]
    not_understood: u64,
}

// As serde wants it.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whose events are printed.
struct Scope {
    /// Of these groups, or of all if there are none.
    groups: BTreeSet<String>,
    /// Processes and threads, and what they make.
    targets: Vec<Target>,
}

impl Scope {
    fn new(args: &EventsArgs) -> Result<Self> {
        let mut groups = BTreeSet::new();
        for name in &args.groups {
            groups.insert(named(name)?.0);
        }
        let mut targets = args.targets.find()?;
        for target in &targets {
            let of_target = groups_of(target)?;
            if of_target.is_empty() {
                let what = format!("{target} is in no group: nothing is decided about its calls");
                return Err(Error::new(Kind::NotFound, what).help(format!(
                    "slowctl attach {} --policy FILE",
                    target.as_option()
                )));
            }
            groups.extend(of_target);
        }
        let is_cgroup = |target: &Target| matches!(target, Target::Cgroup(_));
        if !args.groups.is_empty() || targets.iter().any(is_cgroup) {
            // Who comes into these is not known beforehand.
            let is_mixed = targets.iter().any(|target| !is_cgroup(target));
            if is_mixed || (!args.groups.is_empty() && !targets.is_empty()) {
                return Err(Error::usage(
                    "processes and threads are one thing, groups and cgroups another",
                )
                .help("have two commands look at them"));
            }
            targets.clear();
        }
        Ok(Self { groups, targets })
    }

    /// What nothing is decided in, because it is switched off.
    fn switches(&self) -> Vec<String> {
        let groups = match self.groups.is_empty() {
            true => Group::all().unwrap_or_default(),
            false => self.groups.iter().cloned().map(Group).collect(),
        };
        let why = groups.iter().filter_map(|group| {
            let why = module::why_not_judged(group).ok().flatten()?;
            Some(format!("nothing is judged in the group {}: {why}", group.0))
        });
        why.collect()
    }

    fn tids(&self) -> Vec<i32> {
        let here = self.targets.iter().filter(|target| !target.is_gone());
        let tids = here.map(|target| match target {
            Target::Process(held) => task::threads_of(held.id),
            Target::Thread(held) => vec![held.id],
            Target::Cgroup(_) => Vec::new(),
        });
        tids.flatten().collect()
    }

    /// Whether nobody is left whose events could come.
    fn is_over(&self) -> bool {
        let is_gone = |group: &String| !Group(group.clone()).is_ours();
        let targets_are_gone = !self.targets.is_empty() && self.tids().is_empty();
        (!self.groups.is_empty() && self.groups.iter().all(is_gone)) || targets_are_gone
    }
}

/// The groups that a target is in, or a part of it.
fn groups_of(target: &Target) -> Result<BTreeSet<String>> {
    let groups = match target {
        Target::Cgroup(_) => Place::of(target)?.groups,
        _ => target.groups()?.into_iter().map(|group| group.0).collect(),
    };
    if let Some(other) = groups
        .iter()
        .find(|group| !Group(group.to_string()).is_ours())
    {
        return Err(of_another_handler(
            &target.to_string(),
            &Group(other.clone()),
        ));
    }
    Ok(groups)
}

/// How often it is looked whether somebody is left.
const LOOK: Duration = Duration::from_secs(1);

impl EventsArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let signals = Signals::new()?;
        let scope = Scope::new(&self)?;
        let groups: Vec<String> = scope.groups.iter().cloned().collect();
        let mut trace = Trace::start(&groups, &|| scope.tids())?;
        let whom = match groups.is_empty() {
            true => "all groups".into(),
            false => format!("the group {}", groups.join(", ")),
        };
        for why in scope.switches() {
            out.note(&why);
        }
        out.note(&format!("waiting for what is decided in {whom}"));
        let start = Instant::now();
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut not_understood = 0;
        let mut looked = Instant::now();
        let mut is_last = false;
        loop {
            let lines = trace.lines()?;
            let is_all = lines.is_empty();
            for line in lines {
                let Some(event) = Event::parse(&line) else {
                    not_understood += u64::from(line.contains(NAME));
                    continue;
                };
                let is_meant = scope.groups.is_empty() || scope.groups.contains(&event.group);
                if !is_meant || left == 0 {
                    continue;
                }
                if !out.print_line(&event).trying("standard output")? {
                    return Ok(End::Good);
                }
                left -= 1;
            }
            if left == 0 || (is_last && is_all) {
                break;
            }
            if is_last {
                continue;
            }
            let time = self
                .duration
                .map(|time| time.saturating_sub(start.elapsed()));
            wait(&trace, time.unwrap_or(LOOK).min(LOOK))?;
            is_last = signals.is_there(Duration::ZERO)? || time.is_some_and(|time| time.is_zero());
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                is_last |= scope.is_over();
            }
            if is_last {
                trace.stop()?;
            }
        }
        let lost = Lost {
            lost: trace.lost(),
            not_understood,
        };
        if out.json {
            out.print_line(&lost).trying("standard output")?;
        } else if lost.lost + lost.not_understood > 0 {
            out.note(&lost.to_string());
        }
        Ok(End::Good)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.lost > 0 {
            let lost = self.lost;
            parts.push(format!(
                "{lost} events were lost: they came faster than they were read"
            ));
        }
        if self.not_understood > 0 {
            let number = self.not_understood;
            parts.push(format!(
                "{number} events are not understood: is the kernel newer than this command?"
            ));
        }
        f.write_str(&parts.join("\n"))
    }
}

/// Waits for events, so long; a signal ends it.
fn wait(trace: &Trace, time: Duration) -> Result<()> {
    let time = Timespec::try_from(time).unwrap_or_default();
    match poll(
        &mut [PollFd::from_borrowed_fd(trace.fd(), PollFlags::IN)],
        Some(&time),
    ) {
        Err(rustix::io::Errno::INTR) => Ok(()),
        ready => ready.map(drop).trying("waiting for events"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "     my prog-x-4711    [001] d..1.  1234.567890: syscall_slowpath_verdict: \
        arch=c000003e nr=83 action=skip value=-13 args=7ffc0,1ff,0,0,0,0 group=web";

    #[test]
    fn lines_are_read() {
        let event = Event::parse(LINE).unwrap();
        assert_eq!(event.comm, "my prog-x");
        assert_eq!((event.tid, event.cpu, event.time), (4711, 1, 1234.56789));
        assert_eq!((event.arch, event.call.as_str()), ("x86_64", "mkdir"));
        let text = anstream::adapter::strip_str(&event.to_string()).to_string();
        assert_eq!(
            text,
            "1234.567890 my prog-x[4711] mkdir(0x7ffc0, 0777) = -1 EACCES, not made  (web)"
        );
        let of = |from: &str, to: &str| Event::parse(&LINE.replace(from, to)).unwrap();
        let i386 = of("arch=c000003e nr=83", "arch=40000003 nr=102");
        assert_eq!((i386.arch, i386.call.as_str()), ("i386", "socketcall"));
        let x32 = of("nr=83", "nr=1073742344");
        assert_eq!((x32.arch, x32.call.as_str()), ("x32", "execve"));
        assert_eq!(of("nr=83", "nr=999").call, "syscall_0x3e7");
    }

    #[test]
    fn effects_are_in_words() {
        let of = |action: &str, value| effect(action, value, Abi::X86_64);
        assert_eq!(of("skip", 5), "= 5, not made");
        assert_eq!(of("skip", -4000), "= -1 (error 4000), not made");
        assert_eq!(of("delay", 20_000_000), "delay 20ms");
        assert_eq!(of("signal", 10), "signal SIGUSR1");
        assert_eq!(of("number", 437), "becomes openat2");
        assert_eq!(of("log", 0), "log");
    }

    #[test]
    fn junk_is_no_event() {
        for junk in [
            "",
            "CPU:0 [LOST 12 EVENTS]",
            "a: syscall_slowpath_verdict: b",
            &LINE[..90],
        ] {
            assert_eq!(Event::parse(junk), None, "{junk}");
        }
    }
}
