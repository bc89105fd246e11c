// SPDX-License-Identifier: GPL-2.0

//! What holds for any text whatever, for the tests and for the fuzzer.

use crate::rules::{Arch, Call, Judgement, ParseError, RuleSet, Verdict};
use std::cell::RefCell;

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

impl Call for Caller {
    fn argument(&self, index: u8) -> u64 {
        self.arguments[usize::from(index)]
    }

    fn count(&self, counter: usize) -> u64 {
        let count = &mut self.counts.borrow_mut()[counter];
        *count += 1;
        *count
    }
}

/// Judges a call, and makes sure that the short ways to do so agree.
pub(crate) fn judge(set: &RuleSet, arch: Arch, nr: i32, caller: &Caller) -> Judgement {
    let allowed = set.line_that_allows(arch, nr, caller);
    let decided = set.rule_that_decides(arch, nr);
    assert!(allowed.is_none() || decided.is_none());
    let before = caller.counts.clone();
    let judgement = set.judge(arch, nr, caller);
    if let Some((line, verdict)) = allowed.map(|line| (line, Verdict::Allow)).or(decided) {
        let line = Some(line);
        assert_eq!(judgement, Judgement { verdict, line });
        assert_eq!(caller.counts, before);
    }
    judgement
}

/// A text is refused at a place in it; or its canonical text is the same policy.
pub(crate) fn check(text: &[u8], calls: impl Iterator<Item = (Arch, i32, [u64; 6])>) {
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
    for (arch, nr, arguments) in calls {
        caller.arguments = arguments;
        caller_again.arguments = arguments;
        let judgement = judge(&set, arch, nr, &caller);
        assert_eq!(judge(&again, arch, nr, &caller_again), judgement);
        assert!(judgement.line.is_none_or(|line| line < set.nr_lines()));
    }
    assert_eq!(caller.counts, caller_again.counts);
}
