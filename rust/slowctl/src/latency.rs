// SPDX-License-Identifier: GPL-2.0

//! How long calls take, as a histogram.

use crate::{
    counts::{Buckets, CallName},
    error::{End, Error, Kind, Result, Trying},
    inject::Selection,
    output::Output,
    stat::Look,
    watch::WatchArgs,
};
use plotters::prelude::*;
use serde::Serialize;
use std::{fmt, fs, path::PathBuf, time::Duration};

/// Show how long the calls of live tasks take, as a histogram
#[derive(clap::Args)]
pub struct LatencyArgs {
    #[command(flatten)]
    watch: WatchArgs,
    /// Which calls: names, %classes, /regex and so on, as in strace's sets
    #[arg(short = 'e', value_name = "SET", default_value = "all")]
    calls: Selection,
    /// So long, such as 10s; without, until it is interrupted
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Draw it, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    name: CallName,
    calls: u64,
    /// Half of the calls, 9 of 10, and 99 of 100 took less than this, in nanoseconds.
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    /// How many took so many nanoseconds, or up to twice as long.
    buckets: Vec<(u64, u64)>,
}

/// A power of two above what so many of a hundred took.
pub fn quantile(buckets: &Buckets, percent: u64) -> u64 {
    let all: u64 = buckets.values().sum();
    let mut seen = 0;
    for (time, count) in buckets {
        seen += count;
        if u128::from(seen) * 100 >= u128::from(all) * u128::from(percent) {
            return time.saturating_mul(2);
        }
    }
    0
}

impl Row {
    fn new(name: &CallName, buckets: &Buckets) -> Self {
        Self {
            name: name.clone(),
            calls: buckets.values().sum(),
            p50_ns: quantile(buckets, 50),
            p90_ns: quantile(buckets, 90),
            p99_ns: quantile(buckets, 99),
            buckets: buckets
                .iter()
                .map(|(time, count)| (*time, *count))
                .collect(),
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.name.arch, self.name.call)
    }
}

/// A power of two of nanoseconds, in the unit that gives it the fewest digits.
pub fn time(nanos: u64) -> String {
    let units = [(1 << 30, "s"), (1 << 20, "ms"), (1 << 10, "us")];
    let unit = units.iter().find(|(unit, _)| nanos >= *unit);
    match unit {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => format!("{nanos}ns"),
    }
}

const BAR: u64 = 40;

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p90, p99) = (time(self.p50_ns), time(self.p90_ns), time(self.p99_ns));
        let title = self.title();
        writeln!(
            f,
            "{title}: {} calls, 50% below {p50}, 90% {p90}, 99% {p99}",
            self.calls
        )?;
        let most = self.buckets.iter().map(|(_, count)| *count).max();
        let most = most.unwrap_or(1);
        let (Some((first, _)), Some((last, _))) = (self.buckets.first(), self.buckets.last())
        else {
            return Ok(());
        };
        // Those that are empty in between are shown.
        for power in first.ilog2()..=last.ilog2() {
            let from = 1u64 << power;
            let of_this = self.buckets.iter().find(|(time, _)| *time == from);
            let count = of_this.map_or(0, |(_, count)| *count);
            // CAST: At most the width of a bar.
            let length = (u128::from(count) * u128::from(BAR)).div_ceil(u128::from(most)) as usize;
            let line = format!("{:>8}  {count:>9}  {}", time(from), "#".repeat(length));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Latency {
    targets: Vec<String>,
    groups: Vec<String>,
    seconds: f64,
    calls: Vec<Row>,
    missed: u64,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    svg: Option<String>,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.calls.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{row}")?;
        }
        Ok(())
    }
}

impl LatencyArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let write =
            |path: &PathBuf, text: &str| fs::write(path, text).trying(path.display().to_string());
        if let Some(path) = &self.svg {
            // Before the time is spent.
            write(path, "")?;
        }
        let look = Look::new(out, &self.watch, self.duration)?;
        let all = look.counts.latency.iter();
        let mut rows: Vec<Row> = all
            .filter(|(name, buckets)| self.calls.has(name) && !buckets.is_empty())
            .map(|(name, buckets)| Row::new(name, buckets))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.calls));
        if rows.is_empty() {
            let what = format!("no such call has returned in {:.0} s", look.seconds);
            let help = "look for longer, or for other calls".into();
            let why = Vec::from_iter(look.notes);
            let why = if why.is_empty() { help } else { why.join("\n") };
            return Err(Error::new(Kind::Failed, what).help(why));
        }
        if let Some(path) = &self.svg {
            write(path, &drawn(&rows)?)?;
        }
        for note in &look.notes {
            out.note(note);
        }
        out.print(&Latency {
            targets: look.targets,
            groups: look.groups,
            seconds: look.seconds,
            calls: rows,
            missed: look.counts.missed,
            notes: look.notes,
            svg: self.svg.map(|path| path.display().to_string()),
        });
        look.end
    }
}

/// More lines than this cannot be told apart.
const MOST_DRAWN: usize = 8;

/// Which share of a call's calls took how long, as a picture.
fn drawn(rows: &[Row]) -> Result<String> {
    let rows = &rows[..rows.len().min(MOST_DRAWN)];
    let powers = || {
        rows.iter()
            .flat_map(|row| row.buckets.iter().map(|(time, _)| time.ilog2()))
    };
    let (first, last) = (powers().min().unwrap_or(0), powers().max().unwrap_or(0));
    let mut text = String::new();
    let draw = |text: &mut String| -> std::result::Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(text, (960, 540)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(first..last + 1, 0f64..100f64)?;
        chart
            .configure_mesh()
            .x_desc("time")
            .y_desc("% of the calls")
            .x_labels((last - first + 2).min(20) as usize)
            .x_label_formatter(&|power| time(1 << power))
            .draw()?;
        for (index, row) in rows.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let share = |power: u32| {
                let of_this = row.buckets.iter().find(|(time, _)| time.ilog2() == power);
                // CAST: It is drawn, and need not be exact.
                of_this.map_or(0, |(_, count)| *count) as f64 * 100.0 / row.calls as f64
            };
            let points = (first..=last).map(|power| (power, share(power)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(row.title())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
        Ok(())
    };
    draw(&mut text).map_err(|e| Error::new(Kind::Failed, format!("the picture: {e}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::parse_latency;

    fn row(line: &str) -> Row {
        let (all, _) = parse_latency(line).unwrap();
        let (name, buckets) = all.first_key_value().unwrap();
        Row::new(name, buckets)
    }

    #[test]
    fn a_histogram_has_all_between() {
        let text = row("x86_64 openat 1024:2 4096:80 1048576:1").to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "x86_64 openat: 83 calls, 50% below 8us, 90% 8us, 99% 2ms"
        );
        assert_eq!(lines[1], "     1us          2  #");
        assert_eq!(lines[2], "     2us          0");
        assert_eq!(lines[3], format!("     4us         80  {}", "#".repeat(40)));
        assert_eq!(lines.len(), 12);
    }

    #[test]
    fn a_picture_has_the_calls() {
        let svg = drawn(&[row("x86_64 openat 1024:2 4096:80"), row("i386 read 1:1")]).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert!(svg.contains("x86_64 openat") && svg.contains("i386 read"));
        assert!(svg.matches("<polyline").count() >= 2);
    }
}
