// SPDX-License-Identifier: GPL-2.0

//! Policies and calls at random. Few syscalls and few values, so that rules meet each other.

use super::{
    names::SYSCALLS,
    reference::{
        is_judged,
        number_of,
        Action,
        Condition,
        Default,
        Operator,
        Policy,
        Rule,
        Syscall,
        When,
        Width,
        I386, //
    },
};
use proptest::{option, prelude::*, sample};
use std::sync::LazyLock;

/// What registers may have: numbers at the limits of each width, and with a sign that reaches into
/// the upper half or not.
const VALUES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ff9c,
    0xffff_ffff,
    1 << 32,
    1 << 32 | 1,
    1 << 63,
    -100i64 as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// The numbers that a rule can name are below this.
const NR_SYSCALLS: u16 = 560;

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![9 => sample::select(&VALUES[..]), 1 => any::<u64>()]
}

/// What a register may mean.
fn number() -> impl Strategy<Value = i128> {
    prop_oneof![
        3 => value().prop_map(i128::from),
        3 => value().prop_map(|value| i128::from(value as u32)),
        2 => value().prop_map(|value| i128::from(value as i64)),
        2 => value().prop_map(|value| i128::from(value as i32)),
        1 => value().prop_map(|value| i128::from(value as i16)),
    ]
}

fn width() -> impl Strategy<Value = Width> {
    (sample::select(&[8, 16, 32, 64u32][..]), any::<bool>())
        .prop_map(|(bits, is_signed)| Width { bits, is_signed })
}

/// A condition that may be said of these calls.
fn condition(syscall: Syscall) -> impl Strategy<Value = Condition> {
    let operator = sample::select(
        &[
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
        ][..],
    );
    let mask = option::weighted(0.3, value());
    let width = option::weighted(0.2, width());
    (0..6usize, width, mask, operator, number()).prop_map(
        move |(argument, width, mask, operator, value)| {
            let mut condition = Condition {
                argument,
                width,
                mask,
                operator,
                value,
            };
            // As it is, or what is left of it by the mask, or something that always makes sense.
            if !condition.is_sensible(syscall) {
                condition.value = value & i128::from(mask.unwrap_or(0xff));
            }
            if !condition.is_sensible(syscall) {
                condition.mask = None;
                condition.operator = Operator::GreaterOrEqual;
                condition.value = 0;
            }
            condition
        },
    )
}

fn when() -> impl Strategy<Value = When> {
    let first = || prop_oneof![9 => 1..20u32, 1 => 1..=0xffffu32];
    let step = || prop_oneof![9 => 1..5u32, 1 => 1..=0xffffu32];
    let last = |first: u32, more: u32| (first + more).min(0xffff);
    prop_oneof![
        first().prop_map(When::Only),
        first().prop_map(When::From),
        (first(), step()).prop_map(|(first, step)| When::Every(first, step)),
        (first(), 0..30u32).prop_map(move |(first, more)| When::Until(first, last(first, more))),
        (first(), 0..30u32, step()).prop_map(move |(first, more, step)| When::EveryUntil(
            first,
            last(first, more),
            step
        )),
        (1..=100u64, any::<u32>()).prop_map(|(percent, seed)| When::Share(percent, seed)),
    ]
}

fn numbered() -> impl Strategy<Value = Syscall> {
    (0..3usize, 0..NR_SYSCALLS)
        .prop_filter("never judged", |&(abi, nr)| is_judged(abi, nr.into()))
        .prop_map(|(abi, nr)| Syscall::Numbered(abi, nr))
}

fn range() -> impl Strategy<Value = Syscall> {
    (0..3usize, 0..NR_SYSCALLS, 0..40u16).prop_map(|(abi, first, more)| {
        Syscall::Range(abi, first, (first + more).min(NR_SYSCALLS - 1))
    })
}

/// One of these names, or the number of one, or any number, or a range of them.
fn syscall(names: Vec<usize>) -> impl Strategy<Value = Syscall> {
    prop_oneof![
        5 => sample::select(names.clone()).prop_map(Syscall::Named),
        4 => (sample::select(names), 0..3usize).prop_map(|(name, abi)| {
            number_of(name, abi).map_or(Syscall::Named(name), |nr| Syscall::Numbered(abi, nr))
        }),
        1 => numbered(),
        1 => range(),
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
        Syscall::Range(abi, first, _) => {
            let number = if is_judged(abi, first.into()) {
                first
            } else {
                1
            };
            target(Syscall::Numbered(abi, number), choice)
        }
    }
}

fn delay() -> impl Strategy<Value = u64> {
    let unit = sample::select(&[1, 1000, 1_000_000, 1_000_000_000u64][..]);
    prop_oneof![
        (0..30_000_000u64, unit).prop_map(|(n, unit)| n * unit),
        0..1u64 << 55
    ]
}

fn poke() -> impl Strategy<Value = (usize, u8, u64)> {
    let bytes = (1..=8u8, value());
    (0..6usize, bytes).prop_map(|(argument, (len, bytes))| {
        (argument, len, bytes & u64::MAX >> (64 - 8 * u32::from(len)))
    })
}

/// Something that a call returns, or is ended by.
fn result() -> impl Strategy<Value = Action> {
    let returned = || {
        prop_oneof![any::<i64>(), -600..600i64].prop_filter("means restart", |&v| {
            ![-512, -513, -514, -516].contains(&(v as i32))
        })
    };
    let errno = || {
        prop_oneof![1..140u16, 1..=4095u16]
            .prop_filter("means restart", |e| ![512, 513, 514, 516].contains(e))
    };
    prop_oneof![
        returned().prop_map(Action::AfterReturn),
        errno().prop_map(Action::AfterErrno),
        returned().prop_map(Action::Return),
        errno().prop_map(Action::Errno),
        prop_oneof![Just(0), any::<u16>()].prop_map(Action::Trap),
        Just(Action::KillThread),
        Just(Action::KillProcess),
    ]
}

fn is_made(actions: &[Action]) -> bool {
    !actions.iter().any(|action| {
        matches!(
            action,
            Action::Return(_)
                | Action::Errno(_)
                | Action::Trap(_)
                | Action::KillThread
                | Action::KillProcess
        )
    })
}

/// Any actions that go together.
fn default() -> BoxedStrategy<Vec<Action>> {
    let some = |percent, action: BoxedStrategy<Action>| option::weighted(percent, action);
    let together = (
        some(0.3, delay().prop_map(Action::Delay).boxed()),
        some(0.2, (1..=64u8).prop_map(Action::Signal).boxed()),
        some(0.6, result().boxed()),
        some(0.2, delay().prop_map(Action::AfterDelay).boxed()),
        some(
            0.1,
            poke()
                .prop_map(|(a, len, bytes)| Action::Poke(a, len, bytes))
                .boxed(),
        ),
        some(
            0.1,
            poke()
                .prop_map(|(a, len, bytes)| Action::AfterPoke(a, len, bytes))
                .boxed(),
        ),
        some(0.3, Just(Action::Audit).boxed()),
    );
    let together = together.prop_map(
        |(delay, mut signal, result, mut after, poke, mut after_poke, mut audit)| {
            if let Some(Action::KillThread | Action::KillProcess) = result {
                (signal, after, after_poke) = (None, None, None);
                // There is a record of it.
                audit = None;
            }
            if let Some(Action::Trap(_)) = result {
                (after, after_poke) = (None, None);
            }
            let all = [poke, delay, signal, result, after_poke, after, audit];
            Vec::from_iter(all.into_iter().flatten())
        },
    );
    let is_any = |actions: &Vec<Action>| !actions.is_empty();
    prop_oneof![
        1 => Just(vec![Action::Allow]),
        1 => Just(vec![Action::Log]),
        4 => result().prop_map(|action| vec![action]),
        4 => together.prop_filter("nothing", is_any),
    ]
    .boxed()
}

/// Changes of arguments that do not contradict each other.
fn changes() -> impl Strategy<Value = Vec<Action>> {
    let change = (value(), value(), 0..5).prop_map(|(bits, others, how)| (bits, others, how));
    let arguments = prop::collection::vec((0..6usize, change), 1..3);
    arguments.prop_map(|arguments| {
        let mut changes = Vec::new();
        let mut taken = [false; 6];
        for (argument, (bits, others, how)) in arguments {
            if std::mem::replace(&mut taken[argument], true) {
                continue;
            }
            let (set, keep) = (
                Action::SetBits(argument, bits),
                Action::KeepBits(argument, others),
            );
            changes.extend(match how {
                0 => vec![Action::Set(argument, bits)],
                1 => vec![set],
                2 => vec![keep],
                3 => vec![set, keep],
                _ => vec![keep, set],
            });
        }
        changes
    })
}

/// The same, with changes of the call if it is made.
fn actions(syscall: Syscall) -> impl Strategy<Value = Vec<Action>> {
    let redirection = option::weighted(0.3, any::<sample::Index>());
    let changed = (
        redirection,
        option::weighted(0.7, changes()),
        option::of(default()),
    );
    let changed = changed.prop_map(move |(redirection, changes, others)| {
        let redirection = redirection.map(|to| Action::Redirect(target(syscall, to)));
        let mut actions = Vec::from_iter(redirection);
        actions.extend(changes.into_iter().flatten());
        let stands_alone = |others: &Vec<Action>| matches!(others[0], Action::Allow | Action::Log);
        match others {
            Some(others) if actions.is_empty() => others,
            Some(mut others) if is_made(&others) && !stands_alone(&others) => {
                // What is written comes before the call is changed.
                let is_poke = |action: &Action| matches!(action, Action::Poke(..));
                let pokes = usize::from(others.first().is_some_and(is_poke));
                let rest = others.split_off(pokes);
                [others, actions, rest].concat()
            }
            _ if actions.is_empty() => vec![Action::Allow],
            _ => actions,
        }
    });
    prop_oneof![3 => default(), 1 => changed]
}

fn rule(names: Vec<usize>) -> impl Strategy<Value = Rule> {
    syscall(names).prop_flat_map(|syscall| {
        // More conditions might not fit into a line.
        let conditions = prop_oneof![
            2 => Just(Vec::new()),
            3 => prop::collection::vec(condition(syscall), 1..=2),
        ];
        (conditions, actions(syscall), option::weighted(0.3, when())).prop_map(
            move |(conditions, actions, when)| {
                let mut rule = Rule {
                    syscall,
                    conditions,
                    actions,
                    when,
                };
                while !rule.fits() {
                    let longer = rule.conditions.pop();
                    if longer.is_none() {
                        rule.actions.truncate(1);
                    }
                }
                rule
            },
        )
    })
}

fn defaults() -> impl Strategy<Value = Vec<Default>> {
    let one = || option::weighted(0.3, default());
    let above = || option::weighted(0.15, (0..NR_SYSCALLS, default()));
    let all = [one(), one(), one(), one()];
    let all_above = [above(), above(), above(), above()];
    let abis = || [None, Some(0), Some(1), Some(2)].into_iter();
    (all, all_above).prop_map(move |(all, all_above)| {
        let all = all.into_iter().map(|actions| Some((None, actions?)));
        let all_above = all_above.into_iter().map(|default| {
            let (above, actions) = default?;
            Some((Some(above), actions))
        });
        let all = abis().zip(all).chain(abis().zip(all_above));
        let default = |(abi, default): (_, Option<_>)| {
            let (above, actions) = default?;
            Some(Default {
                abi,
                above,
                actions,
            })
        };
        all.filter_map(default).collect()
    })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let names = prop::collection::vec(sample::select(&NAMES[..]), 1..6);
    let rules = names.prop_flat_map(|names| prop::collection::vec(rule(names), 0..30));
    (any::<bool>(), defaults(), rules).prop_map(|(first_decides, defaults, rules)| Policy {
        first_decides,
        defaults,
        rules,
    })
}

/// A call that the policy has a rule for, more often than not.
pub(super) fn call(policy: &Policy, bits: u64) -> (usize, i32, [u64; 6]) {
    let mut bits = u128::from(bits) << 64 | u128::from(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut take = |n: usize| {
        let taken = bits % n as u128;
        bits /= n as u128;
        taken as usize
    };
    let abi = take(3);
    let arguments: [u64; 6] = std::array::from_fn(|_| VALUES[take(VALUES.len())]);
    // A register of i386 has 32 bits.
    let arguments = arguments.map(|a| if abi == I386 { a & 0xffff_ffff } else { a });
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
