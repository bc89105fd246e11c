// SPDX-License-Identifier: GPL-2.0

//! One table of all runs.

use crate::{cases, filters, groups, Run};
use anyhow::{ensure, Context, Result};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};

/// The numbers of each run, then what the others are of the first.
pub fn table(runs: &[Run]) -> Result<Table> {
    let (base, others) = runs.split_first().context("there is no run")?;
    ensure!(
        runs.iter().all(|run| run.unit == base.unit),
        "the runs have different units"
    );

    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    let mut header = vec![format!("{} a round", base.unit)];
    header.extend(runs.iter().map(|run| run.column.clone()));
    header.extend(others.iter().map(|run| format!("{}, ratio", run.column)));
    table.set_header(header);

    for name in cases::names() {
        let get = |run: &Run| {
            let result = run.results.get(name);
            result
                .copied()
                .with_context(|| format!("{} lacks {name}", run.column))
        };
        let mut row = vec![name.to_string()];
        for run in runs {
            row.push(format!("{:.1}", get(run)?));
        }
        for run in others {
            row.push(format!("{:.2}", get(run)? / get(base)?));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Ok(table)
}

/// What it costs to administer groups.
pub fn groups(runs: &[Run]) -> Result<Table> {
    let run = runs.first().context("there is no run")?;
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["groups", &run.unit]);
    for &name in groups::NAMES {
        let cost = run.results.get(name);
        let cost = cost.with_context(|| format!("{name} is missing"))?;
        table.add_row([name.to_string(), format!("{cost:.0}")]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Ok(table)
}

/// What a null call costs under each filter, of all runs.
pub fn filters(runs: &[Run]) -> Result<Table> {
    let unit = &runs.first().context("there is no run")?.unit;
    let cost = |name: &str| {
        let mut results = runs.iter().filter_map(|run| run.results.get(name));
        results.next().with_context(|| format!("no run has {name}"))
    };
    let plain = cost(filters::names().next().context("no filters")?)?;

    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["null call", unit, "over plain", "ratio"]);
    for name in filters::names() {
        let cost = cost(name)?;
        table.add_row([
            name.to_string(),
            format!("{cost:.1}"),
            format!("{:+.1}", cost - plain),
            format!("{:.2}", cost / plain),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Ok(table)
}
