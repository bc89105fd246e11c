// SPDX-License-Identifier: GPL-2.0

//! One table of all runs.

use crate::{cases, filters, groups, Run};
use anyhow::{bail, ensure, Context, Result};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Row, Table};

fn new_table(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    table
}

/// Its numbers, that is all but the first column.
fn right_aligned(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The numbers of each run, then what the others are of the first.
pub fn table(runs: &[Run]) -> Result<Table> {
    let (base, others) = runs.split_first().context("there is no run")?;
    ensure!(
        runs.iter().all(|run| run.unit == base.unit),
        "the runs have different units"
    );

    let mut header = vec![format!("{} a round", base.unit)];
    header.extend(runs.iter().map(|run| run.column.clone()));
    header.extend(others.iter().map(|run| format!("{}, ratio", run.column)));
    let mut table = new_table(header);

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
    Ok(right_aligned(table))
}

/// What it costs to administer groups.
pub fn groups(runs: &[Run]) -> Result<Table> {
    let run = runs.first().context("there is no run")?;
    let mut table = new_table(["groups", &run.unit]);
    for &name in groups::NAMES {
        let cost = run.results.get(name);
        let cost = cost.with_context(|| format!("{name} is missing"))?;
        table.add_row([name.to_string(), format!("{cost:.0}")]);
    }
    Ok(right_aligned(table))
}

/// What a null call costs under each filter, of all runs.
pub fn filters(runs: &[Run]) -> Result<Table> {
    let unit = &runs.first().context("there is no run")?.unit;
    let cost = |name: &str| {
        let mut results = runs.iter().filter_map(|run| run.results.get(name));
        results.next().with_context(|| format!("no run has {name}"))
    };
    let plain = cost(filters::names().next().context("no filters")?)?;

    let mut table = new_table(["null call", unit, "over plain", "ratio"]);
    for name in filters::names() {
        let cost = match cost(name) {
            Err(_) if filters::is_optional(name) => continue,
            cost => cost?,
        };
        table.add_row([
            name.to_string(),
            format!("{cost:.1}"),
            format!("{:+.1}", cost - plain),
            format!("{:.2}", cost / plain),
        ]);
    }
    Ok(right_aligned(table))
}

/// What a null call costs a task that has other work, on mainline and on our kernel.
pub fn other_work(runs: &[Run]) -> Result<Table> {
    let [mainline, ours, ..] = runs else {
        bail!("two runs are compared: of mainline and of our kernel");
    };
    let mut table = new_table(["null call", "mainline", "ours", "more", "ratio"]);
    for &name in filters::ON_BOTH {
        let cost = |run: &Run| {
            let cost = run.results.get(name).copied();
            cost.with_context(|| format!("a run lacks {name}"))
        };
        let (theirs, ours) = (cost(mainline)?, cost(ours)?);
        table.add_row([
            name.to_string(),
            format!("{theirs:.1}"),
            format!("{ours:.1}"),
            format!("{:+.1}", ours - theirs),
            format!("{:.2}", ours / theirs),
        ]);
    }
    Ok(right_aligned(table))
}

/// By how much it may cost more than before.
const TOLERATED: f64 = 2.0;

/// What a null call costs on our kernel, before and now; and the rows in which it costs more.
pub fn against(before: &Run, now: &Run) -> (Table, Vec<&'static str>) {
    let mut table = new_table(["null call", "before", "now", "more"]);
    let mut worse = Vec::new();
    for name in filters::names() {
        let costs = [before, now].map(|run| run.results.get(name).copied());
        let more = match costs {
            [None, None] => continue,
            [Some(before), Some(now)] => Some(now - before),
            _ => None,
        };
        if more.is_some_and(|more| more > TOLERATED) {
            worse.push(name);
        }
        let cell = |cost: Option<f64>| cost.map_or("-".to_string(), |cost| format!("{cost:.1}"));
        let more = more.map_or("-".to_string(), |more| format!("{more:+.1}"));
        table.add_row([name.to_string(), cell(costs[0]), cell(costs[1]), more]);
    }
    (right_aligned(table), worse)
}

/// What a null call costs by CPU model, in three runs each: on mainline, there without mitigations,
/// and on our kernel.
pub fn models(runs: &[Run]) -> Result<Table> {
    let models = runs.chunks_exact(3);
    ensure!(models.remainder().is_empty(), "each model has three runs");
    let models: Vec<&[Run]> = models.collect();
    ensure!(!models.is_empty(), "there is no run");
    let cost = |run: &Run, name: &str| {
        let cost = run.results.get(name).copied();
        cost.with_context(|| format!("{} lacks {name}", run.column))
    };
    let names = models.iter().map(|model| model[0].column.clone());
    let mut table = new_table(std::iter::once("null call".to_string()).chain(names));

    let mut add = |name: &str, cell: &dyn Fn(&[Run]) -> Result<String>| -> Result<()> {
        let cells: Vec<String> = models
            .iter()
            .map(|model| cell(model))
            .collect::<Result<_>>()?;
        table.add_row(std::iter::once(name.to_string()).chain(cells));
        Ok(())
    };
    add("mainline, of it for mitigations", &|model| {
        let without = cost(&model[1], filters::PLAIN)?;
        Ok(format!("{:.0}", cost(&model[0], filters::PLAIN)? - without))
    })?;
    for &name in filters::BY_MODEL {
        if models[0][0].results.contains_key(name) {
            add(name, &|model| Ok(format!("{:.0}", cost(&model[0], name)?)))?;
        }
        if models[0][2].results.contains_key(name) {
            add(&format!("ours: {name}"), &|model| {
                let (ours, plain) = (cost(&model[2], name)?, cost(&model[0], filters::PLAIN)?);
                Ok(format!("{ours:.0} ({:.2})", ours / plain))
            })?;
        }
    }
    Ok(right_aligned(table))
}
