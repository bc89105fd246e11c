// SPDX-License-Identifier: GPL-2.0

//! What is drawn.

use super::{Calls, Sort, Top};
use crate::{latency::time, output::plain};
use anstream::ColorChoice;
use ratatui::{
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Paragraph, Row, Table, TableState},
    Frame,
};

/// Whether the terminal is to have colours, by --color and NO_COLOR.
pub fn has_colours() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// A rate, in a few digits.
fn rate(rate: f64) -> String {
    match rate {
        r if r <= 0.0 => "0".into(),
        r if r < 9.95 => format!("{r:.1}"),
        r => format!("{r:.0}"),
    }
}

fn number(text: impl Into<String>) -> Cell<'static> {
    Cell::new(Text::from(text.into()).right_aligned())
}

fn word(text: Option<&String>) -> Cell<'static> {
    Cell::new(text.map_or("-".into(), |text| plain(text)))
}

/// How a part looks, where there are colours; else only by weight.
struct Styles {
    title: Style,
    head: Style,
    selected: Style,
    refused: Style,
    question: Style,
}

impl Styles {
    fn new(has_colours: bool) -> Self {
        let plain = Style::new();
        let coloured = |colour| match has_colours {
            true => plain.fg(colour),
            false => plain,
        };
        Self {
            title: plain.add_modifier(Modifier::BOLD),
            head: coloured(Color::Cyan).add_modifier(Modifier::BOLD),
            selected: plain.add_modifier(Modifier::REVERSED),
            refused: coloured(Color::Red),
            question: coloured(Color::Yellow).add_modifier(Modifier::BOLD),
        }
    }
}

const KEYS: &str = "q quit  up/down select  s sort  m mode  d let go";

/// As many rows as there are groups, but the calls have half of the screen, if they need it.
fn areas(top: &Top, area: Rect) -> [Rect; 5] {
    // CAST: Screens are not that high.
    let groups = top.rates.groups.len().max(1).min(u16::MAX.into()) as u16 + 1;
    let most = (area.height / 2).max(3);
    Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(groups.min(most)),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area)
}

pub fn draw(top: &Top, has_colours: bool, frame: &mut Frame<'_>) {
    let styles = Styles::new(has_colours);
    let [title, _, groups, calls, foot] = areas(top, frame.area());
    frame.render_widget(header(top, &styles), title);
    draw_groups(top, &styles, frame, groups);
    draw_calls(top, &styles, frame, calls);
    frame.render_widget(footer(top, &styles), foot);
}

fn header(top: &Top, styles: &Styles) -> Line<'static> {
    let rates = &top.rates;
    let tasks: usize = rates.groups.iter().map(|group| group.tasks).sum();
    let fastpath = match rates.fastpath.as_str() {
        "1" => "on".into(),
        why => format!("off: {}", plain(why)),
    };
    let mut line = Line::styled("slowctl top", styles.title);
    if !rates.enabled {
        line.push_span(Span::styled("   OFF: nothing is judged", styles.refused));
    }
    line.push_span(Span::raw(format!(
        "   groups {}   tasks {tasks}   fast path {fastpath}",
        rates.groups.len()
    )));
    line
}

fn draw_groups(top: &Top, styles: &Styles, frame: &mut Frame<'_>, area: Rect) {
    if top.rates.groups.is_empty() {
        frame.render_widget("There are no groups.", area);
        return;
    }
    let titled = |title: &str, sort| match top.sort == sort {
        true => format!("{title}*"),
        false => title.into(),
    };
    let header = Row::new([
        Cell::new(titled("GROUP", Sort::Name)),
        Cell::new("POLICY"),
        Cell::new("MODE"),
        number("TASKS"),
        number(titled("CALLS/S", Sort::Calls)),
        number(titled("REFUSED/S", Sort::Refused)),
        number("REFUSED"),
    ]);
    let rows = top.rates.groups.iter().map(|group| {
        let refused = match group.refused > 0.0 {
            true => styles.refused,
            false => Style::new(),
        };
        let off = "off".to_string();
        Row::new([
            word(Some(&group.name)),
            word(group.policy.as_ref()),
            word(match group.enabled {
                true => group.mode.as_ref(),
                false => Some(&off),
            }),
            number(group.tasks.to_string()),
            number(rate(group.calls)),
            number(rate(group.refused)).style(refused),
            number(group.all_refused.to_string()),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(10),
        Constraint::Length(8),
    ];
    let table = Table::new(rows, widths)
        .header(header.style(styles.head))
        .row_highlight_style(styles.selected);
    let mut state = TableState::new().with_selected(top.position());
    frame.render_stateful_widget(table, area, &mut state);
}

fn draw_calls(top: &Top, styles: &Styles, frame: &mut Frame<'_>, area: Rect) {
    let Some(group) = top.selected() else { return };
    let [_, title, area] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    let line = format!("The calls of {}", group.name);
    frame.render_widget(Line::styled(line, styles.title), title);
    let calls = match &top.calls {
        Calls::NotYet => {
            frame.render_widget("are counted from now on", area);
            return;
        }
        Calls::Unknown(why) => {
            frame.render_widget(Paragraph::new(plain(why)), area);
            return;
        }
        Calls::Known(calls) if calls.is_empty() => {
            frame.render_widget("none", area);
            return;
        }
        Calls::Known(calls) => calls,
    };
    let header = Row::new([
        Cell::new("CALL"),
        Cell::new("ARCH"),
        number("CALLS/S"),
        number("ERRORS/S"),
        number("50% BELOW"),
        number("99% BELOW"),
    ]);
    let rows = calls.iter().map(|call| {
        let below = |nanos: Option<u64>| number(nanos.map_or("-".into(), time));
        Row::new([
            Cell::new(call.name.call.clone()),
            Cell::new(call.name.arch.clone()),
            number(rate(call.calls)),
            number(rate(call.errors)),
            below(call.p50_ns),
            below(call.p99_ns),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let table = Table::new(rows, widths).header(header.style(styles.head));
    frame.render_widget(table, area);
}

fn footer(top: &Top, styles: &Styles) -> Line<'static> {
    match (&top.asked, &top.said) {
        (Some((question, _)), _) => Line::styled(
            format!("{} y is yes, any other key no", plain(question)),
            styles.question,
        ),
        (None, Some(said)) => Line::styled(plain(said), styles.title),
        (None, None) => Line::raw(KEYS),
    }
}
