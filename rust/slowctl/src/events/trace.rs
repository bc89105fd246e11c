// SPDX-License-Identifier: GPL-2.0

//! An instance of the trace system of a command's own, with the verdicts of some groups.

use crate::{
    cgroup,
    error::{Error, Kind, Result, Trying},
    module,
};
use std::{
    fs,
    io::{self, Read},
    os::{fd::AsFd, fd::BorrowedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What is removed when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// An instance, which records until it is dropped.
pub struct Trace {
    // Closed before the folder is removed.
    pipe: fs::File,
    folder: Folder,
    /// What was read of a line that has no end yet.
    rest: Vec<u8>,
}

/// Where tracefs is mounted.
fn mount() -> Result<PathBuf> {
    cgroup::mount_of("tracefs")?.ok_or_else(|| {
        Error::new(Kind::NotLoaded, "tracefs is not mounted")
            .help("mount it: mount -t tracefs none /sys/kernel/tracing")
    })
}

/// A condition of the kernel's filters that an event is of one of these groups; none if there is a
/// name that cannot be said.
fn filter(groups: &[String]) -> Option<String> {
    let conditions = groups.iter().map(|group| {
        let quote = ['"', '\'']
            .into_iter()
            .find(|quote| !group.contains(*quote))?;
        // These stand for more than themselves.
        let is_plain = !group.contains(['*', '?', '[', '\\']);
        is_plain.then(|| format!("group == {quote}{group}{quote}"))
    });
    let conditions = conditions.collect::<Option<Vec<_>>>()?;
    (!conditions.is_empty()).then(|| conditions.join(" || "))
}

impl Trace {
    /// Records what becomes of calls of these groups, or of all; of these threads and what they make,
    /// if there are any.
    pub fn start(groups: &[String], tids: &dyn Fn() -> Vec<i32>) -> Result<Self> {
        let mount = mount()?;
        let event = "events/syscall_slowpath/syscall_slowpath_verdict";
        if !mount.join(event).exists() {
            let what = "this kernel has no event syscall_slowpath_verdict";
            return Err(Error::new(Kind::NotLoaded, what)
                .help("it is built without CONFIG_EVENT_TRACING, or without slowpath"));
        }
        let folder = mount.join(format!("instances/slowctl-{}", std::process::id()));
        // One that had this number before may have been killed.
        let _ = fs::remove_dir(&folder);
        fs::create_dir(&folder).trying("an instance of the trace system")?;
        let folder = Folder(folder);
        let set = |file: &str, value: &str| {
            module::write(folder.0.join(file), value).trying(format!("{file} of the trace system"))
        };
        // A reader is woken by the first event.
        set("buffer_percent", "0")?;
        if let Some(filter) = filter(groups) {
            set(&format!("{event}/filter"), &filter)?;
        }
        let mut known = tids();
        if !known.is_empty() {
            set("options/event-fork", "1")?;
            follow(&folder.0, &known)?;
            // Those that were made meanwhile.
            for _ in 0..10 {
                let new: Vec<i32> = tids()
                    .into_iter()
                    .filter(|tid| !known.contains(tid))
                    .collect();
                if new.is_empty() {
                    break;
                }
                follow(&folder.0, &new)?;
                known.extend(new);
            }
        }
        let pipe = fs::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(folder.0.join("trace_pipe"))
            .trying("the trace system's pipe")?;
        set(&format!("{event}/enable"), "1")?;
        Ok(Self {
            pipe,
            folder,
            rest: Vec::new(),
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// The lines that there are by now.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut buffer = [0; 1 << 16];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.rest.extend(&buffer[..read]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("the trace system's pipe", &e)),
            }
            if self.rest.len() > 1 << 20 {
                break;
            }
        }
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let text: Vec<u8> = self.rest.drain(..=end).collect();
            let text = String::from_utf8_lossy(&text);
            lines.extend(text.lines().map(String::from));
        }
        Ok(lines)
    }

    /// Records no more; what was recorded can be read.
    pub fn stop(&self) -> Result<()> {
        module::write(self.folder.0.join("tracing_on"), "0").trying("the trace system")
    }

    /// How many events were lost because nobody read them in time.
    pub fn lost(&self) -> u64 {
        let Ok(cpus) = fs::read_dir(self.folder.0.join("per_cpu")) else {
            return 0;
        };
        let stats = cpus.flatten().map(|cpu| lost_of(&cpu.path()));
        stats.sum()
    }
}

fn lost_of(cpu: &Path) -> u64 {
    let stats = fs::read_to_string(cpu.join("stats")).unwrap_or_default();
    let lines = stats.lines().filter_map(|line| line.split_once(": "));
    let lost =
        lines.filter(|(name, _)| ["overrun", "commit overrun", "dropped events"].contains(name));
    lost.filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum()
}

/// Adds threads, and what they make, to those whose events are recorded.
fn follow(folder: &Path, tids: &[i32]) -> Result<()> {
    for some in tids.chunks(64) {
        let words: Vec<String> = some.iter().map(i32::to_string).collect();
        let file = fs::OpenOptions::new()
            .append(true)
            .open(folder.join("set_event_pid"));
        let written =
            file.and_then(|mut file| io::Write::write_all(&mut file, words.join(" ").as_bytes()));
        written.trying("the threads whose events are recorded")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_filtered_where_they_can_be_named() {
        let of = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| group.to_string()).collect();
            filter(&groups)
        };
        assert_eq!(of(&["a", "b"]).unwrap(), "group == \"a\" || group == \"b\"");
        assert_eq!(of(&["a\"b"]).unwrap(), "group == 'a\"b'");
        assert_eq!(of(&["a\"b'"]), None);
        assert_eq!(of(&["a*"]), None);
        assert_eq!(of(&[]), None);
    }
}
