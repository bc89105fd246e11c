// SPDX-License-Identifier: GPL-2.0

//! What an operator types: live tasks, services and containers under syscall policies.

mod amend;
mod attach;
mod cgroup;
mod check;
mod cli;
mod counts;
mod detach;
mod doctor;
mod edit;
mod effect;
mod error;
mod events;
mod explain;
mod guard;
mod import;
mod inject;
mod latency;
mod lines;
mod list;
mod lookup;
mod membership;
mod merge;
mod module;
mod output;
mod outside;
mod policy;
mod profile;
mod record;
mod recorded;
mod restarts;
// The same files as in the kernel.
#[path = "../../slowpath/rules/mod.rs"]
#[allow(dead_code, unused_imports)]
mod rules;
mod run;
mod setup;
mod show;
mod signals;
mod sim;
mod stat;
mod target;
mod task;
mod text;
mod top;
mod trial;
mod values;
mod watch;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
