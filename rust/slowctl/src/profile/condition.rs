// SPDX-License-Identifier: GPL-2.0

//! Comparisons of arguments, in seccomp's terms.

use crate::rules::Abi;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// What the first value leaves of the argument is what it leaves of the second one.
    MaskedEqual,
}

impl Comparison {
    const NAMES: [(&'static str, Self); 7] = [
        ("SCMP_CMP_NE", Self::NotEqual),
        ("SCMP_CMP_LT", Self::Less),
        ("SCMP_CMP_LE", Self::LessOrEqual),
        ("SCMP_CMP_EQ", Self::Equal),
        ("SCMP_CMP_GE", Self::GreaterOrEqual),
        ("SCMP_CMP_GT", Self::Greater),
        ("SCMP_CMP_MASKED_EQ", Self::MaskedEqual),
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|c| c.0 == name).map(|c| c.1)
    }

    /// Whether it is about the order, and not only whether both are the same.
    pub fn orders(self) -> bool {
        use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};

        matches!(self, Less | LessOrEqual | GreaterOrEqual | Greater)
    }
}

/// A comparison as a profile has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub argument: u8,
    pub comparison: Comparison,
    pub value: u64,
    pub value_two: u64,
}

/// A comparison as the program does it: of 32 bits on i386 and x32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    pub argument: u8,
    pub comparison: Comparison,
    /// What is left of the argument.
    pub mask: u64,
    pub value: u64,
}

/// The bits of an argument that libseccomp looks at.
pub fn bits_on(abi: Abi) -> u64 {
    match abi {
        Abi::X86_64 => u64::MAX,
        Abi::I386 | Abi::X32 => u64::from(u32::MAX),
    }
}

impl Condition {
    /// The test that it is on an architecture; none is for a mask without bits, which is left out.
    pub fn on(&self, abi: Abi) -> Option<Test> {
        let bits = bits_on(abi);
        let (mask, value) = match self.comparison {
            Comparison::MaskedEqual => (self.value & bits, self.value_two & self.value & bits),
            _ => (bits, self.value & bits),
        };
        (mask != 0).then_some(Test {
            argument: self.argument,
            comparison: self.comparison,
            mask,
            value,
        })
    }
}

/// The values that an argument may have: between two, with some bits fixed, and but for some.
struct Values {
    first: u64,
    last: u64,
    mask: u64,
    value: u64,
    but: Vec<u64>,
}

impl Values {
    /// Narrows them down to those for which a test holds; none are left if that is not possible.
    fn narrow(&mut self, test: &Test) -> Option<()> {
        let value = test.value;
        match test.comparison {
            Comparison::NotEqual => self.but.push(value),
            Comparison::Less => self.last = self.last.min(value.checked_sub(1)?),
            Comparison::LessOrEqual => self.last = self.last.min(value),
            Comparison::Equal => {
                self.first = self.first.max(value);
                self.last = self.last.min(value);
            }
            Comparison::GreaterOrEqual => self.first = self.first.max(value),
            Comparison::Greater => self.first = self.first.max(value.checked_add(1)?),
            Comparison::MaskedEqual => {
                if (self.value ^ value) & self.mask & test.mask != 0 {
                    return None;
                }
                self.mask |= test.mask;
                self.value |= value;
            }
        }
        Some(())
    }

    /// The least value from `from` on that has the fixed bits.
    fn next(&self, from: u64) -> Option<u64> {
        if from & self.mask == self.value {
            return Some(from);
        }
        // It is like `from` above some bit, which is 1 and not 0, and as small as can be below.
        (0..u64::BITS).find_map(|bit| {
            let one = 1 << bit;
            let above = u64::MAX.checked_shl(bit + 1).unwrap_or(0);
            let is_like = (from ^ self.value) & self.mask & above == 0;
            let can_be_one = from & one == 0 && (self.mask & one == 0 || self.value & one != 0);
            (is_like && can_be_one).then(|| from & above | one | self.value & (one - 1))
        })
    }

    fn are_there(&self) -> bool {
        let mut value = self.next(self.first);
        while let Some(found) = value.filter(|found| *found <= self.last) {
            if !self.but.contains(&found) {
                return true;
            }
            value = found.checked_add(1).and_then(|from| self.next(from));
        }
        false
    }
}

/// Whether there are arguments for which all of these tests hold.
pub fn can_hold(tests: &[&Test], abi: Abi) -> bool {
    (0..6).all(|argument| {
        let mut values = Values {
            first: 0,
            last: bits_on(abi),
            mask: 0,
            value: 0,
            but: Vec::new(),
        };
        let mut of_argument = tests.iter().filter(|test| test.argument == argument);
        of_argument.all(|test| values.narrow(test).is_some()) && values.are_there()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};

    fn holds(test: &Test, argument: u64) -> bool {
        let left = argument & test.mask;
        match test.comparison {
            Comparison::NotEqual => left != test.value,
            Comparison::Less => left < test.value,
            Comparison::LessOrEqual => left <= test.value,
            Comparison::Equal | Comparison::MaskedEqual => left == test.value,
            Comparison::GreaterOrEqual => left >= test.value,
            Comparison::Greater => left > test.value,
        }
    }

    fn test() -> impl Strategy<Value = Test> {
        let comparison = select(&Comparison::NAMES[..]).prop_map(|c| c.1);
        (comparison, 0..32u64, 0..32u64).prop_filter_map("no mask", |(comparison, a, b)| {
            let condition = Condition {
                argument: 0,
                comparison,
                value: a,
                value_two: b,
            };
            condition.on(Abi::X86_64)
        })
    }

    proptest! {
        /// All values that matter are small.
        #[test]
        fn tests_that_can_hold(tests in prop::collection::vec(test(), 1..4)) {
            let found = (0..128).any(|argument| tests.iter().all(|test| holds(test, argument)));
            let tests: Vec<&Test> = tests.iter().collect();
            prop_assert_eq!(can_hold(&tests, Abi::X86_64), found);
        }
    }

    #[test]
    fn highest_values() {
        let top = |comparison, value| Test {
            argument: 5,
            comparison,
            mask: u64::MAX,
            value,
        };
        let all = top(Comparison::GreaterOrEqual, u64::MAX);
        assert!(can_hold(&[&all], Abi::X86_64));
        assert!(!can_hold(
            &[&top(Comparison::Greater, u64::MAX)],
            Abi::X86_64
        ));
        assert!(!can_hold(&[&top(Comparison::Less, 0)], Abi::X86_64));
        assert!(!can_hold(
            &[&all, &top(Comparison::NotEqual, u64::MAX)],
            Abi::X86_64
        ));
        let high = Test {
            mask: 1 << 63,
            value: 1 << 63,
            ..top(Comparison::MaskedEqual, 0)
        };
        assert!(can_hold(&[&high], Abi::X86_64));
        assert!(!can_hold(
            &[&high, &top(Comparison::Less, 1 << 63)],
            Abi::X86_64
        ));
    }
}
