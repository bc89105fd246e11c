// SPDX-License-Identifier: GPL-2.0

//! The module's rule engine, on the host: the same files as in the kernel.

#![cfg(test)]
// Some of it is for the command line alone.
#![allow(dead_code, unused_imports)]

#[path = "../../../rust/slowpath/rules/mod.rs"]
mod rules;

mod check;
mod tests;
