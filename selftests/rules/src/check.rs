// SPDX-License-Identifier: GPL-2.0

//! What holds for any text whatever, for the tests and for the fuzzer.

use crate::rules::{
    Abi, Action, Call, Judgement, ParseError, Remark, Report, RuleSet, MAX_MISTAKES,
};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
};

/// What chance the tests leave to rules.
pub(crate) const RANDOM: u64 = 4711;

/// Who makes calls: the arguments of the next one, and how many each rule has counted.
pub(crate) struct Caller {
    pub(crate) arguments: [u64; 6],
    pub(crate) counts: RefCell<Vec<u64>>,
    /// The architecture of the call that is being judged.
    abi: Cell<Abi>,
}

impl Caller {
    pub(crate) fn new(set: &RuleSet) -> Self {
        Self {
            arguments: [0; 6],
            counts: RefCell::new(vec![0; set.nr_counters()]),
            abi: Cell::new(Abi::X86_64),
        }
    }
}

impl Caller {
    /// Judges a call, and counts it.
    pub(crate) fn judge(&self, set: &RuleSet, abi: Abi, nr: i32) -> Judgement {
        self.abi.set(abi);
        let count = |counter: usize| {
            let count = &mut self.counts.borrow_mut()[counter];
            *count += 1;
            Ok::<u64, Infallible>(*count)
        };
        set.judge(abi, nr, self, count)
            .unwrap_or_else(|never| match never {})
    }
}

impl Call for Caller {
    fn argument(&self, index: u8) -> u64 {
        let argument = self.arguments[usize::from(index)];
        match self.abi.get() {
            Abi::I386 => u64::from(argument as u32),
            _ => argument,
        }
    }
}

/// Judges a call, and makes sure that the short ways to do so agree.
pub(crate) fn judge(set: &RuleSet, abi: Abi, nr: i32, caller: &Caller) -> Judgement {
    caller.abi.set(abi);
    let allowed = set.allows(abi, nr, caller).map(|line| Judgement {
        action: Action::Allow,
        line: Some(line),
    });
    let constant = set.judge_constant(abi, nr);
    assert!(allowed.is_none() || constant.is_none());
    let before = caller.counts.clone();
    let judgement = caller.judge(set, abi, nr);
    if let Some(short) = allowed.or(constant) {
        assert_eq!(judgement, short);
        assert_eq!(caller.counts, before);
    }
    judgement
}

/// A text is refused at a place in it; or its canonical text is the same policy.
pub(crate) fn check(text: &[u8], calls: impl Iterator<Item = (Abi, i32, [u64; 6])>) {
    let mut report = Report::new();
    let parsed = RuleSet::parse(text, RANDOM, &mut report);
    let remarks = report.remarks();
    let is_later = |two: &[Remark]| (two[0].line, two[0].column) < (two[1].line, two[1].column);
    for place in remarks {
        let line = (place.line as usize)
            .checked_sub(1)
            .and_then(|line| text.split(|&b| b == b'\n').nth(line));
        let end = line.map_or(0, |line| line.len() + 1);
        assert!((1..=end).contains(&(place.column as usize)), "{place:?}");
        assert_eq!(place.reason.starts_with("warning: "), parsed.is_ok());
    }
    assert!(remarks.len() <= MAX_MISTAKES);
    let set = match parsed {
        Ok(set) => set,
        Err(ParseError::Syntax | ParseError::TooBig) => {
            assert!(!remarks.is_empty());
            assert!(remarks.windows(2).all(is_later));
            return;
        }
        Err(e) => panic!("{e:?}"),
    };
    let canonical = set.to_string();
    let is_order = |line: &&str| *line == "order first";
    let lines: Vec<&str> = canonical.lines().skip_while(is_order).collect();
    assert_eq!(set.nr_lines(), lines.len());
    let mut report = Report::new();
    let again = RuleSet::parse(canonical.as_bytes(), RANDOM, &mut report).unwrap_or_else(|e| {
        panic!(
            "{e:?} {:?} in what was written:\n{canonical}",
            report.remarks()
        )
    });
    assert_eq!(again.to_string(), canonical);
    for (i, line) in lines.iter().enumerate() {
        let first = lines.iter().position(|other| other == line).unwrap();
        assert_eq!(again.hash_of_line(i), set.hash_of_line(first));
    }
    // By chance the same calls are chosen only with a seed.
    if canonical.contains('%') {
        return;
    }

    let (mut caller, mut caller_again) = (Caller::new(&set), Caller::new(&again));
    for (abi, nr, arguments) in calls {
        caller.arguments = arguments;
        caller_again.arguments = arguments;
        let judgement = judge(&set, abi, nr, &caller);
        let judgement_again = judge(&again, abi, nr, &caller_again);
        assert_eq!(judgement_again.line, judgement.line);
        let steps = |set: &RuleSet, action: Action| {
            // Where the bytes are may differ.
            let steps = set.steps(&action).iter().map(|step| match step {
                Action::Poke(poke) | Action::AfterPoke(poke) => {
                    (poke.argument, set.bytes(*poke).to_vec(), None)
                }
                step => (0, Vec::new(), Some(*step)),
            });
            steps.collect::<Vec<_>>()
        };
        assert_eq!(
            steps(&again, judgement_again.action),
            steps(&set, judgement.action)
        );
        assert!(judgement.line.is_none_or(|line| line < set.nr_lines()));
    }
    assert_eq!(caller.counts, caller_again.counts);
}
