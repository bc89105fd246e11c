// SPDX-License-Identifier: GPL-2.0

//! The module's rule engine, on the host: the same files as in the kernel.

#![cfg(test)]
#![allow(dead_code)]

#[path = "../../../rust/slowpath/rules/mod.rs"]
mod rules;

mod check;
mod tests;
