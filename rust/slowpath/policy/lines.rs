// SPDX-License-Identifier: GPL-2.0

//! Which lines of two versions of rules are the same.

use crate::rules::{scatter, RuleSet, MAX_DEFAULTS, MAX_RULES};
use kernel::prelude::*;

/// The lines of rules, by a hash of what they say: a table with room for twice as many.
///
/// An entry has the hash, but for the bits that have one more than the line, or is 0.
pub(super) struct Lines(KVVec<u64>);

const LINE: u64 = 0xffff;

const _: () = assert!(MAX_RULES + MAX_DEFAULTS < LINE as usize);

impl Lines {
    pub(super) fn new(set: &RuleSet) -> Result<Self> {
        let len = (2 * set.nr_lines()).next_power_of_two();
        let mut lines = Self(KVVec::from_elem(0, len, GFP_KERNEL)?);
        for line in 0..set.nr_lines() {
            let mut hash = set.hash_of_line(line);
            // Of lines that are the same the first has one hash, the second another one, and so on.
            while lines.find(hash).is_ok() {
                hash = scatter(hash);
            }
            if let Err(Some(place)) = lines.find(hash).map_err(|place| lines.0.get_mut(place)) {
                // CAST: The kernel's word has 64 bits.
                *place = hash & !LINE | (line as u64 + 1);
            }
        }
        Ok(lines)
    }

    /// The line with a hash; or else the place where it would be.
    fn find(&self, hash: u64) -> Result<usize, usize> {
        // CAST: The kernel's word has 64 bits.
        let mut place = (hash / (LINE + 1)) as usize;
        loop {
            place &= self.0.len() - 1;
            match self.0.get(place) {
                None | Some(0) => return Err(place),
                Some(entry) if entry & !LINE == hash & !LINE => return Ok(line_of(*entry)),
                Some(_) => place += 1,
            }
        }
    }

    /// Each line of which there is the same in another version, and which one that is.
    pub(super) fn same_in<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let entries = self.0.iter().filter(|entry| **entry != 0);
        entries.filter_map(|entry| Some((line_of(*entry), other.find(*entry).ok()?)))
    }
}

fn line_of(entry: u64) -> usize {
    // CAST: The kernel's word has 64 bits.
    (entry & LINE) as usize - 1
}
