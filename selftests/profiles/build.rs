// SPDX-License-Identifier: GPL-2.0

use std::env;

#[path = "../rules/build.rs"]
mod names;

fn main() {
    names::main();

    // What scripts/test-profiles has unpacked.
    println!("cargo::rerun-if-env-changed=PROFILES");
    if let Ok(profiles) = env::var("PROFILES") {
        println!("cargo::rustc-link-search=native={profiles}/usr/lib/x86_64-linux-gnu");
    }
    println!("cargo::rustc-link-lib=static=seccomp");
}
