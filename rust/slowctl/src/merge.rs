// SPDX-License-Identifier: GPL-2.0

//! Several policies as one, which allows what one of them allows; and how two differ.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    lines::{kind, named, Line, Lines, Number, NUMBERS},
    output::Output,
    policy::{canonical, difference},
    rules::{syscall_name_of, syscall_number_of, Abi},
    text::Text,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

/// Say how the rules of two files or policies differ; 1 if they do
#[derive(clap::Args)]
pub struct DiffArgs {
    #[arg(value_name = "FILE|NAME")]
    old: String,
    #[arg(value_name = "FILE|NAME")]
    new: String,
}

impl DiffArgs {
    pub fn run(self, out: Output) -> Result<End> {
        difference(out, (&self.old, canonical(&self.old)?), &self.new)
    }
}

/// Make rules that allow what one of several files or policies allows
#[derive(clap::Args)]
pub struct MergeArgs {
    #[arg(value_name = "FILE|NAME", required = true)]
    sources: Vec<String>,
    /// Write them to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Merged {
    sources: Vec<String>,
    rules: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.output {
            Some(file) => writeln!(f, "{file}: {} lines", self.rules.lines().count()),
            None => f.write_str(&self.rules),
        }
    }
}

impl MergeArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let mut merged: Option<(String, String)> = None;
        for source in &self.sources {
            let rules = canonical(source)?;
            merged = Some(match merged {
                None => (source.clone(), rules),
                Some((name, before)) => {
                    let rules = merge((&name, &before), (source, &rules))?;
                    (format!("{name} and {source}"), rules)
                }
            });
        }
        let rules = merged.map(|merged| merged.1).unwrap_or_default();
        if let Some(file) = &self.output {
            fs::write(file, &rules).trying(file.display().to_string())?;
        }
        out.print(&Merged {
            sources: self.sources,
            rules,
            output: self.output.map(|file| file.display().to_string()),
        });
        Ok(End::Good)
    }
}

/// What becomes of a call if these conditions hold, and of those before not all of some.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Case {
    conditions: Vec<String>,
    actions: String,
}

/// The cases of a call: the first that holds decides, and the last one always does.
type Cases = Vec<Case>;

/// What rules say about a call; none if such calls are never judged.
fn cases(name: &str, lines: &Lines, call: Number) -> Result<Option<Cases>> {
    let Some(default) = lines.default_of(call) else {
        return Ok(None);
    };
    let mut rules: Vec<&Line> = lines.of(call).collect();
    if let Some(line) = rules.iter().find(|line| line.when.is_some()) {
        return Err(refused(name, line, "it is for some calls only"));
    }
    if !lines.first_decides {
        rules.sort_by_key(|line| std::cmp::Reverse(kind(&line.actions)));
    }
    let mut cases: Cases = Vec::new();
    for line in rules {
        cases.push(Case {
            conditions: line.conditions.clone(),
            actions: line.actions.clone(),
        });
        if line.conditions.is_empty() {
            return Ok(Some(cases));
        }
    }
    cases.push(Case {
        conditions: Vec::new(),
        actions: default,
    });
    Ok(Some(cases))
}

fn refused(name: &str, line: &Line, why: &str) -> Error {
    let what = format!("{name}: '{}' cannot be merged: {why}", line.text);
    Error::new(Kind::Failed, what).help("merge the rules without it, and add it again")
}

/// Whether actions have a call made, or not; none if they do something else to it.
fn is_made(actions: &str) -> Option<bool> {
    let is_as = |words: &[&str]| {
        let mut all = actions.split(' ').zip(words);
        all.all(|(a, b)| a == *b)
    };
    match actions {
        "allow" | "audit" | "log" => Some(true),
        _ if is_as(&["errno"]) || is_as(&["trap"]) => Some(false),
        "kill_thread" | "kill_process" => Some(false),
        _ => None,
    }
}

/// The more lenient of two; of two that refuse, the first.
fn combine<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if one == other {
        return Some(one);
    }
    Some(match (is_made(one)?, is_made(other)?) {
        (true, true) if kind(one) <= kind(other) => one,
        (true, false) | (false, false) => one,
        _ => other,
    })
}

/// The cases of a call that is allowed where it is in one of two.
fn combined(one: &[Case], other: &[Case]) -> Option<Cases> {
    let mut all = Cases::new();
    // The first pair that holds is of the first that holds on each side.
    for (first, second) in one.iter().flat_map(|f| other.iter().map(move |s| (f, s))) {
        let mut conditions = first.conditions.clone();
        for condition in &second.conditions {
            if !conditions.contains(condition) {
                conditions.push(condition.clone());
            }
        }
        all.push(Case {
            conditions,
            actions: combine(&first.actions, &second.actions)?.into(),
        });
    }
    Some(simplified(all))
}

/// Without the cases that change nothing.
fn simplified(cases: Cases) -> Cases {
    let mut kept = Cases::new();
    for case in cases.into_iter().rev() {
        // One that follows does the same whenever this one holds, and those between do, too.
        let same = kept
            .iter()
            .rev()
            .take_while(|k: &&Case| k.actions == case.actions);
        let mut same = same.map(|k| &k.conditions);
        if !same.any(|k| {
            k.iter()
                .all(|condition| case.conditions.contains(condition))
        }) {
            kept.push(case);
        }
    }
    kept.reverse();
    // Nothing comes after what always holds.
    if let Some(last) = kept.iter().position(|case| case.conditions.is_empty()) {
        kept.truncate(last + 1);
    }
    kept
}

/// Rules that allow what one of two allows. Of what both refuse, the first says how.
fn merge((name, one): (&str, &str), (other_name, other): (&str, &str)) -> Result<String> {
    let parse = |name: &str, rules: &str| {
        let text = Text::parse(name, rules.as_bytes());
        text.map_err(|places| Error::rules(name, places))
            .map(|text| Lines::new(&text))
    };
    let (one, other) = (parse(name, one)?, parse(other_name, other)?);
    let mut all: BTreeMap<(usize, u16), Cases> = BTreeMap::new();
    for (index, abi) in Abi::ALL.into_iter().enumerate() {
        for call in NUMBERS.map(|number| (abi, number)) {
            let (ours, theirs) = (cases(name, &one, call)?, cases(other_name, &other, call)?);
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                continue;
            };
            let merged = combined(&ours, &theirs).ok_or_else(|| {
                let actions = |cases: Cases| {
                    let actions: Vec<String> = cases.into_iter().map(|c| c.actions).collect();
                    actions.join(", ")
                };
                let what = format!(
                    "{} cannot be merged: {name} says {}, {other_name} says {}",
                    named(call),
                    actions(ours),
                    actions(theirs)
                );
                Error::new(Kind::Failed, what)
                    .help("what changes or delays a call has to be the same in both")
            })?;
            all.insert((index, call.1), merged);
        }
    }
    // Whichever has fewer lines.
    let defaults = [&one, &other]
        .into_iter()
        .map(|thresholds| defaults(thresholds, &one, &other));
    let texts = defaults.map(|defaults| written(&defaults?, &all));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let shortest = texts
        .into_iter()
        .min_by_key(String::len)
        .unwrap_or_default();
    Text::parse("the merged rules", shortest.as_bytes())
        .map_err(|places| Error::rules("the merged rules", places))?;
    Ok(shortest)
}

/// Defaults that are above the same numbers as those of `like`.
fn defaults(like: &Lines, one: &Lines, other: &Lines) -> Result<String> {
    let mut text = String::new();
    for abi in Abi::ALL {
        let above = like.threshold(abi);
        let of = |number| {
            let get = |lines: &Lines| lines.default_of((abi, number)).unwrap_or_default();
            let (ours, theirs) = (get(one), get(other));
            let both = combine(&ours, &theirs).map(String::from);
            both.ok_or_else(|| {
                let what = format!("the defaults {ours} and {theirs} cannot be merged");
                Error::new(Kind::Failed, what)
            })
        };
        // 0 is never judged on i386.
        let below = of(if abi == Abi::I386 { 1 } else { 0 })?;
        text += &format!("default arch {} {below}\n", abi.name());
        let high = of(NUMBERS.end)?;
        if high != below {
            let above = above.unwrap_or(NUMBERS.end - 1);
            text += &format!("default arch {} above {above} {high}\n", abi.name());
        }
    }
    Ok(text)
}

/// The rules of all calls for which not the defaults are right.
fn written(defaults: &str, all: &BTreeMap<(usize, u16), Cases>) -> Result<String> {
    let parsed = Text::parse("defaults", defaults.as_bytes());
    let parsed = parsed.map_err(|places| Error::rules("defaults", places))?;
    let lines = Lines::new(&parsed);
    let mut order_matters = false;
    // The rules of each call, without its name.
    let mut rules: BTreeMap<(usize, u16), Vec<String>> = BTreeMap::new();
    for (&(index, number), cases) in all {
        let default = lines.default_of((Abi::ALL[index], number));
        let mut cases = &cases[..];
        if let [before @ .., last] = cases {
            if default.as_ref() == Some(&last.actions) {
                cases = before;
            }
        }
        let kinds = || cases.iter().map(|case| kind(&case.actions));
        order_matters |= kinds().zip(kinds().skip(1)).any(|(a, b)| a < b);
        let said = cases.iter().map(|case| {
            let words = case.conditions.iter().chain([&case.actions]);
            words.map(|w| format!(" {w}")).collect()
        });
        rules.insert((index, number), said.collect());
    }
    // What is the same for all.
    let shared = |abi: Abi| {
        defaults
            .lines()
            .filter(move |l| l.contains(&format!(" {} ", abi.name())))
    };
    let bare = |abi: Abi| {
        let lines = shared(abi).map(|l| l.replace(&format!(" arch {}", abi.name()), ""));
        lines.collect::<Vec<_>>()
    };
    let mut text = String::new();
    if order_matters {
        text += "order first\n";
    }
    if Abi::ALL
        .into_iter()
        .all(|abi| bare(abi) == bare(Abi::X86_64))
    {
        text += &(bare(Abi::X86_64).join("\n") + "\n");
    } else {
        text += defaults;
    }
    text += &by_name(&rules);
    Ok(text)
}

/// By name, where all architectures that have it have the same rules.
fn by_name(rules: &BTreeMap<(usize, u16), Vec<String>>) -> String {
    let mut text = String::new();
    let mut run: Option<(usize, u16, u16, &Vec<String>)> = None;
    let flush = |run: &mut Option<(usize, u16, u16, &Vec<String>)>, text: &mut String| {
        let Some((index, first, last, said)) = run.take() else {
            return;
        };
        let arch = Abi::ALL[index].name();
        for rule in said {
            *text += &match first == last {
                true => format!("{first} arch {arch}{rule}\n"),
                false => format!("{first}..{last} arch {arch}{rule}\n"),
            };
        }
    };
    for (&(index, number), said) in rules {
        let abi = Abi::ALL[index];
        let Some(name) = syscall_name_of(i32::from(number), abi) else {
            match &mut run {
                Some((i, _, last, s)) if *i == index && *last + 1 == number && *s == said => {
                    *last = number;
                }
                _ => {
                    flush(&mut run, &mut text);
                    run = Some((index, number, number, said));
                }
            }
            continue;
        };
        flush(&mut run, &mut text);
        let everywhere: Vec<usize> = (0..Abi::ALL.len())
            .filter(|i| same_name(name, *i).is_some())
            .collect();
        let is_same = |i: &usize| {
            let key = same_name(name, *i).map(|number| (*i, number));
            key.and_then(|key| rules.get(&key)) == Some(said)
        };
        let has_one_name = |i: &usize| {
            let number = same_name(name, *i).unwrap_or_default();
            syscall_name_of(i32::from(number), Abi::ALL[*i]) == Some(name)
        };
        if everywhere.iter().all(|i| is_same(i) && has_one_name(i)) {
            if everywhere.first() == Some(&index) {
                for rule in said {
                    text += &format!("{name}{rule}\n");
                }
            }
        } else {
            for rule in said {
                text += &format!("{name} arch {}{rule}\n", abi.name());
            }
        }
    }
    flush(&mut run, &mut text);
    text
}

fn same_name(name: &str, index: usize) -> Option<u16> {
    syscall_number_of(name, Abi::ALL[index])
}

#[cfg(test)]
mod tests;
