// SPDX-License-Identifier: GPL-2.0

use std::{env, fs, path::Path, process::Command};

/// Lists the names of calls, errors and signals that the kernel tree has, for whoever takes in the
/// rule engine. Other crates that do run this, too.
pub fn main() {
    let linux = env::var("LINUX").expect("LINUX must name the kernel tree: use make");
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join("names.rs");
    let script = "../../scripts/gen-names";

    println!("cargo::rerun-if-env-changed=LINUX");
    println!("cargo::rerun-if-changed={script}");
    let names = Command::new(script).arg(&linux).output().unwrap();
    assert!(names.status.success(), "{script} failed");
    fs::write(out, names.stdout).unwrap();
}
