// SPDX-License-Identifier: GPL-2.0

//! The tests, by what they are about.

mod attach;
mod bad_input;
mod cgroups;
mod compat;
mod compat_tasks;
mod crowd;
mod doors;
mod doors_verdicts;
mod entry_variants;
mod escape;
mod escape_forks;
mod evade;
mod events;
mod exec;
mod faults;
mod group_files;
mod group_races;
mod groups;
mod inherit;
mod intrude;
mod junk;
mod meaning;
mod mitigations;
mod module;
mod observe;
mod order;
mod passes;
mod paths;
mod policy;
mod preserve;
mod probes;
mod ptrace;
mod recorder;
mod records;
mod restart;
mod rules;
mod samples;
mod seccomp_paths;
mod signals;
mod storms;
mod strace;
mod verdicts;
mod vsyscall;
mod ways;

use crate::Test;

/// Names the tests of a file after their functions. What their outcome can depend on stands before
/// them: `[Cpus, Time] => a_test another;`.
macro_rules! tests {
    ($([$($on:ident),*] => $($name:ident)*;)*) => {
        pub const TESTS: &[&[crate::Test]] = &[$($crate::tests::tests!(@group [$($on),*] $($name)*)),*];
    };
    (@group $on:tt $($name:ident)*) => {
        &[$(crate::Test {
            name: stringify!($name),
            run: $name,
            on: $crate::tests::dependencies!($on),
        }),*]
    };
}
use tests;

/// The same for functions that take the path to test, each of which makes four tests.
macro_rules! tests_on_each_path {
    ($([$($on:ident),*] => $($name:ident)*;)*) => {
        pub const TESTS_ON_EACH_PATH: &[&[crate::Test]] =
            &[$($crate::tests::tests_on_each_path!(@group [$($on),*] $($name)*)),*];
    };
    (@group $on:tt $($name:ident)*) => {
        &[$(
            $crate::tests::tests_on_each_path!(@test $on $name Fast "_fast"),
            $crate::tests::tests_on_each_path!(@test $on $name Filtered "_filtered"),
            $crate::tests::tests_on_each_path!(@test $on $name Slow "_slow"),
            $crate::tests::tests_on_each_path!(@test $on $name Iret "_iret"),
        )*]
    };
    (@test $on:tt $name:ident $path:ident $suffix:literal) => {
        crate::Test {
            name: concat!(stringify!($name), $suffix),
            run: || Path::$path.run($name),
            on: $crate::tests::dependencies!($on),
        }
    };
}
use tests_on_each_path;

macro_rules! dependencies {
    ([$($on:ident),*]) => {
        crate::dependencies::Dependencies::new(&[$(crate::dependencies::Dependency::$on),*])
    };
}
use dependencies;

pub const ALL: &[&[&[Test]]] = &[
    attach::TESTS,
    inherit::TESTS,
    groups::TESTS,
    group_files::TESTS,
    group_races::TESTS,
    cgroups::TESTS,
    passes::TESTS,
    paths::TESTS,
    seccomp_paths::TESTS,
    entry_variants::TESTS,
    preserve::TESTS,
    preserve::TESTS_ON_EACH_PATH,
    signals::TESTS_ON_EACH_PATH,
    ptrace::TESTS_ON_EACH_PATH,
    compat::TESTS_ON_EACH_PATH,
    compat_tasks::TESTS_ON_EACH_PATH,
    events::TESTS,
    exec::TESTS,
    observe::TESTS_ON_EACH_PATH,
    mitigations::TESTS,
    probes::TESTS_ON_EACH_PATH,
    policy::TESTS,
    rules::TESTS,
    meaning::TESTS,
    doors::TESTS,
    doors_verdicts::TESTS,
    order::TESTS,
    recorder::TESTS,
    records::TESTS,
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

/// Those that take minutes.
pub const LONG: &[&[&[Test]]] = &[junk::TESTS, storms::TESTS];
