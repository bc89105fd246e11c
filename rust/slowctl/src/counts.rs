// SPDX-License-Identifier: GPL-2.0

//! What groups count of calls while a command looks: how often, and how long.

use crate::{
    error::{Error, Kind, Result, Trying},
    module::{self, Group},
    rules::{syscall_number_of, Abi},
};
use rustix::{
    fs::{flock, FlockOperation},
    io::Errno,
};
use serde::Serialize;
use std::{collections::BTreeMap, fs};

/// A call, as the files have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CallName {
    pub arch: String,
    /// The name, or a number without a name, or `others` for all numbers that rules cannot have.
    pub call: String,
}

/// What stands for all numbers that rules cannot have.
pub const OTHERS: &str = "others";

impl CallName {
    fn new(arch: &str, call: &str) -> Self {
        Self {
            arch: arch.into(),
            call: call.into(),
        }
    }

    pub fn abi(&self) -> Option<Abi> {
        Abi::ALL.into_iter().find(|abi| abi.name() == self.arch)
    }

    pub fn number(&self) -> Option<u16> {
        let number = syscall_number_of(&self.call, self.abi()?);
        number.or_else(|| self.call.parse().ok())
    }

    /// By architecture, as the kernel has them, and by number.
    pub fn order(&self) -> (usize, u16) {
        let abis = Abi::ALL.into_iter();
        let abi = abis
            .map(|abi| abi.name())
            .position(|name| name == self.arch);
        (abi.unwrap_or(usize::MAX), self.number().unwrap_or(u16::MAX))
    }
}

/// How often a call was entered, and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub calls: u64,
    pub errors: u64,
}

/// For each power of two of nanoseconds, how many calls took so long or up to twice that.
pub type Buckets = BTreeMap<u64, u64>;

fn junk(file: &str, line: &str) -> Error {
    Error::new(Kind::Failed, format!("{file} has a line '{line}'"))
        .help("is the module newer than this command?")
}

/// The lines of a file `calls`.
pub fn parse_calls(text: &str) -> Result<BTreeMap<CallName, Count>> {
    let parse = |line: &str| {
        let [arch, call, calls, errors] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let count = Count {
            calls: calls.parse().ok()?,
            errors: errors.parse().ok()?,
        };
        Some((CallName::new(arch, call), count))
    };
    let lines = text.lines();
    lines
        .map(|line| parse(line).ok_or_else(|| junk("calls", line)))
        .collect()
}

/// The lines of a file `latency`, and how many calls were missed.
pub fn parse_latency(text: &str) -> Result<(BTreeMap<CallName, Buckets>, u64)> {
    let mut all = BTreeMap::new();
    let mut missed = 0;
    for line in text.lines() {
        let parsed = (|| {
            let mut words = line.split(' ');
            let (arch, call) = (words.next()?, words.next()?);
            if arch == "missed" {
                missed = call.parse().ok()?;
                return Some(());
            }
            let buckets = words.map(|word| {
                let (time, count) = word.split_once(':')?;
                Some((time.parse().ok()?, count.parse().ok()?))
            });
            let buckets = buckets.collect::<Option<Buckets>>()?;
            all.insert(CallName::new(arch, call), buckets);
            Some(())
        })();
        parsed.ok_or_else(|| junk("latency", line))?;
    }
    Ok((all, missed))
}

/// All that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub calls: BTreeMap<CallName, Count>,
    pub latency: BTreeMap<CallName, Buckets>,
    pub missed: u64,
}

impl Counts {
    /// Whether there were some: not, if nothing is counted.
    fn read(&mut self, group: &Group, file: &str) -> Result<bool> {
        let text = group.get(file)?;
        if text == OFF {
            return Ok(false);
        }
        match file {
            LATENCY => (self.latency, self.missed) = parse_latency(&text)?,
            _ => self.calls = parse_calls(&text)?,
        }
        Ok(true)
    }

    /// Whether these may be later ones: they only grow, unless they begin anew.
    fn may_follow(&self, before: &Self) -> bool {
        let calls = before.calls.iter().all(|(call, old)| {
            let now = self.calls.get(call).copied().unwrap_or_default();
            now.calls >= old.calls && now.errors >= old.errors
        });
        let latency = before.latency.iter().all(|(call, old)| {
            let now = self.latency.get(call);
            let count = |time| now.and_then(|now| now.get(time)).unwrap_or(&0);
            old.iter().all(|(time, old)| count(time) >= old)
        });
        calls && latency && self.missed >= before.missed
    }

    fn add(&mut self, other: Self) {
        for (call, count) in other.calls {
            let sum = self.calls.entry(call).or_default();
            sum.calls += count.calls;
            sum.errors += count.errors;
        }
        for (call, buckets) in other.latency {
            let sums = self.latency.entry(call).or_default();
            for (time, count) in buckets {
                *sums.entry(time).or_default() += count;
            }
        }
        self.missed += other.missed;
    }

    /// What has come since then.
    pub fn since(mut self, before: &Self) -> Self {
        for (call, count) in &mut self.calls {
            if let Some(old) = before.calls.get(call) {
                count.calls = count.calls.saturating_sub(old.calls);
                count.errors = count.errors.saturating_sub(old.errors);
            }
        }
        self.calls.retain(|_, count| *count != Count::default());
        for (call, buckets) in &mut self.latency {
            for (time, count) in buckets.iter_mut() {
                let old = before.latency.get(call).and_then(|old| old.get(time));
                *count = count.saturating_sub(*old.unwrap_or(&0));
            }
            buckets.retain(|_, count| *count != 0);
        }
        self.latency.retain(|_, buckets| !buckets.is_empty());
        self.missed = self.missed.saturating_sub(before.missed);
        self
    }
}

const CALLS: &str = "calls";
const LATENCY: &str = "latency";
const OFF: &str = "off";

/// A group that counts.
struct Counted {
    group: Group,
    /// Held as long as the counts are wanted: who has switched them on does not switch them off then.
    lock: fs::File,
    /// What it had counted before, for somebody else.
    before: Counts,
    /// The files that are to say "off" again.
    switched: Vec<&'static str>,
}

/// Groups that count for a command.
pub struct Counting {
    groups: Vec<Counted>,
    files: &'static [&'static str],
}

impl Counting {
    /// Has groups count. If one cannot, none does.
    pub fn start(groups: &[Group], with_latency: bool) -> Result<Self> {
        let files: &[_] = match with_latency {
            true => &[CALLS, LATENCY],
            false => &[CALLS],
        };
        let mut counting = Self {
            groups: Vec::new(),
            files,
        };
        for group in groups {
            if let Err(e) = counting.add(group) {
                counting.stop();
                return Err(e);
            }
        }
        Ok(counting)
    }

    fn add(&mut self, group: &Group) -> Result<()> {
        let what = || format!("the counts of the group {}", group.0);
        let lock = fs::File::open(group.path(CALLS)).trying(what())?;
        flock_shared(&lock).trying(what())?;
        let mut counted = Counted {
            group: group.clone(),
            lock,
            before: Counts::default(),
            switched: Vec::new(),
        };
        let result = self.files.iter().try_for_each(|file| {
            if !counted.before.read(group, file)? {
                // It counts from 0.
                switch(group, file, true)?;
                counted.switched.push(file);
            }
            Ok(())
        });
        self.groups.push(counted);
        result
    }

    /// What was counted since the start; and of which groups that is not known any more, and why.
    pub fn read(&self) -> Result<(Counts, Vec<String>)> {
        let mut sum = Counts::default();
        let mut lost = Vec::new();
        for counted in &self.groups {
            match counted.read(self.files) {
                Ok(Some(counts)) => sum.add(counts),
                Ok(None) => lost.push(format!(
                    "the group {} has begun to count anew, or counts no more: somebody has written to {}",
                    counted.group.0,
                    counted.group.path(CALLS).display(),
                )),
                Err(e) if e.kind == Kind::NotFound => lost.push(format!(
                    "the group {} was removed, with what it had counted",
                    counted.group.0
                )),
                Err(e) => return Err(e),
            }
        }
        Ok((sum, lost))
    }

    /// Has those count no more that did not before, unless somebody else wants to know by now.
    /// Says which go on.
    pub fn stop(self) -> Vec<String> {
        let mut notes = Vec::new();
        for counted in self.groups {
            if counted.switched.is_empty() {
                continue;
            }
            if flock(&counted.lock, FlockOperation::NonBlockingLockExclusive)
                == Err(Errno::WOULDBLOCK)
            {
                let path = counted.group.path("");
                notes.push(format!(
                    "another slowctl reads what the group {} counts, which goes on: \
                     (cd {} && echo 0 | tee {}) ends it",
                    counted.group.0,
                    path.display(),
                    counted.switched.join(" ")
                ));
                continue;
            }
            for file in counted.switched {
                // It may have been removed.
                let _ = switch(&counted.group, file, false);
            }
        }
        notes
    }
}

impl Counted {
    /// What has come since the start, if that is known.
    fn read(&self, files: &[&str]) -> Result<Option<Counts>> {
        let mut now = Counts::default();
        for file in files {
            if !now.read(&self.group, file)? {
                return Ok(None);
            }
        }
        Ok(now
            .may_follow(&self.before)
            .then(|| now.since(&self.before)))
    }
}

fn flock_shared(file: &fs::File) -> rustix::io::Result<()> {
    loop {
        match flock(file, FlockOperation::LockShared) {
            Err(Errno::INTR) => continue,
            locked => return locked,
        }
    }
}

fn switch(group: &Group, file: &str, on: bool) -> Result<()> {
    let value = if on { "1" } else { "0" };
    module::write(group.path(file), value).trying(format!("{file} of the group {}", group.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let calls = parse_calls("x86_64 openat 4711 12\ni386 400 1 0\nx32 others 0 1").unwrap();
        assert_eq!(calls.len(), 3);
        let openat = CallName::new("x86_64", "openat");
        let count = Count {
            calls: 4711,
            errors: 12,
        };
        assert_eq!(calls[&openat], count);
        assert_eq!(openat.number(), Some(257));
        assert_eq!(CallName::new("i386", "400").number(), Some(400));
        assert_eq!(CallName::new("i386", OTHERS).number(), None);
        let (latency, missed) = parse_latency("x86_64 openat 1024:5 2048:17\nmissed 3").unwrap();
        assert_eq!(latency[&openat], Buckets::from([(1024, 5), (2048, 17)]));
        assert_eq!(missed, 3);
    }

    #[test]
    fn junk_is_refused() {
        for junk in ["x86_64 openat 1", "x86_64 openat 1 2 3", "a b c d"] {
            assert!(parse_calls(junk).is_err(), "{junk}");
        }
        for junk in ["x86_64 openat 1", "x86_64", "missed x", "x86_64 openat a:1"] {
            assert!(parse_latency(junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn what_was_there_is_not_counted() {
        let of = |text| Counts {
            calls: parse_calls(text).unwrap(),
            ..Counts::default()
        };
        let before = of("x86_64 read 10 1\nx86_64 write 3 0");
        let now = of("x86_64 read 12 1\nx86_64 write 3 0\nx86_64 close 1 1");
        let since = now.since(&before);
        assert_eq!(since, of("x86_64 read 2 0\nx86_64 close 1 1"));
        assert!(of("x86_64 read 10 1\nx86_64 write 3 0").may_follow(&before));
        // Begun anew.
        assert!(!of("x86_64 read 10 1\nx86_64 write 2 0").may_follow(&before));
        assert!(!of("x86_64 read 10 1").may_follow(&before));
    }
}
