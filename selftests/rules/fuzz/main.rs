// SPDX-License-Identifier: GPL-2.0

//! Feeds the rule engine with texts that libFuzzer makes up.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../../rust/slowpath/rules/mod.rs"]
mod rules;

#[path = "../src/check.rs"]
mod check;

use libfuzzer_sys::fuzz_target;
use rules::Abi;

// Up to a zero, the input is the text; what follows are arguments.
fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |&byte| byte == 0);
    let text = parts.next().unwrap_or_default();
    let mut values = parts.next().unwrap_or_default().chunks(8).map(|bytes| {
        let mut value = [0; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(value)
    });
    let arguments = std::array::from_fn(|_| values.next().unwrap_or_default());
    let numbers = (-1..=560).chain([i32::MIN, i32::MAX]);
    let calls = numbers.flat_map(|nr| Abi::ALL.map(|abi| (abi, nr, arguments)));
    check::check(text, calls);
});
