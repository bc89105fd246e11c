// SPDX-License-Identifier: GPL-2.0

//! Policies and calls at random. Few syscalls and few values, so that rules meet each other.

use super::{
    names::SYSCALLS,
    reference::{is_judged, number_of, Action, Condition, Policy, Rule, Syscall, Test, When},
};
use proptest::{option, prelude::*, sample};
use std::sync::LazyLock;

const VALUES: [u64; 8] = [0, 1, 2, 0xff, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX];

/// The numbers that a rule can name are below this.
const NR_SYSCALLS: u16 = 560;

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![9 => sample::select(&VALUES[..]), 1 => any::<u64>()]
}

fn condition() -> impl Strategy<Value = Condition> {
    let test = prop_oneof![
        value().prop_map(Test::Equal),
        value().prop_map(Test::NotEqual),
        value().prop_map(Test::Less),
        value().prop_map(Test::LessOrEqual),
        value().prop_map(Test::Greater),
        value().prop_map(Test::GreaterOrEqual),
        (value(), value()).prop_map(|(mask, value)| Test::Masked(mask, value & mask)),
    ];
    (0..6usize, test).prop_map(|(argument, test)| Condition { argument, test })
}

fn when() -> impl Strategy<Value = When> {
    let first = || prop_oneof![9 => 1..20u32, 1 => 1..=0xffffu32];
    prop_oneof![
        first().prop_map(When::Only),
        first().prop_map(When::From),
        (first(), prop_oneof![9 => 1..5u32, 1 => 1..=0xffffu32])
            .prop_map(|(first, step)| When::Every(first, step)),
    ]
}

fn numbered() -> impl Strategy<Value = Syscall> {
    (0..3usize, 0..NR_SYSCALLS)
        .prop_filter("never judged", |&(abi, nr)| is_judged(abi, nr.into()))
        .prop_map(|(abi, nr)| Syscall::Numbered(abi, nr))
}

/// One of these names, or the number of one, or any number.
fn syscall(names: Vec<usize>) -> impl Strategy<Value = Syscall> {
    prop_oneof![
        5 => sample::select(names.clone()).prop_map(Syscall::Named),
        4 => (sample::select(names), 0..3usize).prop_map(|(name, abi)| {
            number_of(name, abi).map_or(Syscall::Named(name), |nr| Syscall::Numbered(abi, nr))
        }),
        1 => numbered(),
    ]
}

/// The names that a rule can name.
static NAMES: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let is_judged = |&name: &usize| {
        (0..3).all(|abi| number_of(name, abi).is_none_or(|nr| is_judged(abi, nr.into())))
    };
    (0..SYSCALLS.len()).filter(is_judged).collect()
});

/// What a rule for these calls may redirect them to; a number that it cannot becomes the same call.
fn target(from: Syscall, choice: sample::Index) -> Syscall {
    match from {
        Syscall::Named(from) => {
            let is_target = |&&to: &&usize| {
                (0..3).all(|a| number_of(from, a).is_none() || number_of(to, a).is_some())
            };
            let targets: Vec<&usize> = NAMES.iter().filter(is_target).collect();
            Syscall::Named(**choice.get(&targets))
        }
        Syscall::Numbered(abi, number) => {
            let to = choice.index(NR_SYSCALLS.into()) as u16;
            let to = if is_judged(abi, to.into()) {
                to
            } else {
                number
            };
            Syscall::Numbered(abi, to)
        }
    }
}

fn default() -> BoxedStrategy<Action> {
    let returned = || {
        prop_oneof![any::<i64>(), -600..600i64].prop_filter("means restart", |&v| {
            ![-512, -513, -514, -516].contains(&(v as i32))
        })
    };
    let errno = || {
        prop_oneof![1..140u16, 1..=4095u16]
            .prop_filter("means restart", |e| ![512, 513, 514, 516].contains(e))
    };
    let unit = sample::select(&[1, 1000, 1_000_000, 1_000_000_000u64][..]);
    let delay = prop_oneof![
        (0..30_000_000u64, unit).prop_map(|(n, unit)| n * unit),
        0..1u64 << 55
    ];
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        returned().prop_map(Action::AfterReturn),
        errno().prop_map(Action::AfterErrno),
        delay.prop_map(Action::Delay),
        returned().prop_map(Action::Return),
        errno().prop_map(Action::Errno),
        (1..=64u8).prop_map(Action::Signal),
        prop_oneof![Just(0), any::<u16>()].prop_map(Action::Trap),
        Just(Action::KillThread),
        Just(Action::KillProcess),
    ]
    .boxed()
}

fn rule(names: Vec<usize>) -> impl Strategy<Value = Rule> {
    syscall(names).prop_flat_map(|syscall| {
        let action = prop_oneof![
            10 => default(),
            1 => (0..6usize, value()).prop_map(|(argument, value)| Action::Set(argument, value)),
            1 => any::<sample::Index>().prop_map(move |to| Action::Redirect(target(syscall, to))),
        ];
        // More conditions might not fit into a line.
        let conditions = prop_oneof![
            2 => Just(Vec::new()),
            3 => prop::collection::vec(condition(), 1..=3),
        ];
        (conditions, action, option::weighted(0.3, when())).prop_map(
            move |(conditions, action, when)| Rule {
                syscall,
                conditions,
                action,
                when,
            },
        )
    })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let names = prop::collection::vec(sample::select(&NAMES[..]), 1..6);
    let abi_default = || option::weighted(0.3, default());
    let abi_defaults = [abi_default(), abi_default(), abi_default()];
    let rules = names.prop_flat_map(|names| prop::collection::vec(rule(names), 0..30));
    (option::of(default()), abi_defaults, rules).prop_map(|(default, abi_defaults, rules)| Policy {
        default,
        abi_defaults,
        rules,
    })
}

/// A call that the policy has a rule for, more often than not.
pub(super) fn call(policy: &Policy, mut bits: u64) -> (usize, i32, [u64; 6]) {
    let mut take = |n: usize| {
        let taken = bits % n as u64;
        bits /= n as u64;
        taken as usize
    };
    let abi = take(3);
    let arguments = std::array::from_fn(|_| VALUES[take(VALUES.len())]);
    let any = [i32::MIN, -1, take(600) as i32, i32::MAX][take(8).saturating_sub(4)];
    let nr = match policy.rules.get(take(policy.rules.len() + 2)) {
        None => any,
        Some(rule) => {
            let numbers = [abi, 0, 1, 2].map(|abi| rule.syscall.number(abi));
            numbers.into_iter().flatten().next().map_or(any, i32::from)
        }
    };
    (abi, nr, arguments)
}
