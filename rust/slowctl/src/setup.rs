// SPDX-License-Identifier: GPL-2.0

//! A group under a policy, made ready before anybody joins, and taken away again if nobody can.

use crate::{
    error::{Error, Kind, Result},
    guard::{self, ForceArgs},
    module::{Group, Policy, Refusal},
    restarts,
    text::{self, Place},
};
use std::{io, path::Path};

/// What the names begin with of groups and policies that nobody has named. They go when nobody is in
/// them any more.
pub const OWN: &str = "slowctl-";

/// With what it begins with, and a number behind it, it is short enough for the kernel.
const MAX_SHORT: usize = 48;

/// Under which policy, and in which group.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SetupArgs {
    /// The policy: one that there is, or a file of rules
    #[arg(long, value_name = "FILE|NAME")]
    pub policy: Option<String>,
    /// Only log what the rules of the file say, and make every call
    #[arg(long, requires = "policy")]
    pub log: bool,
    /// The group, which is made if there is none of this name
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
}

/// A group, and what was made for it.
#[derive(Debug)]
pub struct Setup {
    pub group: Group,
    pub policy: Option<Policy>,
    pub warnings: Vec<Place>,
    made_group: bool,
    made_policy: bool,
    /// The group was there, under no policy.
    set_policy: bool,
}

/// Where the rules come from.
enum Source {
    /// There is such a policy.
    Policy(Policy),
    File {
        name: String,
        rules: Vec<u8>,
    },
}

impl Source {
    fn find(said: &str) -> Result<Self> {
        let policy = Policy(said.into());
        if policy.exists() {
            return Ok(Self::Policy(policy));
        }
        let file = Path::new(said);
        match text::read(file) {
            Ok(rules) => Ok(Self::File {
                name: said.into(),
                rules,
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::not_found(format!(
                "'{said}' is neither a policy nor a file"
            ))
            .help("see what policies there are: slowctl policy ls")),
            Err(e) => Err(Error::io(said, &e)),
        }
    }
}

impl Setup {
    /// Makes what there is not. `suggested` is what it may be called if that is not said. A group that
    /// somebody needed is in is put under a policy only if that is forced.
    pub fn new(args: &SetupArgs, suggested: &str, force: ForceArgs) -> Result<Self> {
        let source = args.policy.as_deref().map(Source::find).transpose()?;
        if let Some(Source::Policy(policy)) = &source {
            if args.log && policy.get("mode")? != "log" {
                let what = format!("the policy {0} is enforced", policy.0);
                return Err(Error::new(Kind::Busy, what).help(format!(
                    "have it log for all that are under it: slowctl mode {} log",
                    policy.0
                )));
            }
        }
        let setup = match &args.group {
            Some(name) => Self::named(name)?,
            None => Self::unnamed(suggested)?,
        };
        setup.prepared(source, args.log, force)
    }

    /// A group and a policy of these rules; `what` is what they are called.
    pub fn with_rules(what: &str, rules: &[u8], suggested: &str) -> Result<Self> {
        let source = Source::File {
            name: what.into(),
            rules: rules.into(),
        };
        Self::unnamed(suggested)?.prepared(Some(source), false, ForceArgs::default())
    }

    fn prepared(mut self, source: Option<Source>, log: bool, force: ForceArgs) -> Result<Self> {
        match self.prepare(source, log, force) {
            Ok(()) => Ok(self),
            Err(e) => match self.undo() {
                Some(more) => Err(e.help(more.message)),
                None => Err(e),
            },
        }
    }

    fn of(name: &str, made_group: bool) -> Self {
        Self {
            group: Group(name.into()),
            policy: None,
            warnings: Vec::new(),
            made_group,
            made_policy: false,
            set_policy: false,
        }
    }

    fn named(name: &str) -> Result<Self> {
        let mut setup = Self::of(name, false);
        if !setup.group.exists() {
            setup.group.create()?;
            setup.made_group = true;
        }
        Ok(setup)
    }

    /// The first one that is free of the names.
    fn unnamed(suggested: &str) -> Result<Self> {
        let suggested = short_name(suggested);
        let mut number = 1;
        loop {
            let name = match number {
                1 => format!("{OWN}{suggested}"),
                _ => format!("{OWN}{suggested}-{number}"),
            };
            number += 1;
            let setup = Self::of(&name, true);
            if Policy(name).exists() {
                continue;
            }
            match setup.group.create() {
                Err(e) if e.kind == Kind::Busy && number < 1000 => {}
                result => return result.map(|()| setup),
            }
        }
    }

    fn prepare(&mut self, source: Option<Source>, log: bool, force: ForceArgs) -> Result<()> {
        let current = self.group.policy()?;
        let wanted = match source {
            None => {
                self.policy = current;
                return Ok(());
            }
            Some(Source::Policy(policy)) if Some(&policy) == current.as_ref() => {
                self.policy = current;
                return Ok(());
            }
            Some(wanted) => wanted,
        };
        if let Some(current) = current {
            let what = format!(
                "the group {} is under the policy {} already",
                self.group.0, current.0
            );
            return Err(Error::new(Kind::Busy, what).help(format!(
                "change that: slowctl policy set {} FILE",
                current.0
            )));
        }
        if !(self.made_group || force.force) {
            guard::group(&self.group)?;
        }
        let policy = match wanted {
            Source::Policy(policy) => policy,
            Source::File { name, rules } => {
                let policy = Policy(self.group.0.clone());
                policy.create()?;
                self.made_policy = true;
                self.policy = Some(policy.clone());
                if log {
                    policy.set_mode("log")?;
                }
                self.warnings = policy
                    .set_rules(&name, &rules)
                    .map_err(|e| e.into_error(&name))?;
                policy
            }
        };
        self.group.set_policy(Some(&policy))?;
        self.set_policy = !self.made_group;
        self.policy = Some(policy);
        Ok(())
    }

    /// Whether the group was there, with whoever is in it.
    pub fn is_of_others(&self) -> bool {
        !self.made_group
    }

    /// Removes what was made, if nobody is in it, and has a group that was there be under no policy
    /// again. Says what stays nonetheless.
    pub fn undo(&self) -> Option<Error> {
        let removed = |what: &str, result: io::Result<()>| {
            let error = result.err().map(|e| Error::io(what, &e))?;
            (error.kind != Kind::NotFound).then_some(error)
        };
        let mut error = None;
        let services = restarts::covered_by(&self.group);
        if let Some(service) = services.first().filter(|_| self.made_group) {
            let what = format!("the group {} stays: {service} comes into it", self.group.0);
            return Some(Error::new(Kind::Busy, what));
        }
        if self.made_group {
            error = removed(
                &format!("the group {} stays", self.group.0),
                self.group.remove(),
            );
        } else if self.set_policy {
            error = self.group.set_policy(None).err();
        }
        if let (true, Some(policy)) = (self.made_policy, &self.policy) {
            let what = format!("the policy {} stays", policy.0);
            let of_policy = removed(&what, policy.remove());
            error = error.or(of_policy);
        }
        error
    }
}

/// A name as a part of that of a group: without what may not be in one, and not too long.
pub fn short_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:+".contains(c);
    let name = name.replace(|c: char| !is_plain(c), "_");
    let name = name.trim_start_matches('.');
    match name.get(..MAX_SHORT).unwrap_or(name) {
        "" => "unnamed".into(),
        name => name.into(),
    }
}

impl Refusal {
    pub fn into_error(self, what: &str) -> Error {
        match self {
            Self::Rules(mistakes) => Error::rules(what, mistakes),
            Self::Other(error) => error,
        }
    }
}

/// Removes a group that nobody is in any more, if nobody has named it, or if that is wanted; with
/// the policy of its name. Returns whether it is gone.
pub fn tidy(group: &Group, remove: bool) -> bool {
    let is_own = group.0.starts_with(OWN);
    // A service that is started next is put into it.
    let is_covering = || !restarts::covered_by(group).is_empty();
    if !(is_own || remove) || is_covering() || group.remove().is_err() {
        return false;
    }
    if is_own {
        let policy = Policy(group.0.clone());
        // Another group may be under it.
        let _ = policy.remove();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(short_name("nginx-7"), "nginx-7");
        assert_eq!(short_name("..a/b\u{e9}"), "a_b_");
        assert_eq!(short_name("."), "unnamed");
        assert_eq!(short_name(&"x".repeat(200)).len(), 48);
    }
}
