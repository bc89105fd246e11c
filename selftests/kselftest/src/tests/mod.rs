// SPDX-License-Identifier: GPL-2.0

//! The tests, by what they are about.

mod attach;
mod bad_input;
mod inherit;
mod module;
mod policy;
mod preserve;

use crate::Test;

/// Names the tests of a file after their functions.
macro_rules! tests {
    ($($name:ident)*) => {
        pub const TESTS: &[crate::Test] = &[$((stringify!($name), $name)),*];
    };
}
use tests;

pub const ALL: &[&[Test]] = &[
    attach::TESTS,
    inherit::TESTS,
    preserve::TESTS,
    policy::TESTS,
    bad_input::TESTS,
    module::TESTS,
];
