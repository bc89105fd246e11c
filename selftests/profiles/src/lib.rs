// SPDX-License-Identifier: GPL-2.0

//! Whether rules that slowctl makes of profiles do what libseccomp's programs do: those that runc
//! has it make. On the host; the engine and the importer are the files of the kernel and of
//! slowctl.

#![cfg(test)]
#![allow(dead_code)]

#[path = "../../../rust/slowpath/rules/mod.rs"]
#[allow(unused_imports)]
mod rules;

#[path = "../../../rust/slowctl/src/profile/mod.rs"]
#[allow(unused_imports)]
mod profile;

mod bpf;
mod compare;
mod generate;
mod libseccomp;
mod runc;
mod tests;
