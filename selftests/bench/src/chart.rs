// SPDX-License-Identifier: GPL-2.0

//! A bar chart of the ratios.

use crate::{cases, filters, Run};
use anyhow::{Context, Result};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1200, 560);
const COLORS: [RGBColor; 6] = [
    RGBColor(38, 120, 178),
    RGBColor(96, 178, 96),
    RGBColor(240, 160, 48),
    RGBColor(190, 64, 64),
    RGBColor(120, 80, 160),
    RGBColor(110, 110, 110),
];

/// For each case, one bar for each run but the first, as a ratio to the first.
pub fn draw(file: &Path, runs: &[Run]) -> Result<()> {
    let (base, others) = runs.split_first().context("there is no run")?;
    let names: Vec<&str> = cases::names().collect();
    let ratio = |run: &Run, name: &str| run.results[name] / base.results[name];
    let highest = others
        .iter()
        .flat_map(|run| names.iter().map(|name| ratio(run, name)))
        .fold(1.0, f64::max);

    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{} a round, Linux {}, {} = 1",
        base.unit, base.kernel, base.column
    );
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..names.len() as f64, 0.0..highest * 1.15)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("ratio")
        .draw()?;
    for (i, name) in names.iter().enumerate() {
        let style = ("sans-serif", 13).into_text_style(&root);
        let (x, y) = chart.backend_coord(&(i as f64 + 0.1, 0.0));
        root.draw_text(name, &style, (x, y + 8))?;
    }

    let width = 0.8 / others.len() as f64;
    for (column, run) in others.iter().enumerate() {
        let color = COLORS[column % COLORS.len()];
        let bars = names.iter().enumerate().map(|(i, name)| {
            let left = i as f64 + 0.1 + column as f64 * width;
            let corners = [(left, 0.0), (left + width * 0.92, ratio(run, name))];
            Rectangle::new(corners, color.filled())
        });
        chart
            .draw_series(bars)?
            .label(&run.column)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled()));
    }
    chart.draw_series([PathElement::new(
        [(0.0, 1.0), (names.len() as f64, 1.0)],
        BLACK,
    )])?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}

/// What a call under a policy costs, by the number of its rules.
pub fn draw_by_rules(file: &Path, runs: &[Run]) -> Result<()> {
    let first = runs.first().context("there is no run")?;
    let cost = |name: &str| {
        let mut results = runs.iter().filter_map(|run| run.results.get(name));
        results
            .next()
            .copied()
            .with_context(|| format!("no run has {name}"))
    };
    let mut points = Vec::new();
    for (rules, name) in filters::BY_RULES {
        points.push((rules, cost(name)?));
    }
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);

    let root = SVGBackend::new(file, (800, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("{} a null call, by the number of rules", first.unit);
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((1u32..1000).log_scale(), 0.0..highest * 1.15)?;
    chart.configure_mesh().x_desc("rules").draw()?;
    chart.draw_series(LineSeries::new(
        points.iter().copied(),
        COLORS[0].stroke_width(2),
    ))?;
    chart.draw_series(
        points
            .iter()
            .map(|&point| Circle::new(point, 4, COLORS[0].filled())),
    )?;
    root.present()?;
    Ok(())
}
