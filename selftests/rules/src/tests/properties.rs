// SPDX-License-Identifier: GPL-2.0

//! Random policies and calls: the engine against the reference.

use super::{generators, parse, reference};
use crate::{
    check::{check, judge, Caller},
    rules::{Abi, Action, Calls, Change, Poke, RuleSet},
};
use proptest::prelude::*;

/// So many policies, with at least so many calls each.
const POLICIES: u32 = 2000;
const CALLS: usize = 550;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        // There is no place to keep them, and they are printed.
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.and_then(|n| n.parse().ok()).unwrap_or(POLICIES))
    }
}

/// A way to write that depends on a number, and varies.
fn style(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |ways| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % ways
    }
}

/// The engine's action, as the reference says it.
fn plain(set: &RuleSet, action: Action, abi: usize) -> Vec<reference::Action> {
    let steps = set.steps(&action);
    steps
        .iter()
        .map(|step| plain_step(set, *step, abi))
        .collect()
}

fn plain_step(set: &RuleSet, action: Action, abi: usize) -> reference::Action {
    let bytes = |poke: Poke| {
        let bytes = set.bytes(poke);
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        (usize::from(poke.argument), bytes.len() as u8, number)
    };
    let number =
        |calls: Calls| reference::Syscall::Numbered(abi, calls.number(Abi::ALL[abi]).unwrap());
    match action {
        Action::Allow => reference::Action::Allow,
        Action::Audit => reference::Action::Audit,
        Action::Log => reference::Action::Log,
        Action::AfterDelay(nanos) => reference::Action::AfterDelay(nanos),
        Action::AfterReturn(value) => reference::Action::AfterReturn(value),
        Action::AfterErrno(errno) => reference::Action::AfterErrno(errno),
        Action::Set {
            argument,
            change,
            value,
        } => match change {
            Change::Assign => reference::Action::Set(argument.into(), value),
            Change::Or => reference::Action::SetBits(argument.into(), value),
            Change::And => reference::Action::KeepBits(argument.into(), value),
        },
        Action::AfterPoke(poke) => {
            let (argument, len, number) = bytes(poke);
            reference::Action::AfterPoke(argument, len, number)
        }
        Action::Poke(poke) => {
            let (argument, len, number) = bytes(poke);
            reference::Action::Poke(argument, len, number)
        }
        Action::Redirect(to) => reference::Action::Redirect(number(to)),
        Action::Delay(nanos) => reference::Action::Delay(nanos),
        Action::Return(value) => reference::Action::Return(value),
        Action::Errno(errno) => reference::Action::Errno(errno),
        Action::Signal(signal) => reference::Action::Signal(signal),
        Action::Trap(data) => reference::Action::Trap(data),
        Action::KillThread => reference::Action::KillThread,
        Action::KillProcess => reference::Action::KillProcess,
        Action::Several { .. } => unreachable!(),
    }
}

/// The reference's actions, with what a redirection means on an architecture.
fn on(abi: usize, actions: Vec<reference::Action>) -> Vec<reference::Action> {
    let on = |action| match action {
        reference::Action::Redirect(to) => {
            let number = to.number(abi).unwrap();
            reference::Action::Redirect(reference::Syscall::Numbered(abi, number))
        }
        action => action,
    };
    actions.into_iter().map(on).collect()
}

fn any_calls() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), CALLS..=CALLS + 50)
}

fn for_engine((abi, nr, arguments): (usize, i32, [u64; 6])) -> (Abi, i32, [u64; 6]) {
    (Abi::ALL[abi], nr, arguments)
}

/// A change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Vec<u8>),
    Remove(usize),
    Replace(u8),
    Repeat(usize, usize),
}

fn any_word() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(
        &[
            "default",
            "order first",
            "above 9",
            "?",
            "470..559",
            "i32(arg0)",
            "u8(",
            "poke",
            "00ff",
            "seed 7",
            "10%",
            "2..9+3",
            "-100",
            "04000",
            "|",
            "arch",
            "i386",
            "read",
            "219",
            "errno",
            "after",
            "return",
            "allow",
            "set",
            "redirect",
            "delay",
            "20ms",
            "trap",
            "when",
            "3+2",
            "-1",
            "EPERM",
            "arg0",
            "arg6",
            "&",
            "==",
            "<",
            "0x",
            "#",
            "\n",
            "\t",
            "\u{fc}",
            "\0",
            "99999999999999999999",
        ][..],
    )
    .prop_map(|word| format!(" {word} ").into_bytes())
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Edit::Insert),
        any_word().prop_map(Edit::Insert),
        (1..20usize).prop_map(Edit::Remove),
        any::<u8>().prop_map(Edit::Replace),
        prop::sample::select(&b" \n#0+&x?.%|-()"[..]).prop_map(Edit::Replace),
        (1..100usize, 1..5usize).prop_map(|(length, times)| Edit::Repeat(length, times)),
    ]
}

fn edit(text: &mut Vec<u8>, at: prop::sample::Index, edit: Edit) {
    let at = at.index(text.len() + 1);
    let until = |length: usize| (at + length).min(text.len());
    match edit {
        Edit::Insert(bytes) => drop(text.splice(at..at, bytes)),
        Edit::Remove(length) => drop(text.drain(at..until(length))),
        Edit::Replace(byte) => drop(text.splice(at..until(1), [byte])),
        Edit::Repeat(length, times) => {
            let repeated = text[at..until(length)].repeat(times);
            drop(text.splice(at..at, repeated));
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_judges_as_the_reference_does(
        policy in generators::policy(),
        seed in any::<u64>(),
        calls in any_calls(),
    ) {
        let text = policy.text(&mut style(seed));
        let set = parse(&text);
        let mut caller = Caller::new(&set);
        let mut counts = vec![0; policy.rules.len()];
        for call in calls {
            let (abi, nr, arguments) = generators::call(&policy, call);
            caller.arguments = arguments;
            let got = judge(&set, Abi::ALL[abi], nr, &caller);
            let (actions, line) = policy.judge(&mut counts, abi, nr, &arguments);
            prop_assert_eq!(
                (plain(&set, got.action, abi), got.line),
                (on(abi, actions), line),
                "{} {} {:?} by\n{}", abi, nr, arguments, text
            );
        }
        let counting = policy.rules.iter().zip(counts).filter(|(rule, _)| rule.when.is_some());
        prop_assert_eq!(caller.counts.into_inner(), counting.map(|c| c.1).collect::<Vec<_>>());
    }

    #[test]
    fn the_canonical_text_judges_the_same(
        policy in generators::policy(),
        seed in any::<u64>(),
        calls in any_calls(),
    ) {
        let text = policy.text(&mut style(seed));
        prop_assert_eq!(parse(&text).to_string(), policy.canonical_text());
        check(
            text.as_bytes(),
            calls.iter().map(|&call| for_engine(generators::call(&policy, call))),
        );
    }

    #[test]
    fn an_edited_text_is_a_policy_or_wrong_somewhere(
        policy in generators::policy(),
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any_edit()), 1..4),
        calls in prop::collection::vec(any::<u64>(), 20),
    ) {
        let mut text = policy.text(&mut style(seed)).into_bytes();
        for (at, change) in edits {
            edit(&mut text, at, change);
        }
        check(&text, calls.iter().map(|&call| for_engine(generators::call(&policy, call))));
    }

    #[test]
    fn any_bytes_are_a_policy_or_wrong_somewhere(text in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&text, std::iter::empty());
    }

    #[test]
    fn any_words_are_a_policy_or_wrong_somewhere(words in prop::collection::vec(any_word(), 0..40)) {
        check(&words.concat(), std::iter::empty());
    }
}
