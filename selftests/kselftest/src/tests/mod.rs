// SPDX-License-Identifier: GPL-2.0

//! The tests, by what they are about.

mod attach;
mod bad_input;
mod compat;
mod compat_tasks;
mod crowd;
mod doors;
mod doors_verdicts;
mod escape;
mod escape_forks;
mod evade;
mod events;
mod faults;
mod inherit;
mod intrude;
mod junk;
mod module;
mod observe;
mod order;
mod paths;
mod policy;
mod preserve;
mod probes;
mod ptrace;
mod restart;
mod rules;
mod samples;
mod signals;
mod storms;
mod strace;
mod verdicts;
mod vsyscall;
mod ways;

use crate::Test;

/// Names the tests of a file after their functions.
macro_rules! tests {
    ($($name:ident)*) => {
        pub const TESTS: &[crate::Test] = &[$((stringify!($name), $name)),*];
    };
}
use tests;

/// The same for functions that take the path to test, each of which makes three tests.
macro_rules! tests_on_each_path {
    ($($name:ident)*) => {
        pub const TESTS_ON_EACH_PATH: &[crate::Test] = &[$(
            (concat!(stringify!($name), "_fast"), || Path::Fast.run($name)),
            (concat!(stringify!($name), "_slow"), || Path::Slow.run($name)),
            (concat!(stringify!($name), "_iret"), || Path::Iret.run($name)),
        )*];
    };
}
use tests_on_each_path;

pub const ALL: &[&[Test]] = &[
    attach::TESTS,
    inherit::TESTS,
    paths::TESTS,
    preserve::TESTS,
    preserve::TESTS_ON_EACH_PATH,
    signals::TESTS_ON_EACH_PATH,
    ptrace::TESTS_ON_EACH_PATH,
    compat::TESTS_ON_EACH_PATH,
    compat_tasks::TESTS_ON_EACH_PATH,
    events::TESTS,
    observe::TESTS_ON_EACH_PATH,
    probes::TESTS_ON_EACH_PATH,
    policy::TESTS,
    rules::TESTS,
    doors::TESTS,
    doors_verdicts::TESTS,
    order::TESTS,
    verdicts::TESTS,
    restart::TESTS,
    vsyscall::TESTS,
    strace::TESTS,
    bad_input::TESTS,
    escape::TESTS,
    escape_forks::TESTS,
    evade::TESTS,
    intrude::TESTS,
    faults::TESTS,
    module::TESTS,
    samples::TESTS,
];

/// Those that take minutes, and do not depend on the machine.
pub const LONG: &[&[Test]] = &[junk::TESTS, storms::TESTS];
