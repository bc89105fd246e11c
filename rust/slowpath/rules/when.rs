// SPDX-License-Identifier: GPL-2.0

//! For which of the calls that a rule is for it gives its action.

use core::fmt;

/// Some of the calls, which are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// This one and each `step`th after it, up to the last, if there is one.
    Steps { first: u16, last: u16, step: u16 },
    /// So many of a hundred, by chance: the same ones for the same seed.
    Share {
        percent: u8,
        /// Whether the seed was said.
        seeded: bool,
        seed: u32,
    },
}

/// The last one of those that do not end.
pub(super) const NO_LAST: u16 = 0;

impl When {
    pub(super) fn holds(self, call: u64) -> bool {
        match self {
            Self::Steps { first, last, step } => {
                let is_over = last != NO_LAST && call > u64::from(last);
                let since = call.checked_sub(u64::from(first));
                // No step is 0.
                let is_step = |since: u64| since.checked_rem(u64::from(step)) == Some(0);
                !is_over && since.is_some_and(is_step)
            }
            Self::Share { percent, seed, .. } => {
                scatter(scatter(u64::from(seed)) ^ call) % 100 < u64::from(percent)
            }
        }
    }
}

/// A number that looks like chance, another one for each other number: the one by which the
/// generator splitmix64 ends.
pub(crate) fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" when ")?;
        let (first, last, step) = match *self {
            Self::Steps { first, last, step } => (first, last, step),
            Self::Share {
                percent,
                seeded,
                seed,
            } => {
                write!(f, "{percent}%")?;
                return if seeded {
                    write!(f, " seed {seed}")
                } else {
                    Ok(())
                };
            }
        };
        write!(f, "{first}")?;
        match (last, step) {
            (NO_LAST, 1) => f.write_str("+"),
            (NO_LAST, step) => write!(f, "+{step}"),
            (last, _) if last == first => Ok(()),
            (last, 1) => write!(f, "..{last}"),
            (last, step) => write!(f, "..{last}+{step}"),
        }
    }
}
