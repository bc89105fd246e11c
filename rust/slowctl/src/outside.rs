// SPDX-License-Identifier: GPL-2.0

//! Who is in a cgroup, and not in the group that it names.

use crate::{
    cgroup::Cgroup,
    module::{Group, NONE},
    output::plain,
    task::{self, Task},
};
use serde::Serialize;
use std::{fmt, thread};

/// Whom a cgroup's group does not have.
#[derive(Debug, Default, Serialize)]
pub struct Outside {
    tasks: Vec<Outsider>,
    /// Cgroups below that name another group, for all that comes into them.
    cgroups: Vec<Other>,
    /// How many tasks a security module has kept out.
    kept_out: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Outsider {
    tid: i32,
    name: String,
    /// None is in none.
    group: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Other {
    cgroup: String,
    group: String,
}

impl Outsider {
    /// A task, if it is in a cgroup, and in another group than that.
    fn find(tid: i32, cgroup: &Cgroup, group: &Group) -> Option<Self> {
        let task = Task::new(tid)?;
        let other = task.group?;
        // Looked at later: then it had not begun to exit, or left the cgroup, before.
        let is_in = other == group.0 || task::makes_no_calls(tid);
        (!is_in && cgroup.contains(tid)).then(|| Self {
            tid,
            name: task.name,
            group: (other != NONE).then_some(other),
        })
    }
}

impl Outside {
    /// Of a cgroup that names a group, and had counted so many that were kept out before.
    pub fn of(cgroup: &Cgroup, group: &Group, kept_out_before: Option<u64>) -> Self {
        let mut outside = Self::default();
        for below in cgroup.with_those_below() {
            if below != *cgroup {
                let other = below
                    .group()
                    .ok()
                    .flatten()
                    .filter(|other| *other != group.0);
                outside.cgroups.extend(other.map(|other| Other {
                    cgroup: below.name.clone(),
                    group: other,
                }));
            }
            let outsiders = below.tasks().into_iter();
            let outsiders = outsiders.filter_map(|tid| Outsider::find(tid, cgroup, group));
            outside.tasks.extend(outsiders);
        }
        // A task that is being made is listed a moment before it is in the group.
        for _ in 0..task::LOOKS {
            if outside
                .tasks
                .iter()
                .all(|outsider| outsider.group.is_some())
            {
                break;
            }
            thread::sleep(task::LOOK);
            let tids: Vec<i32> = outside.tasks.iter().map(|outsider| outsider.tid).collect();
            let tasks = tids.into_iter();
            let tasks = tasks.filter_map(|tid| Outsider::find(tid, cgroup, group));
            outside.tasks = tasks.collect();
        }
        let kept_out = cgroup.kept_out().zip(kept_out_before);
        outside.kept_out = kept_out.map_or(0, |(now, before)| now.saturating_sub(before));
        outside
    }

    /// Without those that are in these groups.
    pub fn besides(mut self, groups: &[Group]) -> Self {
        let is_in = |name: &str| groups.iter().any(|group| group.0 == name);
        let is_out = |other: &Outsider| !other.group.as_deref().is_some_and(is_in);
        self.tasks.retain(is_out);
        self.cgroups.retain(|other| !is_in(&other.group));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.cgroups.is_empty() && self.kept_out == 0
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;

        for Outsider { tid, name, group } in self.tasks.iter().take(SHOWN) {
            let name = plain(name);
            match group {
                Some(group) => writeln!(
                    f,
                    "    not thread {tid} ({name}): it is in the group {group}"
                )?,
                None => writeln!(f, "    not thread {tid} ({name}): it is kept out")?,
            }
        }
        if let Some(more @ 1..) = self.tasks.len().checked_sub(SHOWN) {
            writeln!(f, "    and not {more} more threads")?;
        }
        for Other { cgroup, group } in &self.cgroups {
            let cgroup = plain(cgroup);
            writeln!(f, "    not the cgroup {cgroup}: it is in the group {group}")?;
        }
        if self.kept_out > 0 {
            let number = self.kept_out;
            writeln!(
                f,
                "    a security module has kept out {number} tasks: dmesg | grep slowpath"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_outside_are_named() {
        let outsider = |tid, group: Option<&str>| Outsider {
            tid,
            name: "a\x1b".into(),
            group: group.map(String::from),
        };
        let mut outside = Outside::default();
        assert!(outside.is_empty() && outside.to_string().is_empty());
        outside.tasks = vec![outsider(7, Some("g")), outsider(8, None)];
        outside.cgroups.push(Other {
            cgroup: "/a/b".into(),
            group: "h".into(),
        });
        outside.kept_out = 1;
        assert!(!outside.is_empty());
        let said = outside.to_string();
        assert_eq!(
            said.lines().next(),
            Some("    not thread 7 (a\\u{1b}): it is in the group g")
        );
        assert!(said.contains("not thread 8 (a\\u{1b}): it is kept out"));
        assert!(said.contains("not the cgroup /a/b: it is in the group h"));
        assert!(said.contains("has kept out 1 tasks"));
        let outside_of_all =
            |outside: Outside| outside.besides(&[Group("g".into()), Group("h".into())]);
        let mut outside = outside_of_all(outside);
        assert!(outside.cgroups.is_empty() && outside.tasks.len() == 1);
        outside.tasks = (0..9).map(|tid| outsider(tid, None)).collect();
        assert!(outside.to_string().contains("and not 1 more threads"));
    }
}
