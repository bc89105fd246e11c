// SPDX-License-Identifier: GPL-2.0

//! What syscalls cost on our kernel and on mainline, in instructions or in nanoseconds.
//!
//! `run` measures, in a VM; `report` lays the results of several runs side by side.

mod bpf;
mod cases;
mod chart;
mod filters;
mod groups;
mod report;
mod steer;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs::File, path::PathBuf};
use steer::Path;

#[derive(Parser)]
#[command(about = "Benchmarks of syscalls with and without Slowpath")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure every case in this process
    Run {
        /// The path that its syscalls take
        #[arg(long, value_enum, default_value_t = Path::Untagged)]
        path: Path,
        /// Measure nanoseconds, where the TSC does not count instructions
        #[arg(long)]
        clock: bool,
        /// The column that the numbers belong in
        #[arg(long)]
        column: String,
        /// Where to write them, as JSON
        #[arg(long)]
        output: PathBuf,
    },
    /// Measure a null call in this process, and print what it costs
    NullCall {
        #[arg(long)]
        clock: bool,
    },
    /// Measure a null call under each filter that is for this kernel
    RunFilters {
        #[arg(long, value_enum)]
        kernel: filters::Kernel,
        #[arg(long)]
        clock: bool,
        /// Only those that the table by CPU model has
        #[arg(long)]
        few: bool,
        /// The column that the numbers belong in
        #[arg(long, default_value = "filters")]
        column: String,
        #[arg(long)]
        output: PathBuf,
    },
    /// Measure what it costs to administer groups
    RunGroups {
        #[arg(long)]
        clock: bool,
        #[arg(long)]
        output: PathBuf,
    },
    /// Print a table of that
    ReportGroups { run: PathBuf },
    /// Print a table of what filters cost, and draw how it depends on the number of rules
    ReportFilters {
        runs: Vec<PathBuf>,
        #[arg(long)]
        json: PathBuf,
        #[arg(long)]
        svg: PathBuf,
    },
    /// Print a table of what a null call costs on our kernel as it was and as it is; fails if it costs more
    /// in some row
    ReportAgainst { before: PathBuf, now: PathBuf },
    /// Print a table by CPU model: what a null call costs on mainline, on mainline without
    /// mitigations, and on our kernel
    ReportModels {
        /// Each three runs of a model, whose name is the column
        runs: Vec<PathBuf>,
        /// All numbers, as JSON
        #[arg(long)]
        json: PathBuf,
    },
    /// Print a table of several runs; the first is what the others are compared with
    Report {
        runs: Vec<PathBuf>,
        /// All numbers, as JSON
        #[arg(long)]
        json: PathBuf,
        /// A bar chart
        #[arg(long)]
        svg: PathBuf,
    },
}

/// The results of one process.
#[derive(Serialize, Deserialize)]
struct Run {
    column: String,
    kernel: String,
    unit: String,
    /// By case, for one round.
    results: BTreeMap<String, f64>,
}

fn kernel() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/osrelease")?
        .trim()
        .to_string())
}

fn unit(clock: bool) -> String {
    if clock { "ns" } else { "instructions" }.to_string()
}

fn write(run: &Run, file: PathBuf) -> Result<()> {
    Ok(serde_json::to_writer_pretty(File::create(file)?, run)?)
}

fn read(files: &[PathBuf]) -> Result<Vec<Run>> {
    let read = |path: &PathBuf| {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_reader(file)?)
    };
    files.iter().map(read).collect()
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Run {
            path,
            clock,
            column,
            output,
        } => {
            steer::take(path)?;
            let results = cases::measure_all(clock);
            steer::leave(path)?;
            let run = Run {
                column,
                kernel: kernel()?,
                unit: unit(clock),
                results: results?,
            };
            write(&run, output)
        }
        Command::NullCall { clock } => {
            println!("{}", cases::measure_null_call(clock)?);
            Ok(())
        }
        Command::RunFilters {
            kernel: on,
            clock,
            few,
            column,
            output,
        } => {
            let run = Run {
                column,
                kernel: kernel()?,
                unit: unit(clock),
                results: filters::measure_all(on, few, clock)?,
            };
            write(&run, output)
        }
        Command::RunGroups { clock, output } => {
            let run = Run {
                column: "groups".to_string(),
                kernel: kernel()?,
                unit: unit(clock),
                results: groups::measure_all(clock)?,
            };
            write(&run, output)
        }
        Command::ReportGroups { run } => {
            println!("{}", report::groups(&read(&[run])?)?);
            Ok(())
        }
        Command::ReportFilters { runs, json, svg } => {
            let runs = read(&runs)?;
            serde_json::to_writer_pretty(File::create(json)?, &runs)?;
            let table = report::filters(&runs)?;
            chart::draw_by_rules(&svg, &runs)?;
            println!("{table}\n{}", report::other_work(&runs)?);
            Ok(())
        }
        Command::ReportAgainst { before, now } => {
            let runs = read(&[before, now])?;
            let (table, worse) = report::against(&runs[0], &runs[1]);
            println!("{table}");
            anyhow::ensure!(worse.is_empty(), "it costs more: {}", worse.join("; "));
            Ok(())
        }
        Command::ReportModels { runs, json } => {
            let runs = read(&runs)?;
            serde_json::to_writer_pretty(File::create(json)?, &runs)?;
            println!("{}", report::models(&runs)?);
            Ok(())
        }
        Command::Report { runs, json, svg } => {
            let runs = read(&runs)?;
            serde_json::to_writer_pretty(File::create(json)?, &runs)?;
            // Says so if a run lacks a case.
            let table = report::table(&runs)?;
            chart::draw(&svg, &runs)?;
            println!("{table}");
            Ok(())
        }
    }
}
