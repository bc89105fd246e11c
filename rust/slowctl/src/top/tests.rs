// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::counts::{parse_calls, parse_latency, Counts};
use ratatui::{backend::TestBackend, Terminal};

/// A second in which two groups have made calls.
fn top() -> Top {
    let before = Sample::of(
        &[("web", "no-open", 100, 1), ("db", "", 50, 0)],
        0,
        &Sample::default(),
    );
    let groups = [
        ("web", "no-open", 300, 5),
        ("db", "", 1050, 0),
        ("idle", "no-open", 0, 0),
    ];
    let now = Sample::of(&groups, 2, &before);
    let mut top = Top::default();
    top.update(Rates::between(&before, &now));
    let counts = |calls: &str, latency: &str| {
        let (latency, missed) = parse_latency(latency).unwrap();
        Counts {
            calls: parse_calls(calls).unwrap(),
            latency,
            missed,
        }
    };
    let old = counts("x86_64 read 10 1", "x86_64 read 1024:9");
    let new = counts(
        "x86_64 read 30 1\ni386 openat 2 2",
        "x86_64 read 1024:27 65536:2",
    );
    let old = rates::CallSample::of(old, 0, &before);
    top.calls = Calls::Known(rates::CallSample::of(new, 2, &before).rates(&old));
    top
}

/// What is on a screen, without spaces at the ends of lines.
fn drawn(top: &Top) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 14)).unwrap();
    terminal
        .draw(|frame| screen::draw(top, true, frame))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(80);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_string()
    };
    lines.map(line).collect()
}

fn press(top: &mut Top, code: KeyCode) -> (bool, Option<Action>) {
    top.key(KeyEvent::from(code))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn groups_and_calls_are_drawn_by_rate() {
    let lines = drawn(&top());
    assert_eq!(lines[0], "slowctl top   groups 3   tasks 9   fast path on");
    assert_eq!(
        words(&lines[2]),
        [
            "GROUP",
            "POLICY",
            "MODE",
            "TASKS",
            "CALLS/S*",
            "REFUSED/S",
            "REFUSED"
        ]
    );
    assert_eq!(words(&lines[3]), ["db", "-", "-", "3", "500", "0", "0"]);
    assert_eq!(
        words(&lines[4]),
        ["web", "no-open", "log", "3", "100", "2.0", "5"]
    );
    assert_eq!(
        words(&lines[5]),
        ["idle", "no-open", "log", "3", "0", "0", "0"]
    );
    assert_eq!(lines[7], "The calls of db");
    assert_eq!(
        words(&lines[9]),
        ["read", "x86_64", "10", "0", "2us", "128us"]
    );
    assert_eq!(
        words(&lines[10]),
        ["openat", "i386", "1.0", "1.0", "-", "-"]
    );
    assert!(lines[13].starts_with("q quit"), "{lines:?}");
}

#[test]
fn what_is_selected_stays_selected() {
    let mut top = top();
    assert_eq!(top.selected.as_deref(), Some("db"));
    press(&mut top, KeyCode::Down);
    assert_eq!(top.selected.as_deref(), Some("web"));
    assert!(matches!(top.calls, Calls::NotYet));
    // By refusals it is the first one.
    press(&mut top, KeyCode::Char('s'));
    assert_eq!(
        (top.position(), top.selected.as_deref()),
        (Some(0), Some("web"))
    );
    press(&mut top, KeyCode::Char('s'));
    let names: Vec<&str> = top
        .rates
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(names, ["db", "idle", "web"]);
    for _ in 0..5 {
        press(&mut top, KeyCode::Down);
    }
    assert_eq!(top.selected.as_deref(), Some("web"));
    for _ in 0..5 {
        press(&mut top, KeyCode::Up);
    }
    assert_eq!(top.selected.as_deref(), Some("db"));
    // It goes.
    top.update(Rates::default());
    assert_eq!(top.selected, None);
    press(&mut top, KeyCode::Down);
    assert_eq!(press(&mut top, KeyCode::Char('d')), (true, None));
    assert_eq!(drawn(&top)[2], "There are no groups.");
}

#[test]
fn nothing_is_done_without_a_yes() {
    let mut top = top();
    press(&mut top, KeyCode::Char('m'));
    assert_eq!(drawn(&top)[13], "db is under no policy");
    press(&mut top, KeyCode::Down);
    press(&mut top, KeyCode::Char('m'));
    assert!(drawn(&top)[13].starts_with("no-open is to be enforced, for 2 groups? y is yes"));
    assert_eq!(press(&mut top, KeyCode::Char('q')), (true, None));
    assert!(drawn(&top)[13].starts_with("q quit"));
    press(&mut top, KeyCode::Char('m'));
    let policy = Policy("no-open".into());
    let mode = Mode::Enforce;
    assert_eq!(
        press(&mut top, KeyCode::Char('y')),
        (true, Some(Action::Mode { policy, mode }))
    );
    press(&mut top, KeyCode::Char('d'));
    assert!(drawn(&top)[13].starts_with("3 tasks of web are to be let go?"));
    assert_eq!(press(&mut top, KeyCode::Esc), (true, None));
    // Nothing was asked.
    assert_eq!(press(&mut top, KeyCode::Char('y')), (true, None));
    assert_eq!(press(&mut top, KeyCode::Char('q')), (false, None));
}

#[test]
fn ctrl_c_ends_it_in_any_state() {
    let mut top = top();
    press(&mut top, KeyCode::Char('d'));
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(top.key(key), (false, None));
}

#[test]
fn it_says_what_is_switched_off() {
    let mut top = top();
    top.rates.enabled = false;
    top.rates.groups[1].enabled = false;
    top.rates.fastpath = "command-line".into();
    let lines = drawn(&top);
    let head =
        "slowctl top   OFF: nothing is judged   groups 3   tasks 9   fast path off: command-line";
    assert_eq!(lines[0], &head[..80]);
    assert_eq!(words(&lines[4])[2], "off");
}

#[test]
fn a_small_screen_is_no_mistake() {
    let top = top();
    for (width, height) in [(1, 1), (10, 3), (200, 4)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| screen::draw(&top, false, frame))
            .unwrap();
    }
}

#[test]
fn an_interval_is_no_busy_loop() {
    assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
    for junk in ["0s", "99ms", "x", ""] {
        assert!(interval(junk).is_err(), "{junk}");
    }
}
