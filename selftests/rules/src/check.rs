// SPDX-License-Identifier: GPL-2.0

//! What holds for any text whatever, for the tests and for the fuzzer.

use crate::rules::{Abi, Action, Call, Judgement, ParseError, RuleSet};
use std::{cell::RefCell, convert::Infallible};

/// Who makes calls: the arguments of the next one, and how many each rule has counted.
pub(crate) struct Caller {
    pub(crate) arguments: [u64; 6],
    pub(crate) counts: RefCell<Vec<u64>>,
}

impl Caller {
    pub(crate) fn new(set: &RuleSet) -> Self {
        Self {
            arguments: [0; 6],
            counts: RefCell::new(vec![0; set.nr_counters()]),
        }
    }
}

impl Caller {
    /// Judges a call, and counts it.
    pub(crate) fn judge(&self, set: &RuleSet, abi: Abi, nr: i32) -> Judgement {
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
        self.arguments[usize::from(index)]
    }
}

/// Judges a call, and makes sure that the short ways to do so agree.
pub(crate) fn judge(set: &RuleSet, abi: Abi, nr: i32, caller: &Caller) -> Judgement {
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
    let set = match RuleSet::parse(text) {
        Ok(set) => set,
        Err(ParseError::Syntax(place) | ParseError::TooBig(place)) => {
            let line = (place.line as usize)
                .checked_sub(1)
                .and_then(|line| text.split(|&b| b == b'\n').nth(line));
            let end = line.map_or(0, |line| line.len() + 1);
            assert!((1..=end).contains(&(place.column as usize)), "{place:?}");
            return;
        }
        Err(e) => panic!("{e:?}"),
    };
    let canonical = set.to_string();
    assert_eq!(set.nr_lines(), canonical.lines().count());
    let again = RuleSet::parse(canonical.as_bytes())
        .unwrap_or_else(|e| panic!("{e:?} in what was written:\n{canonical}"));
    assert_eq!(again.to_string(), canonical);

    let (mut caller, mut caller_again) = (Caller::new(&set), Caller::new(&again));
    for (abi, nr, arguments) in calls {
        caller.arguments = arguments;
        caller_again.arguments = arguments;
        let judgement = judge(&set, abi, nr, &caller);
        assert_eq!(judge(&again, abi, nr, &caller_again), judgement);
        assert!(judgement.line.is_none_or(|line| line < set.nr_lines()));
    }
    assert_eq!(caller.counts, caller_again.counts);
}
