// SPDX-License-Identifier: GPL-2.0

//! What becomes of calls that no rule is for.

use super::{abi::Abi, action::Action};

/// Which calls a default is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) abi: Option<Abi>,
    /// Those above some number only.
    pub(super) is_above: bool,
}

/// A default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Default {
    pub(super) action: Action,
    /// For numbers above this one only, if that is its scope.
    pub(super) above: u16,
}

/// How many there may be.
pub(crate) const MAX_DEFAULTS: usize = 2 * (1 + Abi::ALL.len());

/// The calls that x32 alone has are older than those that have the next lower numbers.
const OLD_X32: core::ops::Range<i32> = 512..548;

/// The defaults of a policy, at most one for each scope.
#[derive(Clone, Copy)]
pub(super) struct Defaults([Option<Default>; MAX_DEFAULTS]);

impl Scope {
    /// Where it is among all.
    fn index(self) -> usize {
        let abi = self.abi.map_or(0, |abi| abi as usize + 1);
        abi + if self.is_above { MAX_DEFAULTS / 2 } else { 0 }
    }

    const fn of(abi: Option<Abi>, is_above: bool) -> Self {
        Self { abi, is_above }
    }
}

/// All of them, in the order of the canonical text.
const SCOPES: [Scope; MAX_DEFAULTS] = [
    Scope::of(None, false),
    Scope::of(Some(Abi::X86_64), false),
    Scope::of(Some(Abi::I386), false),
    Scope::of(Some(Abi::X32), false),
    Scope::of(None, true),
    Scope::of(Some(Abi::X86_64), true),
    Scope::of(Some(Abi::I386), true),
    Scope::of(Some(Abi::X32), true),
];

impl Defaults {
    pub(super) fn new() -> Self {
        Self([None; MAX_DEFAULTS])
    }

    pub(super) fn get_mut(&mut self, scope: Scope) -> &mut Option<Default> {
        &mut self.0[scope.index()]
    }

    /// Those that have a line each: the first one has it even if nothing says so.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Scope, Default)> + '_ {
        let allow = Default {
            action: Action::Allow,
            above: 0,
        };
        let all = SCOPES.iter().zip(&self.0);
        all.filter_map(move |(scope, default)| {
            let default = default.or((scope.index() == 0).then_some(allow));
            Some((*scope, default?))
        })
    }

    pub(super) fn nr_lines(&self) -> usize {
        self.lines().count()
    }

    /// The default of a line.
    pub(super) fn at(&self, line: usize) -> Option<(Scope, Default)> {
        self.lines().nth(line)
    }

    /// The line that decides about a number; [`None`] stands for those that are in no table.
    pub(super) fn line_for(&self, abi: Abi, number: Option<i32>) -> usize {
        let is_old = number.is_some_and(|nr| abi == Abi::X32 && OLD_X32.contains(&nr));
        let is_above = |default: Default| {
            number.is_none_or(|number| number > i32::from(default.above)) && !is_old
        };
        let mut best = 0;
        for (line, (scope, default)) in self.lines().enumerate() {
            // Later ones are for less.
            let is_for = scope.abi.is_none_or(|a| a == abi);
            if is_for && (!scope.is_above || is_above(default)) {
                best = line;
            }
        }
        best
    }

    pub(super) fn says_first(&self) -> bool {
        self.0[0].is_some()
    }
}
