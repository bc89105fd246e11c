// SPDX-License-Identifier: GPL-2.0

//! Groups and their calls by rate, on a screen that is drawn anew: what top is for processes.

mod rates;
mod screen;

use crate::{
    counts::Counting,
    detach,
    error::{End, Error, Kind, Result, Trying},
    module::{self, Policy},
    output::{print_json_line, Output},
    policy::Mode,
    signals::{Signals, Woken},
    watch::{Watch, WatchArgs},
};
use ratatui::{
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    DefaultTerminal,
};
use rates::{CallRates, GroupRates, Rates, Sample};
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// Watch groups and their calls by rate, on a screen; change modes, and let tasks go
#[derive(clap::Args)]
#[command(after_help = "\
Keys:
  up, down, k, j  select a group: the calls of this one are counted as long as it is
  s               sort by the rate of calls, of refusals, or by name
  m               have the policy of the group log, or enforce; asks first
  d               let all tasks of the group go; asks first
  q, Esc, Ctrl-C  end")]
pub struct TopArgs {
    #[command(flatten)]
    watch: WatchArgs,
    /// How often it is drawn
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// So long, such as 10m; without, until it is ended
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

/// What is shorter would cost more than it shows.
const SHORTEST: Duration = Duration::from_millis(100);

fn interval(word: &str) -> std::result::Result<Duration, String> {
    let interval = humantime::parse_duration(word).map_err(|e| e.to_string())?;
    match interval >= SHORTEST {
        true => Ok(interval),
        false => Err("100ms is the shortest".into()),
    }
}

/// By what groups are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Calls,
    Refused,
    Name,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Calls => Self::Refused,
            Self::Refused => Self::Name,
            Self::Name => Self::Calls,
        }
    }
}

/// What is done if the answer is yes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Mode { policy: Policy, mode: Mode },
    Detach(rates::Who),
}

/// What there is to be drawn, and what keys have changed of it.
#[derive(Default)]
pub struct Top {
    rates: Rates,
    /// Called by its name: the order changes under it.
    selected: Option<String>,
    calls: Calls,
    sort: Sort,
    asked: Option<(String, Action)>,
    /// What came of the last key.
    said: Option<String>,
}

/// The calls of the group that is selected.
#[derive(Default)]
enum Calls {
    #[default]
    NotYet,
    Known(Vec<CallRates>),
    /// And why not.
    Unknown(String),
}

/// The group whose calls are counted, as long as it is selected.
struct Followed {
    name: String,
    counting: Counting,
    last: Option<rates::CallSample>,
}

impl Top {
    /// Takes what was found last.
    fn update(&mut self, rates: Rates) {
        self.rates = rates;
        self.order();
        let is_there = |name: &String| self.rates.groups.iter().any(|group| group.name == *name);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = self.rates.groups.first().map(|group| group.name.clone());
        }
    }

    fn order(&mut self) {
        let key = |group: &GroupRates| match self.sort {
            Sort::Calls => group.calls,
            Sort::Refused => group.refused,
            Sort::Name => 0.0,
        };
        self.rates.groups.sort_by(|a, b| {
            let by_rate = key(b).total_cmp(&key(a));
            by_rate.then_with(|| a.name.cmp(&b.name))
        });
    }

    fn position(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        let mut groups = self.rates.groups.iter();
        groups.position(|group| group.name == *selected)
    }

    fn selected(&self) -> Option<&GroupRates> {
        self.position().map(|at| &self.rates.groups[at])
    }

    fn select(&mut self, down: bool) {
        let Some(at) = self.position() else { return };
        let last = self.rates.groups.len() - 1;
        let to = match down {
            true => (at + 1).min(last),
            false => at.saturating_sub(1),
        };
        if to != at {
            self.selected = Some(self.rates.groups[to].name.clone());
            self.calls = Calls::NotYet;
        }
    }

    /// Does what a key is for; returns whether to go on, and what is to be done.
    fn key(&mut self, key: KeyEvent) -> (bool, Option<Action>) {
        let is_control_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control_c {
            return (false, None);
        }
        if let Some((_, action)) = self.asked.take() {
            // Any other key is no.
            let is_yes = key.code == KeyCode::Char('y');
            return (true, Some(action).filter(|_| is_yes));
        }
        self.said = None;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return (false, None),
            KeyCode::Up | KeyCode::Char('k') => self.select(false),
            KeyCode::Down | KeyCode::Char('j') => self.select(true),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.order();
            }
            KeyCode::Char('m') => self.ask_mode(),
            KeyCode::Char('d') => self.ask_detach(),
            _ => {}
        }
        (true, None)
    }

    fn ask_mode(&mut self) {
        let Some(group) = self.selected() else { return };
        let (Some(policy), Some(mode)) = (&group.policy, &group.mode) else {
            self.said = Some(format!("{} is under no policy", group.name));
            return;
        };
        let others = self.rates.groups.iter();
        let users = others.filter(|other| other.policy.as_ref() == Some(policy));
        let users = match users.count() {
            1 => "1 group".into(),
            n => format!("{n} groups"),
        };
        let (mode, what) = match mode.as_str() {
            "log" => (Mode::Enforce, "enforced"),
            _ => (Mode::Log, "only logged"),
        };
        let question = format!("{policy} is to be {what}, for {users}?");
        let policy = Policy(policy.clone());
        self.asked = Some((question, Action::Mode { policy, mode }));
    }

    fn ask_detach(&mut self) {
        let Some(group) = self.selected() else { return };
        let question = format!("{} tasks of {} are to be let go?", group.tasks, group.name);
        self.asked = Some((question, Action::Detach(group.who.clone())));
    }
}

impl Action {
    /// Does it; says what was done.
    fn run(self) -> Result<String> {
        match self {
            Self::Mode { policy, mode } => {
                let what = mode.set(&policy, false)?;
                Ok(format!("{}: {what}", policy.0))
            }
            Self::Detach(rates::Who::Task(tid)) => {
                let what = format!("thread {tid}");
                module::detach_task(tid).trying(what.as_str())?;
                Ok(format!("{what}: let go"))
            }
            Self::Detach(rates::Who::Group(group)) => {
                let removed = match detach::empty_and_tidy(&group)? {
                    true => ", and the group removed",
                    false => "",
                };
                Ok(format!("group {}: let go{removed}", group.0))
            }
        }
    }
}

/// What it looks at: groups that were named, or all.
struct Looking {
    watch: Option<Watch>,
    last: Sample,
    followed: Option<Followed>,
}

impl Looking {
    fn start(args: &WatchArgs, out: Output) -> Result<Self> {
        let is_of_all = args.groups.is_empty() && args.targets.is_empty();
        let watch = match is_of_all {
            true => None,
            false => Some(Watch::new(args, out)?),
        };
        let mut looking = Self {
            watch,
            last: Sample::default(),
            followed: None,
        };
        match looking.sample() {
            Ok(sample) => {
                looking.last = sample;
                Ok(looking)
            }
            Err(e) => {
                // Why it has failed says more.
                let _ = looking.end(out);
                Err(e)
            }
        }
    }

    fn sample(&self) -> Result<Sample> {
        let groups = self.watch.as_ref().map(|watch| watch.groups.as_slice());
        // The module may have gone.
        Sample::new(groups).map_err(|e| module::require().err().unwrap_or(e))
    }

    /// What has come since the last time.
    fn rates(&mut self) -> Result<Rates> {
        let now = self.sample()?;
        let rates = Rates::between(&self.last, &now);
        self.last = now;
        Ok(rates)
    }

    /// Has the group count that is selected, and no other one.
    fn follow(&mut self, top: &mut Top) {
        let name = top.selected.clone();
        if self.followed.as_ref().map(|followed| &followed.name) == name.as_ref() {
            return;
        }
        self.count_no_more();
        let Some(group) = top.selected() else { return };
        let rates::Who::Group(group) = &group.who else {
            let why = "the calls of a thread that is attached by itself are not counted";
            top.calls = Calls::Unknown(why.into());
            return;
        };
        match Counting::start(std::slice::from_ref(group), true) {
            Ok(counting) => {
                self.followed = Some(Followed {
                    name: group.0.clone(),
                    counting,
                    last: None,
                });
                // From here on.
                self.read_calls(top);
            }
            Err(e) => top.calls = Calls::Unknown(e.to_string()),
        }
    }

    fn read_calls(&mut self, top: &mut Top) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        let lost = match followed.counting.read() {
            Ok((counts, lost)) if lost.is_empty() => {
                let now = rates::CallSample::new(counts);
                if let Some(last) = &followed.last {
                    top.calls = Calls::Known(now.rates(last));
                }
                followed.last = Some(now);
                return;
            }
            Ok((_, lost)) => lost.join("; "),
            Err(e) => e.to_string(),
        };
        self.count_no_more();
        top.calls = Calls::Unknown(lost);
    }

    /// Who else reads what it counts has it go on.
    fn count_no_more(&mut self) {
        if let Some(followed) = self.followed.take() {
            followed.counting.stop();
        }
    }

    fn end(mut self, out: Output) -> Result<End> {
        self.count_no_more();
        match self.watch {
            Some(watch) => {
                watch.notes.iter().for_each(|note| out.note(note));
                watch.end(out)
            }
            None => Ok(End::Good),
        }
    }
}

impl TopArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !out.json && !is_terminal {
            return Err(Error::usage("top draws on a terminal, and this is none")
                .help("a line of JSON for each time: slowctl --json top"));
        }
        let signals = Signals::new()?;
        let mut looking = Looking::start(&self.watch, out)?;
        let result = match out.json {
            true => self.print(&mut looking, &signals),
            false => self.draw(&mut looking, &signals),
        };
        let end = looking.end(out);
        result.and(end)
    }

    fn print(&self, looking: &mut Looking, signals: &Signals) -> Result<()> {
        let start = Instant::now();
        loop {
            let interval = match self.duration {
                Some(duration) => duration.saturating_sub(start.elapsed()).min(self.interval),
                None => self.interval,
            };
            if interval.is_zero() || signals.is_there(interval)? {
                return Ok(());
            }
            if !print_json_line(&looking.rates()?).trying("the output")? {
                return Ok(());
            }
        }
    }

    fn draw(&self, looking: &mut Looking, signals: &Signals) -> Result<()> {
        let mut terminal = ratatui::try_init().trying("the terminal")?;
        let result = self.draw_on(&mut terminal, looking, signals);
        if terminal.show_cursor().is_err() {
            // The terminal is gone: to be dropped, this would complain there, and panic.
            std::mem::forget(terminal);
            return result;
        }
        let restored = ratatui::try_restore().trying("the terminal");
        result.and(restored)
    }

    fn draw_on(
        &self,
        terminal: &mut DefaultTerminal,
        looking: &mut Looking,
        signals: &Signals,
    ) -> Result<()> {
        let start = Instant::now();
        let has_colours = screen::has_colours();
        let mut top = Top::default();
        let mut due = start;
        loop {
            if Instant::now() >= due {
                due = Instant::now() + self.interval;
                looking.rates().map(|rates| top.update(rates))?;
                looking.read_calls(&mut top);
            }
            looking.follow(&mut top);
            let frame = |frame: &mut ratatui::Frame<'_>| screen::draw(&top, has_colours, frame);
            terminal.draw(frame).trying("the terminal")?;
            while Instant::now() < due {
                let left = due.saturating_duration_since(Instant::now());
                let to_end = self
                    .duration
                    .map(|time| time.saturating_sub(start.elapsed()));
                let left = to_end.map_or(left, |to_end| left.min(to_end));
                match signals.or_input(io::stdin(), left)? {
                    Woken::End => return Ok(()),
                    Woken::Time if to_end.is_some_and(|time| time <= left) => return Ok(()),
                    _ => {}
                }
                // Where there is nothing any more, it would be looked for without end.
                match self.take_events(&mut top)? {
                    Taken::End => return Ok(()),
                    Taken::Done => due = Instant::now(),
                    Taken::Seen => break,
                    Taken::Nothing => {}
                }
            }
        }
    }

    /// Does what all keys are for that were pressed.
    fn take_events(&self, top: &mut Top) -> Result<Taken> {
        let mut taken = Taken::Nothing;
        while event::poll(Duration::ZERO).trying("the terminal")? {
            match event::read().trying("the terminal")? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let (goes_on, action) = top.key(key);
                    if !goes_on {
                        return Ok(Taken::End);
                    }
                    if let Some(action) = action {
                        top.said = Some(action.run().unwrap_or_else(|e| told(&e)));
                        // What has changed is seen at once.
                        return Ok(Taken::Done);
                    }
                    taken = Taken::Seen;
                }
                Event::Resize(..) => taken = Taken::Seen,
                _ => {}
            }
        }
        Ok(taken)
    }
}

/// What came of the terminal's events.
enum Taken {
    Nothing,
    /// It is to be drawn anew.
    Seen,
    /// What it shows is to be found anew.
    Done,
    End,
}

/// An error, in the line that there is for it.
fn told(error: &Error) -> String {
    match (&error.help, error.kind) {
        (_, Kind::Guarded) => format!("not done: {error}"),
        (Some(help), _) => format!("not done: {error} ({help})"),
        (None, _) => format!("not done: {error}"),
    }
}

#[cfg(test)]
mod tests;
