// SPDX-License-Identifier: GPL-2.0

//! Policies: directories in configfs, made and written by the administrator.

use crate::{
    rules::{Judgement, ParseError, RuleSet, Verdict as Rule},
    stats::{Event, Stats},
    sysfs::{require_admin, value}, //
};
use kernel::{
    configfs::{self, configfs_attrs, PinnedGroup, Subsystem},
    fmt::{self, Write},
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        CString,
        Formatter, //
    },
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex, //
    },
    syscall_slowpath::{
        log_ratelimit,
        Arch,
        Counters,
        Entry,
        Published,
        Unpublished,
        Verdict, //
    },
};

/// The longest text that `rules` takes. configfs hands on one byte less than a page of a longer
/// write, as if that were all.
const MAX_TEXT: usize = PAGE_SIZE - 2;

/// What a line of `hits` adds to the rule: as many digits as a counter can have, and a space.
const HITS_WIDTH: usize = 21;

/// A version of a policy's rules, replaced as a whole.
struct Rules {
    set: RuleSet,
    hits: Counters,
}

impl Rules {
    fn parse(policy: &CStr, text: &[u8]) -> Result<Arc<Self>> {
        if text.len() > MAX_TEXT {
            return Err(E2BIG);
        }
        let set = RuleSet::parse(text).map_err(|e| match e {
            ParseError::NoMemory => ENOMEM,
            ParseError::Syntax {
                line,
                column,
                reason,
            } => {
                if log_ratelimit() {
                    pr_info!("policy {policy}: line {line}, column {column}: {reason}\n");
                }
                EINVAL
            }
        })?;

        // Whatever is accepted can be read back, with the hits of each line.
        let mut length = Length(0);
        write!(length, "{set}")?;
        if length.0 + set.nr_lines() * HITS_WIDTH > PAGE_SIZE {
            return Err(E2BIG);
        }

        let hits = Counters::new(set.nr_lines())?;
        Ok(Arc::new(Self { set, hits }, GFP_KERNEL)?)
    }
}

/// Counts what is written to it.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}

/// A policy, as attachments use it.
#[pin_data]
pub(crate) struct Policy {
    name: CString,
    enforce: Atomic<bool>,
    /// What hooks read.
    #[pin]
    published: Published<Arc<Rules>>,
    /// The same, for everybody else.
    #[pin]
    rules: Mutex<Arc<Rules>>,
}

impl Policy {
    fn new(name: &CStr) -> Result<Arc<Self>> {
        let rules = Rules::parse(name, b"")?;
        let published = Unpublished::new(rules.clone())?;
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                enforce: Atomic::new(true),
                published <- Published::new(published),
                rules <- new_mutex!(rules),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    fn replace(&self, rules: Arc<Rules>) -> Result {
        let published = Unpublished::new(rules.clone())?;
        let mut current = self.rules.lock();
        *current = rules;
        self.published.replace(published);
        Ok(())
    }

    /// Judges a call, and counts the verdict.
    // Not inlined, so that calls under no policy do not pay for its registers.
    #[inline(never)]
    pub(crate) fn judge(&self, call: &Entry<'_>, stats: &Stats) -> Verdict {
        let rules = self.published.get(call);
        let Judgement { verdict, line } = match call.arch_and_number() {
            (Arch::X86_64, nr) => rules.set.judge(nr),
            (Arch::I386 | Arch::X32, _) => rules.set.judge_by_default(),
        };
        if let Some(line) = line {
            rules.hits.count(line);
        }
        stats.count(Event::from(verdict));

        if matches!(verdict, Rule::Allow) {
            return Verdict::Call;
        }
        let enforce = self.enforce.load(Relaxed);
        if !enforce || matches!(verdict, Rule::Log) {
            self.log(call, verdict);
        }
        match verdict {
            _ if !enforce => Verdict::Call,
            Rule::Allow | Rule::Log => Verdict::Call,
            // CAST: The kernel's word has 64 bits.
            Rule::Return(value) => Verdict::Return(value as isize),
            Rule::Errno(errno) => Verdict::Errno(Error::from_errno(-i32::from(errno))),
        }
    }

    #[cold]
    fn log(&self, call: &Entry<'_>, verdict: Rule) {
        if log_ratelimit() {
            let arch = match call.arch() {
                Arch::X86_64 => "x86_64",
                Arch::I386 => "i386",
                Arch::X32 => "x32",
            };
            pr_info!(
                "policy {}: task {} makes {arch} syscall {}: {}\n",
                self.name(),
                current!().pid(),
                call.number(),
                verdict.name()
            );
        }
    }
}

/// The configfs directory in which policies are made.
pub(crate) struct Policies;

/// A policy's directory.
pub(crate) struct PolicyDir(Arc<Policy>);

/// A policy that cannot be removed, because it is used.
pub(crate) struct Pinned(PinnedGroup<Policies, PolicyDir>);

impl Pinned {
    /// Finds the policy `name`; `ENOENT` if there is none.
    pub(crate) fn find(policies: Arc<Subsystem<Policies>>, name: &CStr) -> Result<Self> {
        Ok(Self(policies.pin_group(name)?))
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.0 .0.clone()
    }

    pub(crate) fn name(&self) -> &CStr {
        self.0 .0.name()
    }
}

/// Registers `/sys/kernel/config/slowpath`.
pub(crate) fn subsystem() -> Result<Arc<Subsystem<Policies>>> {
    let item_type = configfs_attrs! {
        container: Subsystem<Policies>,
        data: Policies,
        child: PolicyDir,
        attributes: [],
    };
    Arc::pin_init(
        Subsystem::new(c"slowpath", item_type, Ok::<_, Error>(Policies)),
        GFP_KERNEL,
    )
}

#[vtable]
impl configfs::GroupOperations for Policies {
    type Child = PolicyDir;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<configfs::Group<PolicyDir>, Error>> {
        require_admin()?;
        // The name is written to files, as a word.
        if name == c"none" || !name.to_bytes().iter().all(u8::is_ascii_graphic) {
            return Err(EINVAL);
        }
        let item_type = configfs_attrs! {
            container: configfs::Group<PolicyDir>,
            data: PolicyDir,
            attributes: [
                rules: 0,
                mode: 1,
                hits: 2,
            ],
        };
        let policy = Policy::new(name)?;
        Ok(configfs::Group::new(
            name.try_into()?,
            item_type,
            Ok::<_, Error>(PolicyDir(policy)),
        ))
    }
}

#[vtable]
impl configfs::AttributeOperations<0> for PolicyDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        let rules = dir.0.rules.lock().clone();
        let mut out = Formatter::new(page);
        write!(out, "{}", rules.set)?;
        Ok(out.bytes_written())
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        dir.0.replace(Rules::parse(dir.0.name(), text)?)
    }
}

#[vtable]
impl configfs::AttributeOperations<1> for PolicyDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        let mut out = Formatter::new(page);
        let enforce = dir.0.enforce.load(Relaxed);
        out.write_str(if enforce { "enforce\n" } else { "log\n" })?;
        Ok(out.bytes_written())
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        let enforce = match value(text) {
            b"enforce" => true,
            b"log" => false,
            _ => return Err(EINVAL),
        };
        dir.0.enforce.store(enforce, Relaxed);
        Ok(())
    }
}

#[vtable]
impl configfs::AttributeOperations<2> for PolicyDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        let rules = dir.0.rules.lock().clone();
        let mut out = Formatter::new(page);
        for line in 0..rules.set.nr_lines() {
            write!(out, "{} ", rules.hits.sum(line))?;
            rules.set.fmt_line(line, &mut out)?;
            out.write_str("\n")?;
        }
        Ok(out.bytes_written())
    }
}
