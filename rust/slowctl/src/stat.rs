// SPDX-License-Identifier: GPL-2.0

//! How often calls are made and fail, and how long they take, as `strace -c -w` has it.

use crate::{
    counts::{Buckets, CallName, Counting, Counts},
    error::{End, Error, Kind, Result},
    module,
    output::Output,
    rules::Abi,
    signals::Signals,
    watch::{Watch, WatchArgs},
};
use serde::Serialize;
use std::{
    cmp::Reverse,
    fmt,
    time::{Duration, Instant},
};

/// Count the calls of live tasks, their errors and their time, as strace -c does
#[derive(clap::Args)]
pub struct StatArgs {
    #[command(flatten)]
    watch: WatchArgs,
    /// So long, such as 10s; without, until it is interrupted
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// By what: time, min-time, max-time, avg-time, calls, errors, name, nothing
    #[arg(short = 'S', long, value_name = "COLUMN", default_value = "time", value_parser = Key::parse)]
    sort: Key,
    /// Which columns: time-percent, total-time, min-time, max-time, avg-time, calls, errors, name
    #[arg(
        short = 'U',
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        default_value = "time-percent,total-time,avg-time,calls,errors,name",
        value_parser = Column::parse
    )]
    columns: Vec<Column>,
}

/// What can be shown of a call. The words are those of strace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Percent,
    Total,
    Min,
    Max,
    Average,
    Calls,
    Errors,
    Name,
}

impl Column {
    fn parse(word: &str) -> std::result::Result<Self, String> {
        Ok(match word {
            "time-percent" | "time" => Self::Percent,
            "total-time" | "time-total" => Self::Total,
            "min-time" | "shortest" | "time-min" => Self::Min,
            "max-time" | "longest" | "time-max" => Self::Max,
            "avg-time" | "time-avg" => Self::Average,
            "calls" | "count" => Self::Calls,
            "errors" | "error" => Self::Errors,
            "name" | "syscall" | "syscall-name" => Self::Name,
            _ => return Err("there is no such column".into()),
        })
    }

    fn is_time(self) -> bool {
        !matches!(self, Self::Calls | Self::Errors | Self::Name)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Percent => "% time",
            Self::Total => "seconds",
            Self::Min => "shortest",
            Self::Max => "longest",
            Self::Average => "usecs/call",
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Name => "syscall",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Percent => 6,
            Self::Calls | Self::Errors => 9,
            Self::Name => 16,
            _ => 11,
        }
    }
}

/// By what calls are sorted: a column, or as they are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(Option<Column>);

impl Key {
    fn parse(word: &str) -> std::result::Result<Self, String> {
        match word {
            "nothing" | "none" => Ok(Self(None)),
            _ => Column::parse(word).map(|column| Self(Some(column))),
        }
    }
}

/// A call, or all. Times are in nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    #[serde(flatten)]
    name: Option<CallName>,
    calls: u64,
    errors: u64,
    /// How many have returned, and have a time.
    timed: u64,
    /// Between which the time of all is.
    total_min_ns: u64,
    total_max_ns: u64,
    shortest_ns: u64,
    longest_ns: u64,
}

impl Row {
    fn add_times(&mut self, buckets: &Buckets) {
        for (&time, &count) in buckets {
            self.timed += count;
            self.total_min_ns += time.saturating_mul(count);
            self.total_max_ns += time.saturating_mul(2).saturating_mul(count);
        }
        let (first, last) = (buckets.first_key_value(), buckets.last_key_value());
        self.shortest_ns = first.map_or(0, |(time, _)| *time);
        self.longest_ns = last.map_or(0, |(time, _)| time.saturating_mul(2));
    }

    /// In the middle of what it may be.
    fn total(&self) -> u64 {
        self.total_min_ns / 2 + self.total_max_ns / 2
    }

    fn average(&self) -> u64 {
        self.total().checked_div(self.timed).unwrap_or(0)
    }

    fn title(&self) -> String {
        let Some(CallName { arch, call }) = &self.name else {
            return "total".into();
        };
        match arch == Abi::X86_64.name() {
            true => call.clone(),
            false => format!("{call} ({arch})"),
        }
    }

    fn cell(&self, column: Column, all: u64) -> String {
        let seconds =
            |nanos: u64| format!("{}.{:06}", nanos / 1_000_000_000, nanos / 1000 % 1_000_000);
        match column {
            Column::Percent => {
                let all = u128::from(all);
                let share = u128::from(self.total()) * 10_000 + all / 2;
                let share = share.checked_div(all).unwrap_or(0);
                format!("{}.{:02}", share / 100, share % 100)
            }
            Column::Total => seconds(self.total()),
            Column::Min => seconds(self.shortest_ns),
            Column::Max => seconds(self.longest_ns),
            Column::Average => (self.average() / 1000).to_string(),
            Column::Calls => self.calls.to_string(),
            Column::Errors if self.errors == 0 => String::new(),
            Column::Errors => self.errors.to_string(),
            Column::Name => self.title(),
        }
    }
}

#[derive(Serialize)]
struct Stat {
    targets: Vec<String>,
    groups: Vec<String>,
    seconds: f64,
    calls: Vec<Row>,
    /// Of how many calls the time is not known, for lack of memory.
    missed: u64,
    notes: Vec<String>,
    #[serde(skip)]
    columns: Vec<Column>,
}

impl Stat {
    fn total(&self) -> Row {
        let mut total = Row::default();
        for row in &self.calls {
            total.calls += row.calls;
            total.errors += row.errors;
            total.timed += row.timed;
            total.total_min_ns += row.total_min_ns;
            total.total_max_ns = total.total_max_ns.saturating_add(row.total_max_ns);
            total.longest_ns = total.longest_ns.max(row.longest_ns);
        }
        let times = self.calls.iter().filter(|row| row.timed > 0);
        total.shortest_ns = times.map(|row| row.shortest_ns).min().unwrap_or(0);
        total
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let line = |f: &mut fmt::Formatter<'_>, cell: &dyn Fn(Column) -> String| {
            let cells = self.columns.iter().map(|column| match column {
                Column::Name => format!("{:<width$}", cell(*column), width = column.width()),
                _ => format!("{:>width$}", cell(*column), width = column.width()),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join(" ").trim_end())
        };
        let rule = |column: Column| "-".repeat(column.width());
        line(f, &|column| column.title().into())?;
        line(f, &rule)?;
        for row in &self.calls {
            line(f, &|column| row.cell(column, total.total()))?;
        }
        line(f, &rule)?;
        line(f, &|column| total.cell(column, total.total()))
    }
}

/// The calls that were counted, as they are numbered.
fn rows(counts: &Counts) -> Vec<Row> {
    let mut names: Vec<&CallName> = counts.calls.keys().chain(counts.latency.keys()).collect();
    names.sort_by_key(|name| (name.order(), *name));
    names.dedup();
    let row = |name: &CallName| {
        let count = counts.calls.get(name).copied().unwrap_or_default();
        let mut row = Row {
            name: Some(name.clone()),
            calls: count.calls,
            errors: count.errors,
            ..Row::default()
        };
        if let Some(buckets) = counts.latency.get(name) {
            row.add_times(buckets);
        }
        row
    };
    names.into_iter().map(row).collect()
}

fn sort(rows: &mut [Row], key: Key) {
    match key.0 {
        None => {}
        Some(Column::Percent | Column::Total) => rows.sort_by_key(|row| Reverse(row.total())),
        Some(Column::Min) => rows.sort_by_key(|row| Reverse(row.shortest_ns)),
        Some(Column::Max) => rows.sort_by_key(|row| Reverse(row.longest_ns)),
        Some(Column::Average) => rows.sort_by_key(|row| Reverse(row.average())),
        Some(Column::Calls) => rows.sort_by_key(|row| Reverse(row.calls)),
        Some(Column::Errors) => rows.sort_by_key(|row| Reverse(row.errors)),
        Some(Column::Name) => rows.sort_by_key(Row::title),
    }
}

/// What groups count until the time is over or it is interrupted, and for how many seconds; what is
/// to be said of it.
pub struct Look {
    pub counts: Counts,
    pub targets: Vec<String>,
    pub groups: Vec<String>,
    pub seconds: f64,
    pub notes: Vec<String>,
    /// Whether all were let go.
    pub end: Result<End>,
}

impl Look {
    pub fn new(out: Output, args: &WatchArgs, duration: Option<Duration>) -> Result<Self> {
        module::require()?;
        let signals = Signals::new()?;
        let mut watch = Watch::new(args, out)?;
        let start = Instant::now();
        let counts = Counting::start(&watch.groups, true).and_then(|counting| {
            let until = match duration {
                Some(time) => format!("for {}", humantime::format_duration(time)),
                None => "until interrupted".into(),
            };
            watch.say(out);
            out.note(&format!("counting {until}: {}", watch.names.join(", ")));
            let waited = signals.wait(duration, &watch.groups);
            let counts = waited.and_then(|()| counting.read());
            let seconds = start.elapsed().as_secs_f64();
            let go_on = counting.stop();
            counts.map(|(counts, lost)| (counts, seconds, lost, go_on))
        });
        watch.note_switches();
        let names = watch.names.clone();
        let groups: Vec<String> = watch.groups.iter().map(|group| group.0.clone()).collect();
        let mut notes = [watch.notes.clone(), watch.switches.clone()].concat();
        let mut end = watch.end(out);
        let (counts, seconds, lost, go_on) = counts?;
        if lost.len() == groups.len() {
            return Err(Error::new(Kind::Failed, lost.join("; ")));
        }
        if !lost.is_empty() {
            end = end.map(|_| End::Bad(Kind::Partial));
        }
        notes.extend(lost);
        notes.extend(go_on);
        if counts.missed > 0 {
            let missed = counts.missed;
            notes.push(format!(
                "there was no memory for the times of {missed} calls"
            ));
        }
        Ok(Self {
            counts,
            targets: names,
            groups,
            seconds,
            notes,
            end,
        })
    }
}

impl StatArgs {
    pub fn run(mut self, out: Output) -> Result<End> {
        if !self.columns.contains(&Column::Name) {
            self.columns.push(Column::Name);
        }
        let mut seen = Vec::new();
        for column in &self.columns {
            if seen.contains(column) {
                return Err(Error::usage(format!(
                    "-U: '{}' is there twice",
                    column.title()
                )));
            }
            seen.push(*column);
        }
        let look = Look::new(out, &self.watch, self.duration)?;
        let mut calls = rows(&look.counts);
        sort(&mut calls, self.sort);
        for note in &look.notes {
            out.note(note);
        }
        let has_times = out.json || self.columns.iter().any(|column| column.is_time());
        if has_times && calls.iter().any(|row| row.timed > 0) {
            out.note("times are known as powers of two: they may be a third more, or less");
        }
        out.print(&Stat {
            targets: look.targets,
            groups: look.groups,
            seconds: look.seconds,
            calls,
            missed: look.counts.missed,
            notes: look.notes,
            columns: self.columns,
        });
        look.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{parse_calls, parse_latency};

    fn counts() -> Counts {
        let calls = "x86_64 read 4 1\nx86_64 openat 2 0\ni386 read 9 9";
        let (latency, missed) =
            parse_latency("x86_64 read 1024:3 4096:1\nx86_64 openat 1048576:2").unwrap();
        Counts {
            calls: parse_calls(calls).unwrap(),
            latency,
            missed,
        }
    }

    #[test]
    fn it_is_a_table_as_strace_has_it() {
        let mut calls = rows(&counts());
        sort(&mut calls, Key::parse("time").unwrap());
        let columns = "time-percent,total-time,avg-time,calls,errors,name".split(',');
        let stat = Stat {
            targets: Vec::new(),
            groups: Vec::new(),
            seconds: 1.0,
            calls,
            missed: 0,
            notes: Vec::new(),
            columns: columns
                .map(|column| Column::parse(column).unwrap())
                .collect(),
        };
        let wanted = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.66    0.003145        1572         2           openat
  0.34    0.000010           2         4         1 read
  0.00    0.000000           0         9         9 read (i386)
------ ----------- ----------- --------- --------- ----------------
100.00    0.003156         526        15        10 total
";
        assert_eq!(stat.to_string(), wanted);
    }

    #[test]
    fn rows_are_sorted() {
        let first = |key: &str| {
            let mut rows = rows(&counts());
            sort(&mut rows, Key::parse(key).unwrap());
            rows[0].title()
        };
        assert_eq!(first("calls"), "read (i386)");
        assert_eq!(first("errors"), "read (i386)");
        assert_eq!(first("max-time"), "openat");
        assert_eq!(first("avg-time"), "openat");
        assert_eq!(first("name"), "openat");
        assert_eq!(first("nothing"), "read");
        assert!(Key::parse("junk").is_err() && Column::parse("nothing").is_err());
    }
}
