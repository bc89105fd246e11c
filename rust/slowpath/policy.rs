// SPDX-License-Identifier: GPL-2.0

//! Policies: the rules in force, how often each has decided, and whether what they say is done.

mod lines;

use crate::rules::{self, Abi, Action, ParseError, Remark, Report, RuleSet};
use kernel::{
    fmt::{self, Write},
    new_mutex,
    percpu::Counters,
    prelude::*,
    random::random_u64,
    ratelimit::RateLimit,
    str::{CString, Formatter},
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex, //
    },
    syscall_slowpath::{
        Arch,
        AuditCode,
        Entry,
        Flag,
        HookContext,
        PassTable,
        Passing,
        Plan,
        Published,
        PublishedGuard,
        Unpublished,
        Verdict, //
    },
    time::Delta, //
};
use lines::Lines;

/// One of a limited number of things.
pub(crate) struct Place(&'static Atomic<u32>);

impl Place {
    /// Takes one of `max` places, counted by `taken`; `E2BIG`.
    pub(crate) fn take(taken: &'static Atomic<u32>, max: u32) -> Result<Self> {
        // Given back if it is too many.
        let place = Self(taken);
        if taken.fetch_add(1, Relaxed) < max {
            Ok(place)
        } else {
            Err(E2BIG)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Rules as they are in force, replaced as a whole.
pub(crate) struct Rules {
    pub(crate) set: RuleSet,
    pub(crate) hits: Arc<Counters>,
    passes: Arc<PassTable>,
    lines: Lines,
    /// Higher than that of the rules that these have replaced.
    version: u64,
}

impl Rules {
    fn new(set: RuleSet) -> Result<KBox<Unpublished<Self>>> {
        let hits = Arc::new(Counters::new(set.nr_lines())?, GFP_KERNEL)?;
        let lines = Lines::new(&set)?;
        // All that pass return, and are counted so: the fast path does not make `exit`.
        let passes = PassTable::new(|number| set.allows_by_number(Abi::X86_64, number))?;
        Unpublished::new(Self {
            set,
            hits,
            passes: Arc::new(passes, GFP_KERNEL)?,
            lines,
            version: 0,
        })
    }

    /// Takes over the hits of lines that are the same.
    fn take_hits(&self, old: &Self) {
        for (line, same) in self.lines.same_in(&old.lines) {
            self.hits.add(line, old.hits.sum(same));
        }
    }

    /// What has the calls pass that are allowed by their number, each counted by its line, and all
    /// by the counter `which` of `made`.
    fn passing(&self, made: Arc<Counters>, which: usize) -> Result<Passing> {
        Passing::new(self.passes.clone(), self.hits.clone(), made, which)
    }

    /// Which rules of their policy these are: a later one has a higher number.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

/// Who is under a policy.
pub(crate) trait User: Send + Sync {
    /// Ends delays that the policy does not ask for any more. May sleep.
    fn end_delays(&self);

    /// Has hooks asked about each call. May sleep.
    fn stop_passing(&self);

    /// Has calls pass as the rules say that are in force now. May sleep.
    fn update_passing(&self);
}

struct Users {
    /// They keep the policy, and the policy them: each has to take itself off.
    list: KVec<Arc<dyn User>>,
    /// There will be none any more.
    closed: bool,
}

/// A policy.
#[pin_data]
pub(crate) struct Policy {
    name: CString,
    #[pin]
    rules: Published<Rules>,
    enforce: Flag,
    /// The rules are being replaced: nothing passes by those that there are.
    replacing: Flag,
    #[pin]
    users: Mutex<Users>,
    /// What was said last about rules that were written. Held while they are written, so that what
    /// one writer adds to is not replaced by another meanwhile.
    #[pin]
    said: Mutex<KVec<u8>>,
    log: Arc<LogLimits>,
}

/// The most that can be said: as many remarks as there may be, of 160 bytes.
const MAX_SAID: usize = 3200;

/// Limits on messages, of all policies together.
#[pin_data]
pub(crate) struct LogLimits {
    /// By itself, so that what tasks do does not hide why an administrator's write failed.
    #[pin]
    calls: RateLimit,
    #[pin]
    mistakes: RateLimit,
}

impl LogLimits {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                calls <- RateLimit::new(),
                mistakes <- RateLimit::new(),
            }),
            GFP_KERNEL,
        )
    }
}

impl Policy {
    /// Makes a policy that allows all.
    pub(crate) fn new(name: &CStr, log: Arc<LogLimits>) -> Result<Arc<Self>> {
        // There is no mistake in no text.
        let set = RuleSet::parse(b"", 0, &mut Report::new()).map_err(|_| ENOMEM)?;
        let rules = Rules::new(set)?;
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                rules <- Published::new(rules),
                enforce: Flag::new(true),
                replacing: Flag::new(false),
                users <- new_mutex!(Users {
                    list: KVec::new(),
                    closed: false,
                }),
                said <- new_mutex!(KVec::new()),
                log,
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    pub(crate) fn enforce(&self) -> bool {
        self.enforce.get()
    }

    /// Sets the mode: whether what the rules say is done, or only logged.
    pub(crate) fn set_enforce(&self, enforce: bool) {
        self.enforce.set(enforce);
        if !enforce {
            self.end_delays();
        }
    }

    /// The rules as hooks see them.
    #[inline]
    pub(crate) fn rules<'a>(&'a self, context: HookContext<'a>) -> &'a Rules {
        self.rules.get(context)
    }

    /// What has calls pass by the rules that are in force; see [`Rules::passing`].
    pub(crate) fn passing(&self, made: Arc<Counters>, which: usize) -> Result<Option<Passing>> {
        if self.replacing.get() {
            return Ok(None);
        }
        self.lock_rules().passing(made, which).map(Some)
    }

    /// The rules as files show them: not replaced meanwhile.
    pub(crate) fn lock_rules(&self) -> PublishedGuard<'_, Rules> {
        self.rules.lock()
    }

    /// Replaces the rules by those of a text, for all users at once.
    pub(crate) fn write(&self, text: &[u8]) -> Result {
        let mut said = self.said.lock();
        let rules = self.parse(text, 0, &mut said)?;
        self.replace(rules);
        Ok(())
    }

    /// Adds the rules of a text to those that there are.
    pub(crate) fn append(&self, text: &[u8]) -> Result {
        let mut said = self.said.lock();
        let rules = self.lock_rules();
        let mut all = KVVec::from_elem(0, rules::MAX_TEXT + text.len(), GFP_KERNEL)?;
        let mut out = Formatter::new(&mut all);
        rules.set.fmt_text(true, &mut out)?;
        let len = out.bytes_written();
        drop(rules);
        // CAST: A text has fewer lines than 32 bits count.
        let nr_lines = all[..len].iter().filter(|&&byte| byte == b'\n').count() as u32;
        all[len..len + text.len()].copy_from_slice(text);
        let rules = self.parse(&all[..len + text.len()], nr_lines, &mut said)?;
        self.replace(rules);
        Ok(())
    }

    /// Calls `f` with what was said about the rules that were refused last, or about those that
    /// were taken since, if there was something to say.
    pub(crate) fn said<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(&self.said.lock())
    }

    /// Rules that [`Self::replace`] takes: all of a replacement that can fail. The lines before the
    /// text that was written are not counted.
    fn parse(
        &self,
        text: &[u8],
        before: u32,
        said: &mut KVec<u8>,
    ) -> Result<KBox<Unpublished<Rules>>> {
        let mut report = Report::new();
        let parsed = RuleSet::parse(text, random_u64(), &mut report);
        let rules = match parsed {
            Ok(set) => Rules::new(set),
            Err(ParseError::NoMemory) => return Err(ENOMEM),
            Err(ParseError::Syntax) => Err(EINVAL),
            Err(ParseError::TooBig) => Err(E2BIG),
        };
        report.skip_lines(before);
        if !report.remarks().is_empty() {
            let mut new = KVec::from_elem(0, MAX_SAID, GFP_KERNEL)?;
            let mut out = Formatter::new(&mut new);
            for remark in report.remarks() {
                writeln!(out, "{remark}")?;
            }
            let len = out.bytes_written();
            new.truncate(len);
            // Warnings are for those who have not seen them.
            if (rules.is_err() || **said != *new) && self.log.mistakes.allow() {
                self.log_report(&report);
            }
            *said = new;
        }
        rules
    }

    fn log_report(&self, report: &Report) {
        for remark in report.remarks() {
            let Remark {
                line,
                column,
                reason,
            } = remark;
            let policy = self.name();
            pr_info!("policy {policy}: line {line}, column {column}: {reason}\n");
        }
    }

    fn replace(&self, mut rules: KBox<Unpublished<Rules>>) {
        // The hits of what passes from now on would not be taken over.
        self.replacing.set(true);
        self.for_users(|user| user.stop_passing());
        let mut current = self.rules.lock();
        let new = rules.get_mut();
        // Under the lock, so that versions come into force in their order.
        new.version = current.version + 1;
        new.take_hits(&current);
        current.replace(rules);
        drop(current);
        self.replacing.set(false);
        self.for_users(|user| user.update_passing());
        self.end_delays();
    }

    /// A user has joined before it reads the rules, so that none is left with old ones.
    fn for_users(&self, f: impl Fn(&dyn User)) {
        for user in self.users.lock().list.iter() {
            f(&**user);
        }
    }

    /// Lets those go on who are delayed. A user has joined before its hooks can ask for a delay by
    /// these rules, so that none is missed.
    fn end_delays(&self) {
        self.for_users(|user| user.end_delays());
    }

    /// Takes a user up, before its hooks read the policy; `ENOENT` if that is closed.
    pub(crate) fn join(&self, user: Arc<dyn User>) -> Result {
        let mut users = self.users.lock();
        if users.closed {
            return Err(ENOENT);
        }
        Ok(users.list.push(user, GFP_KERNEL)?)
    }

    /// Lets a user go, of which no hook begins to read the policy any more.
    pub(crate) fn leave(&self, user: &dyn User) {
        let mut users = self.users.lock();
        users
            .list
            .retain(|other| !core::ptr::addr_eq(&**other, user));
    }

    /// Has nobody use the policy any more; `EBUSY` if somebody does.
    pub(crate) fn close(&self) -> Result {
        let mut users = self.users.lock();
        if !users.list.is_empty() {
            return Err(EBUSY);
        }
        users.closed = true;
        Ok(())
    }

    /// Does to a call what a rule of a set says, or logs it only. `abi` is the call's.
    #[inline]
    pub(crate) fn act(
        &self,
        set: &RuleSet,
        action: Action,
        abi: rules::Abi,
        mut call: Entry<'_>,
    ) -> Verdict {
        if matches!(action, Action::Allow) {
            return Verdict::Call;
        }
        let steps = set.steps(&action);
        if matches!(action, Action::Log) || !self.enforce.get() {
            self.log_call(action, abi, &call);
            return Verdict::Audit(audit_code(steps));
        }
        if matches!(action, Action::Audit) {
            return Verdict::Audit(AuditCode::Log);
        }
        let is_audited = steps.contains(&Action::Audit);
        let mut plan = Plan::new(Verdict::Call);
        for step in steps {
            if let Err(e) = take_step(set, *step, abi, &mut call, &mut plan) {
                plan = Plan::new(Verdict::Errno(e));
                plan.audit = is_audited.then_some(AuditCode::Errno);
                return call.plan(plan).unwrap_or_else(Verdict::Errno);
            }
        }
        plan.audit = is_audited.then(|| audit_code(steps));
        match (plan.delay.is_zero(), plan.signal, plan.verdict) {
            _ if !plan.exit_delay.is_zero() || is_audited => {}
            (true, 0, verdict) => return verdict,
            (false, 0, Verdict::Call) => return Verdict::Delay(plan.delay),
            (true, signal, Verdict::Call) => return Verdict::Signal(signal),
            _ => {}
        }
        call.plan(plan).unwrap_or_else(Verdict::Errno)
    }

    #[cold]
    fn log_call(&self, action: Action, abi: rules::Abi, call: &Entry<'_>) {
        if self.log.calls.allow() {
            let [a, b, c, d, e, f] = call.arguments();
            pr_info!(
                "policy {}: task {} ({}) makes {} syscall {} ({}) \
                 with {a:#x} {b:#x} {c:#x} {d:#x} {e:#x} {f:#x}: {}{}\n",
                self.name(),
                current!().pid(),
                call.comm(),
                abi.name(),
                call.number(),
                rules::syscall_name_of(call.number(), abi).unwrap_or("unknown"),
                action.kind().name(),
                Missed(self.log.calls.take_missed())
            );
        }
    }
}

/// How many lines there were not.
struct Missed(usize);

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            missed => write!(f, " ({missed} calls before were not logged)"),
        }
    }
}

/// What an audit record says that becomes of a call by these steps.
fn audit_code(steps: &[Action]) -> AuditCode {
    let codes = steps.iter().filter_map(|step| match *step {
        Action::Errno(_) | Action::Return(_) => Some(AuditCode::Errno),
        Action::Trap(_) => Some(AuditCode::Trap),
        Action::KillThread => Some(AuditCode::KillThread),
        Action::KillProcess => Some(AuditCode::KillProcess),
        _ => None,
    });
    codes.last().unwrap_or(AuditCode::Log)
}

/// Changes a call, or the plan of what is to become of it, as one step of an action says.
fn take_step(
    set: &RuleSet,
    action: Action,
    abi: rules::Abi,
    call: &mut Entry<'_>,
    plan: &mut Plan,
) -> Result {
    // CAST: The kernel's word has 64 bits.
    match action {
        // They stand alone, and steps have no steps.
        Action::Allow | Action::Log | Action::Several { .. } => {}
        // That is a matter of all of them.
        Action::Audit => {}
        Action::Errno(errno) => plan.verdict = error(errno),
        Action::Return(value) => plan.verdict = Verdict::Return(value as isize),
        Action::Delay(nanos) => plan.delay = Delta::from_nanos(nanos as i64),
        Action::AfterDelay(nanos) => plan.exit_delay = Delta::from_nanos(nanos as i64),
        Action::Signal(signal) => plan.signal = signal,
        Action::Trap(data) => plan.verdict = Verdict::Trap(data),
        Action::KillThread => plan.verdict = Verdict::KillThread,
        Action::KillProcess => plan.verdict = Verdict::KillProcess,
        Action::Poke(poke) => {
            let bytes = set.bytes(poke);
            let memory = call.user_slice(usize::from(poke.argument), bytes.len());
            // Where there is none, there is nothing to overwrite.
            let _ = memory.writer().write_slice(bytes);
        }
        Action::AfterPoke(poke) => {
            call.write_at_exit(usize::from(poke.argument), set.bytes(poke))?
        }
        Action::AfterReturn(value) => call.set_result(value as isize)?,
        Action::AfterErrno(errno) => call.set_result(-isize::from(errno as i16))?,
        Action::Set {
            argument,
            change,
            value,
        } => {
            let index = usize::from(argument);
            let value = change.of(call.argument(index) as u64, value);
            call.set_argument(index, value as usize)?;
        }
        Action::Redirect(target) => match target.number(abi) {
            Some(number) => call.redirect(i32::from(number))?,
            // The parser has seen to that.
            None => return Err(ENOSYS),
        },
    }
    Ok(())
}

/// As `Verdict::Errno`, whose number would be checked once more.
#[inline(always)]
fn error(errno: u16) -> Verdict {
    // CAST: Below 4096.
    Verdict::Return(-isize::from(errno as i16))
}

/// What an action comes to in a policy that is enforced, if it is that the call has a result, and
/// no more.
#[inline(always)]
pub(crate) fn result(action: Action) -> Option<Verdict> {
    match action {
        Action::Errno(errno) => Some(error(errno)),
        // CAST: The kernel's word has 64 bits.
        Action::Return(value) => Some(Verdict::Return(value as isize)),
        _ => None,
    }
}

impl rules::Call for Entry<'_> {
    #[inline(always)]
    fn argument(&self, index: u8) -> u64 {
        // CAST: The kernel's word has 64 bits.
        Entry::argument(self, usize::from(index)) as u64
    }
}

/// What the rules call an architecture.
#[inline]
pub(crate) fn abi_of(arch: Arch) -> rules::Abi {
    match arch {
        Arch::X86_64 => rules::Abi::X86_64,
        Arch::I386 => rules::Abi::I386,
        Arch::X32 => rules::Abi::X32,
    }
}
