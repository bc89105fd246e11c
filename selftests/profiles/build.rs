// SPDX-License-Identifier: GPL-2.0

use std::{env, fs, path::Path, process::Command};

fn main() {
    let linux =
        env::var("LINUX").expect("LINUX must name the kernel tree: use `make test-profiles`");
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join("names.rs");
    let script = "../../scripts/gen-names";

    println!("cargo::rerun-if-env-changed=LINUX");
    println!("cargo::rerun-if-changed={script}");
    let names = Command::new(script).arg(&linux).output().unwrap();
    assert!(names.status.success(), "{script} failed");
    fs::write(out, names.stdout).unwrap();

    // What scripts/test-profiles has unpacked.
    println!("cargo::rerun-if-env-changed=PROFILES");
    if let Ok(profiles) = env::var("PROFILES") {
        println!("cargo::rustc-link-search=native={profiles}/usr/lib/x86_64-linux-gnu");
    }
    println!("cargo::rustc-link-lib=static=seccomp");
}
