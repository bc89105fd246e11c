// SPDX-License-Identifier: GPL-2.0

//! The actions of a line, which are done together.

use super::action::{Action, Change, Kind};
use core::slice;

/// How often the arguments of a call may be changed: each by setting some bits, and clearing some.
const MAX_CHANGES: usize = 12;

/// Actions that go together, in the order of the canonical text: that of what happens to the call.
pub(super) struct Actions {
    /// What allows or logs a call stands alone.
    alone: Option<Action>,
    pokes: [Option<Action>; 6],
    redirection: Option<Action>,
    changes: [Option<Action>; MAX_CHANGES],
    delay: Option<Action>,
    signal: Option<Action>,
    result: Option<Action>,
    after_pokes: [Option<Action>; 6],
    after_delay: Option<Action>,
    audit: Option<Action>,
}

impl Actions {
    pub(super) fn new() -> Self {
        Self {
            alone: None,
            pokes: [None; 6],
            redirection: None,
            changes: [None; MAX_CHANGES],
            delay: None,
            signal: None,
            result: None,
            after_pokes: [None; 6],
            after_delay: None,
            audit: None,
        }
    }

    /// All of them. What leaves an audit record by itself is not told to.
    pub(super) fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        let audited = self
            .to_be_audited()
            .any(|action| action.kind().is_audited());
        let audit = self.audit.filter(|_| !audited);
        // What is made and audited is made.
        let others = self.to_be_audited();
        let others = others.filter(move |action| audit.is_none() || *action != Action::Allow);
        others.chain(audit)
    }

    fn to_be_audited(&self) -> impl Iterator<Item = Action> + '_ {
        let all: [&[Option<Action>]; 9] = [
            slice::from_ref(&self.alone),
            &self.pokes,
            slice::from_ref(&self.redirection),
            &self.changes,
            slice::from_ref(&self.delay),
            slice::from_ref(&self.signal),
            slice::from_ref(&self.result),
            &self.after_pokes,
            slice::from_ref(&self.after_delay),
        ];
        all.into_iter().flatten().copied().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Adds one, or says why it cannot be done together with those that are there.
    pub(super) fn add(&mut self, action: Action) -> Result<(), &'static str> {
        let kind = action.kind();
        if kind == Kind::Audit {
            let again = self.audit.replace(action);
            return again.map_or(Ok(()), |_| Err("there is an 'audit' already"));
        }
        let is_empty = self.to_be_audited().next().is_none();
        if self.alone.is_some() || matches!(kind, Kind::Allow | Kind::Log) && !is_empty {
            return Err("'allow' and 'log' stand alone");
        }
        if kind.is_result() && self.result.is_some() {
            return Err("there is a result already");
        }
        let result = if kind.is_result() {
            Some(action)
        } else {
            self.result
        };
        let result = result.map(Action::kind);
        let has = |kinds: &[Kind]| {
            kinds.contains(&kind) || self.iter().any(|other| kinds.contains(&other.kind()))
        };
        if result.is_some_and(Kind::is_refusal) && has(&[Kind::Set, Kind::Redirect]) {
            return Err("a call that is not made cannot be changed");
        }
        if result >= Some(Kind::Trap) && has(&[Kind::AfterDelay, Kind::AfterPoke]) {
            return Err("there is nothing after 'trap' and after what kills");
        }
        if result >= Some(Kind::KillThread) && has(&[Kind::Signal]) {
            return Err("there is no signal for what is killed");
        }
        let (place, taken) = match kind {
            Kind::Allow | Kind::Log => (&mut self.alone, ""),
            Kind::Redirect => (&mut self.redirection, "there is a redirection already"),
            Kind::Delay => (&mut self.delay, "there is a delay already"),
            Kind::AfterDelay => (&mut self.after_delay, "there is a delay already"),
            Kind::Signal => (&mut self.signal, "there is a signal already"),
            Kind::Set => return self.add_change(action),
            Kind::Poke => return add_poke(&mut self.pokes, action),
            Kind::AfterPoke => return add_poke(&mut self.after_pokes, action),
            _ => (&mut self.result, "there is a result already"),
        };
        match place {
            Some(_) => Err(taken),
            None => {
                *place = Some(action);
                Ok(())
            }
        }
    }

    /// An argument may be set, or some of its bits may be, and some cleared.
    fn add_change(&mut self, action: Action) -> Result<(), &'static str> {
        let contradicts = |other: &Action| match (*other, action) {
            (
                Action::Set {
                    argument, change, ..
                },
                Action::Set {
                    argument: a,
                    change: c,
                    ..
                },
            ) => argument == a && (c == change || [c, change].contains(&Change::Assign)),
            _ => false,
        };
        let taken = "the argument is set already";
        if self.changes.iter().flatten().any(contradicts) {
            return Err(taken);
        }
        let place = self.changes.iter_mut().find(|change| change.is_none());
        *place.ok_or(taken)? = Some(action);
        Ok(())
    }

    /// Whether all that is said is that the call is made.
    pub(super) fn allows(&self) -> bool {
        self.alone == Some(Action::Allow) && self.audit.is_none()
    }
}

/// What an argument points to is overwritten once.
fn add_poke(pokes: &mut [Option<Action>; 6], action: Action) -> Result<(), &'static str> {
    let (Action::Poke(poke) | Action::AfterPoke(poke)) = action else {
        return Ok(());
    };
    match pokes.get_mut(usize::from(poke.argument)) {
        Some(place @ None) => {
            *place = Some(action);
            Ok(())
        }
        _ => Err("there is such a poke already"),
    }
}
