// SPDX-License-Identifier: GPL-2.0

//! What syscalls cost on our kernel and on mainline, in instructions or in nanoseconds.
//!
//! `run` measures, in a VM; `report` lays the results of several runs side by side.

mod cases;
mod chart;
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
                unit: if clock { "ns" } else { "instructions" }.to_string(),
                results: results?,
            };
            serde_json::to_writer_pretty(File::create(output)?, &run)?;
            Ok(())
        }
        Command::Report { runs, json, svg } => {
            let runs = runs
                .iter()
                .map(|path| {
                    let file = File::open(path).with_context(|| path.display().to_string())?;
                    Ok(serde_json::from_reader(file)?)
                })
                .collect::<Result<Vec<Run>>>()?;
            serde_json::to_writer_pretty(File::create(json)?, &runs)?;
            // Says so if a run lacks a case.
            let table = report::table(&runs)?;
            chart::draw(&svg, &runs)?;
            println!("{table}");
            Ok(())
        }
    }
}
