// SPDX-License-Identifier: GPL-2.0

//! Policies, and what they have to say about a call.

use crate::{
    hooks::Hooks,
    rules::{self, Judgement, ParseError, Place, RuleSet, Verdict as Rule},
    stats::Event, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex, //
    },
    syscall_slowpath::{
        log_ratelimit,
        log_ratelimit_admin,
        Arch,
        Attachment,
        Counters,
        Entry,
        Flag,
        Unpublished,
        Verdict, //
    },
    time::Delta, //
};

/// A version of a policy's rules, replaced as a whole.
pub(crate) struct Rules {
    pub(crate) set: RuleSet,
    pub(crate) hits: Counters,
}

impl Rules {
    pub(crate) fn parse(policy: &CStr, text: &[u8]) -> Result<Arc<Self>> {
        let log = |at: Place| {
            if log_ratelimit_admin() {
                let Place {
                    line,
                    column,
                    reason,
                } = at;
                pr_info!("policy {policy}: line {line}, column {column}: {reason}\n");
            }
        };
        let set = RuleSet::parse(text).map_err(|e| match e {
            ParseError::NoMemory => ENOMEM,
            ParseError::Syntax(at) => {
                log(at);
                EINVAL
            }
            ParseError::TooBig(at) => {
                log(at);
                E2BIG
            }
        })?;
        let hits = Counters::new(set.nr_lines())?;
        Ok(Arc::new(Self { set, hits }, GFP_KERNEL)?)
    }
}

/// A policy.
#[pin_data]
pub(crate) struct Policy {
    name: CString,
    enforce: Flag,
    /// Who uses which policy changes under this lock, of all policies.
    users_lock: Arc<UsersLock>,
    #[pin]
    state: Mutex<State>,
}

struct State {
    rules: Arc<Rules>,
    /// The attachments that are under the policy. They keep the policy, and are taken off this
    /// list when their last task leaves.
    users: KVec<Arc<Attachment<Hooks>>>,
}

impl State {
    fn remove(&mut self, attachment: &Attachment<Hooks>) {
        self.users
            .retain(|user| !core::ptr::eq(&**user, attachment));
    }
}

/// Taken before the lock of any policy's state.
#[pin_data]
pub(crate) struct UsersLock {
    #[pin]
    lock: Mutex<()>,
}

impl UsersLock {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(pin_init!(Self { lock <- new_mutex!(()) }), GFP_KERNEL)
    }
}

impl Policy {
    pub(crate) fn new(name: &CStr, users_lock: Arc<UsersLock>) -> Result<Arc<Self>> {
        let rules = Rules::parse(name, b"")?;
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                enforce: Flag::new(true),
                users_lock,
                state <- new_mutex!(State { rules, users: KVec::new() }),
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

    pub(crate) fn set_enforce(&self, enforce: bool) {
        self.enforce.set(enforce);
        if !enforce {
            for user in &self.state.lock().users {
                user.end_delays();
            }
        }
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.state.lock().rules.clone()
    }

    /// Replaces the rules, for every attachment under the policy; or for none, if it fails.
    pub(crate) fn replace(self: &Arc<Self>, rules: Arc<Rules>) -> Result {
        let users_guard = self.users_lock.lock.lock();
        let mut state = self.state.lock();

        let mut all = KVec::with_capacity(state.users.len(), GFP_KERNEL)?;
        for _ in &state.users {
            let applied = Applied::new(self.clone(), rules.clone())?;
            all.push(Unpublished::new(Some(applied))?, GFP_KERNEL)?;
        }
        for (user, applied) in state.users.iter().zip(all) {
            user.data().applied.replace(applied);
            user.end_delays();
        }
        let old = core::mem::replace(&mut state.rules, rules);
        drop(state);
        drop(users_guard);
        // What was replaced goes when the locks are free again.
        drop(old);
        Ok(())
    }

    /// Puts an attachment under the policy `new` instead of `old`, or under none. It stays as it
    /// was if this fails.
    pub(crate) fn switch(
        attachment: &Arc<Attachment<Hooks>>,
        old: Option<&Arc<Self>>,
        new: Option<&Arc<Self>>,
    ) -> Result {
        let Some(either) = old.or(new) else {
            return Ok(());
        };
        let _users_guard = either.users_lock.lock.lock();
        let mut applied = Unpublished::new(None)?;
        if let Some(new) = new {
            let mut state = new.state.lock();
            *applied.get_mut() = Some(Applied::new(new.clone(), state.rules.clone())?);
            if !old.is_some_and(|old| Arc::ptr_eq(old, new)) {
                state.users.push(attachment.clone(), GFP_KERNEL)?;
            }
        }
        if let Some(old) = old.filter(|old| !new.is_some_and(|new| Arc::ptr_eq(old, new))) {
            old.state.lock().remove(attachment);
        }
        attachment.data().applied.replace(applied);
        attachment.end_delays();
        Ok(())
    }

    /// An attachment that has no task any more is under no policy.
    pub(crate) fn remove_user(&self, attachment: &Attachment<Hooks>) {
        let _users_guard = self.users_lock.lock.lock();
        self.state.lock().remove(attachment);
    }
}

/// A policy as it is for one attachment: what hooks read.
pub(crate) struct Applied {
    policy: Arc<Policy>,
    rules: Arc<Rules>,
    /// How many calls there were, for each rule that counts them.
    counts: KVec<Atomic<u64>>,
}

/// A call under a policy, for the rules that look closer at it.
struct Call<'a>(&'a Entry<'a>, &'a [Atomic<u64>]);

impl rules::Call for Call<'_> {
    #[inline(always)]
    fn argument(&self, index: u8) -> u64 {
        // CAST: The kernel's word has 64 bits.
        self.0.argument(usize::from(index)) as u64
    }

    fn count(&self, counter: usize) -> u64 {
        match self.1.get(counter) {
            Some(count) => count.fetch_add(1, Relaxed) + 1,
            None => 0,
        }
    }
}

#[inline]
fn arch_of_rules(arch: Arch) -> rules::Arch {
    match arch {
        Arch::X86_64 => rules::Arch::X86_64,
        Arch::I386 => rules::Arch::I386,
        Arch::X32 => rules::Arch::X32,
    }
}

#[inline]
fn error(errno: u16) -> Verdict {
    Verdict::Errno(Error::from_errno(-i32::from(errno)))
}

impl Applied {
    fn new(policy: Arc<Policy>, rules: Arc<Rules>) -> Result<Self> {
        let mut counts = KVec::with_capacity(rules.set.nr_counters(), GFP_KERNEL)?;
        for _ in 0..rules.set.nr_counters() {
            counts.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            policy,
            rules,
            counts,
        })
    }

    /// Whether a rule allows a call, which nearly every call is. Calls nothing, and has no use for a
    /// stack frame.
    #[inline(always)]
    pub(crate) fn pass(&self, call: &Entry<'_>) -> bool {
        // The bit of x32 makes a number that no table has.
        if call.arch() == Arch::I386 {
            return false;
        }
        let set = &self.rules.set;
        let further = Call(call, &self.counts);
        match set.line_that_allows(rules::Arch::X86_64, call.raw_number(), &further) {
            Some(line) => {
                self.rules.hits.count(line);
                true
            }
            None => false,
        }
    }

    /// Judges a call, and counts the verdict.
    #[inline]
    pub(crate) fn judge(&self, call: Entry<'_>, hooks: &Hooks) -> Verdict {
        // An error that is injected should cost little more than the call would.
        if call.arch() != Arch::I386 && self.policy.enforce.get() {
            let set = &self.rules.set;
            let rule = set.rule_that_decides(rules::Arch::X86_64, call.raw_number());
            if let Some((line, verdict)) = rule {
                let (event, verdict) = match verdict {
                    Rule::Errno(errno) => (Event::Errno, error(errno)),
                    // CAST: The kernel's word has 64 bits.
                    Rule::Return(value) => (Event::Return, Verdict::Return(value as isize)),
                    _ => return self.judge_further(call, hooks),
                };
                self.rules.hits.count(line);
                hooks.stats.count(event);
                return verdict;
            }
        }
        self.judge_further(call, hooks)
    }

    #[inline(never)]
    fn judge_further(&self, call: Entry<'_>, hooks: &Hooks) -> Verdict {
        let (arch, nr) = call.arch_and_number();
        let arch = arch_of_rules(arch);
        let further = Call(&call, &self.counts);
        let judgement = self.rules.set.judge(arch, nr, &further);
        if let Some(line) = judgement.line {
            self.rules.hits.count(line);
        }
        if matches!(judgement.verdict, Rule::Allow) {
            hooks.stats.count(Event::Allow);
            return Verdict::Call;
        }
        self.act(arch, judgement, call, hooks)
    }

    #[inline(always)]
    fn act(
        &self,
        arch: rules::Arch,
        judgement: Judgement,
        mut call: Entry<'_>,
        hooks: &Hooks,
    ) -> Verdict {
        let verdict = judgement.verdict;
        hooks.stats.count(Event::from(verdict));
        let enforce = self.policy.enforce.get();
        if !enforce || matches!(verdict, Rule::Log) {
            self.log(arch, verdict, &call);
            return Verdict::Log;
        }

        // CAST: The kernel's word has 64 bits.
        let changed = match verdict {
            Rule::Allow | Rule::Log => return Verdict::Log,
            Rule::Delay(nanos) => return Verdict::Delay(Delta::from_nanos(nanos as i64)),
            Rule::Return(value) => return Verdict::Return(value as isize),
            Rule::Errno(errno) => return error(errno),
            Rule::Signal(signal) => return Verdict::Signal(signal),
            Rule::Trap(data) => return Verdict::Trap(data),
            Rule::KillThread => return Verdict::KillThread,
            Rule::KillProcess => return Verdict::KillProcess,
            Rule::AfterReturn(value) => call.set_result(value as isize),
            Rule::AfterErrno(errno) => call.set_result(-isize::from(errno as i16)),
            Rule::Set { argument, value } => {
                call.set_argument(usize::from(argument), value as usize)
            }
            Rule::Redirect(target) => match target.number(arch) {
                Some(number) => call.redirect(i32::from(number)),
                // The parser has seen to that.
                None => Err(ENOSYS),
            },
        };
        match changed {
            Ok(()) => Verdict::Call,
            Err(e) => Verdict::Errno(e),
        }
    }

    #[cold]
    fn log(&self, arch: rules::Arch, verdict: Rule, call: &Entry<'_>) {
        if log_ratelimit() {
            pr_info!(
                "policy {}: task {} makes {} syscall {} ({}): {}\n",
                self.policy.name(),
                current!().pid(),
                arch.name(),
                call.number(),
                rules::syscall_name_of(call.number(), arch).unwrap_or("unknown"),
                verdict.name()
            );
        }
    }
}
