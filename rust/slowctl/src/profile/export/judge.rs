// SPDX-License-Identifier: GPL-2.0

//! What becomes of calls, by rules and by the profile that was made of them.

use super::{
    super::{filter::Notes, import, json::Profile, select::Given, Loss, Mistake},
    line::{number, Line},
};
use crate::rules::{syscall_name_of, Abi, Action, Call, Report, RuleSet};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

/// A call as somebody may make it.
struct Caller<'a>(&'a [u64; 6]);

impl Call for Caller<'_> {
    fn argument(&self, index: u8) -> u64 {
        self.0.get(usize::from(index)).copied().unwrap_or_default()
    }
}

/// What becomes of a call, as text: some words stand for others in another set of rules. None is for
/// what is never judged.
pub fn judge(set: &RuleSet, abi: Abi, number: i32, arguments: &[u64; 6]) -> Option<String> {
    let judged = set.judge(abi, number, &Caller(arguments), |_| {
        Ok::<u64, Infallible>(1)
    });
    let judgement = judged.unwrap_or_else(|never| match never {});
    judgement.line?;
    Some(match judgement.action {
        // A line of the log is no more than its audit record.
        Action::Log => Action::Audit.to_string(),
        action => {
            let steps = set.steps(&action).iter().map(|step| step.to_string());
            steps.collect::<Vec<_>>().join(" ")
        }
    })
}

/// How many calls of a kind are tried.
const MAX_TRIES: usize = 100_000;

/// Above it no number is a call, and none is in a rule.
const LAST_NUMBER: i32 = 600;

/// Judges every call by the rules, and by those that the profile becomes.
pub fn compare(
    set: &RuleSet,
    lines: &[String],
    profile: &Profile,
    losses: &mut Vec<Loss>,
) -> Result<(), Mistake> {
    let mut notes = Notes::default();
    let filter = profile.select(&Given::default(), losses, &mut notes)?;
    let again = import(&filter, notes)?;
    losses.extend(again.losses);
    // What a rule says of socket and its like, the profile says of socketcall, too.
    let mut lines = lines.to_vec();
    lines.extend(again.text.lines().map(String::from));
    let again = RuleSet::parse(again.text.as_bytes(), 0, &mut Report::new())
        .map_err(|_| Mistake::new("there are too many rules"))?;
    for abi in Abi::ALL {
        let mut differences = Differences::default();
        for number in (0..=LAST_NUMBER).chain([1000, i32::MAX]) {
            let name = syscall_name_of(number, abi).unwrap_or("?");
            let Some(all) = arguments(&lines, name) else {
                losses.push(Loss(format!("{name}: too many conditions to compare")));
                continue;
            };
            let differs = all.into_iter().find_map(|mut arguments| {
                if abi == Abi::I386 {
                    arguments = arguments.map(|argument| argument & u64::from(u32::MAX));
                }
                let ours = judge(set, abi, number, &arguments);
                let theirs = judge(&again, abi, number, &arguments);
                (ours != theirs).then(|| (ours.unwrap_or_default(), theirs.unwrap_or_default()))
            });
            if let Some((ours, theirs)) = differs {
                differences.add((ours, theirs), number, name);
            }
        }
        losses.extend(differences.losses(abi));
    }
    Ok(())
}

/// Calls that are judged in two ways, by what the rules and the profile say.
#[derive(Default)]
struct Differences(BTreeMap<(String, String), Vec<Calls>>);

/// One call, or numbers without a name that follow each other.
enum Calls {
    Named(String),
    Numbers(i32, i32),
}

impl Differences {
    fn add(&mut self, verdicts: (String, String), number: i32, name: &str) {
        let calls = self.0.entry(verdicts).or_default();
        match calls.last_mut() {
            _ if name != "?" => calls.push(Calls::Named(name.into())),
            // Above the numbers that are tried one by one, all are judged the same.
            Some(Calls::Numbers(_, last)) if *last >= number - 1 || *last >= LAST_NUMBER => {
                *last = number;
            }
            _ => calls.push(Calls::Numbers(number, number)),
        }
    }

    fn losses(self, abi: Abi) -> impl Iterator<Item = Loss> {
        self.0.into_iter().map(move |((ours, theirs), calls)| {
            let words = calls.into_iter().map(|calls| match calls {
                Calls::Named(name) => name,
                Calls::Numbers(first, last) if first == last => first.to_string(),
                Calls::Numbers(first, i32::MAX) => format!("{first} and above"),
                Calls::Numbers(first, last) => format!("{first}..{last}"),
            });
            Loss(format!(
                "on {}: '{theirs}' by the profile, '{ours}' by the rules: {}",
                abi.name(),
                words.collect::<Vec<_>>().join(" ")
            ))
        })
    }
}

/// Arguments of a call on each side of all values that its rules name, in all combinations; none if
/// there are too many.
fn arguments(lines: &[String], name: &str) -> Option<Vec<[u64; 6]>> {
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    for line in lines {
        let parsed = Line::parse(line);
        let is_it = parsed.name == name;
        for (at, word) in parsed.words.iter().enumerate().filter(|_| is_it) {
            let Some(index) = word
                .trim_end_matches(')')
                .strip_suffix(|c: char| c.is_ascii_digit())
            else {
                continue;
            };
            if !index.ends_with("arg") {
                continue;
            }
            let index = usize::from(word.trim_end_matches(')').bytes().last()? - b'0');
            let of_condition = parsed.words.iter().skip(at + 1).take(4);
            for value in of_condition.filter_map(|word| number(word)) {
                let near = [
                    value,
                    value.wrapping_add(1),
                    value.wrapping_sub(1),
                    !value,
                    0,
                ];
                let wide = near
                    .into_iter()
                    .flat_map(|v| [v, v ^ 1 << 32, v & 0xffff_ffff]);
                values.get_mut(index)?.extend(wide);
            }
        }
    }
    let mut all = vec![[0; 6]];
    for (index, values) in values
        .iter()
        .enumerate()
        .filter(|(_, values)| !values.is_empty())
    {
        if all.len() * values.len() > MAX_TRIES {
            return None;
        }
        let with = |arguments: &[u64; 6], value: u64| {
            let mut arguments = *arguments;
            arguments[index] = value;
            arguments
        };
        all = all
            .iter()
            .flat_map(|a| values.iter().map(move |v| with(a, *v)))
            .collect();
    }
    Some(all)
}
