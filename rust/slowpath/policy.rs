// SPDX-License-Identifier: GPL-2.0

//! Policies: the rules in force, how often each has decided, and whether what they say is done.

use crate::rules::{self, Action, Mistake, ParseError, RuleSet};
use kernel::{
    new_mutex,
    percpu::Counters,
    prelude::*,
    ratelimit::RateLimit,
    str::CString,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc,
        Mutex, //
    },
    syscall_slowpath::{
        Arch,
        Entry,
        Flag,
        HookContext,
        Published,
        PublishedGuard,
        Unpublished,
        Verdict, //
    },
    time::Delta, //
};

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
    pub(crate) hits: Counters,
    /// Higher than that of the rules that these have replaced.
    version: u64,
}

impl Rules {
    fn new(set: RuleSet) -> Result<KBox<Unpublished<Self>>> {
        let hits = Counters::new(set.nr_lines())?;
        Unpublished::new(Self {
            set,
            hits,
            version: 0,
        })
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
    #[pin]
    users: Mutex<Users>,
    log: Arc<LogLimits>,
}

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
        let rules = Rules::new(RuleSet::parse(b"").map_err(|_| ENOMEM)?)?;
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                rules <- Published::new(rules),
                enforce: Flag::new(true),
                users <- new_mutex!(Users {
                    list: KVec::new(),
                    closed: false,
                }),
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

    /// The rules as files show them: not replaced meanwhile.
    pub(crate) fn lock_rules(&self) -> PublishedGuard<'_, Rules> {
        self.rules.lock()
    }

    /// Rules that [`Self::replace`] takes: all of a replacement that can fail.
    pub(crate) fn parse(&self, text: &[u8]) -> Result<KBox<Unpublished<Rules>>> {
        let set = RuleSet::parse(text).map_err(|e| match e {
            ParseError::NoMemory => ENOMEM,
            ParseError::Syntax(at) => {
                self.log_mistake(at);
                EINVAL
            }
            ParseError::TooBig(at) => {
                self.log_mistake(at);
                E2BIG
            }
        })?;
        Rules::new(set)
    }

    fn log_mistake(&self, at: Mistake) {
        if self.log.mistakes.allow() {
            let Mistake {
                line,
                column,
                reason,
            } = at;
            let policy = self.name();
            pr_info!("policy {policy}: line {line}, column {column}: {reason}\n");
        }
    }

    /// Replaces the rules, for all users at once.
    pub(crate) fn replace(&self, mut rules: KBox<Unpublished<Rules>>) {
        let mut current = self.rules.lock();
        // Under the lock, so that versions come into force in their order.
        rules.get_mut().version = current.version + 1;
        current.replace(rules);
        drop(current);
        self.end_delays();
    }

    /// Lets those go on who are delayed. A user has joined before its hooks can ask for a delay by
    /// these rules, so that none is missed.
    fn end_delays(&self) {
        for user in self.users.lock().list.iter() {
            user.end_delays();
        }
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

    /// Does to a call what a rule says, or logs it only. `abi` is the call's.
    #[inline]
    pub(crate) fn act(&self, action: Action, abi: rules::Abi, mut call: Entry<'_>) -> Verdict {
        if matches!(action, Action::Allow) {
            return Verdict::Call;
        }
        if !self.enforce.get() {
            self.log_call(action, abi, &call);
            return Verdict::Log;
        }
        // CAST: The kernel's word has 64 bits.
        let changed = match action {
            Action::Allow => return Verdict::Call,
            Action::Errno(errno) => return error(errno),
            Action::Return(value) => return Verdict::Return(value as isize),
            Action::Log => {
                self.log_call(action, abi, &call);
                return Verdict::Log;
            }
            Action::Delay(nanos) => return Verdict::Delay(Delta::from_nanos(nanos as i64)),
            Action::Signal(signal) => return Verdict::Signal(signal),
            Action::Trap(data) => return Verdict::Trap(data),
            Action::KillThread => return Verdict::KillThread,
            Action::KillProcess => return Verdict::KillProcess,
            Action::AfterReturn(value) => call.set_result(value as isize),
            Action::AfterErrno(errno) => call.set_result(-isize::from(errno as i16)),
            Action::Set { argument, value } => {
                call.set_argument(usize::from(argument), value as usize)
            }
            Action::Redirect(target) => match target.number(abi) {
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
    fn log_call(&self, action: Action, abi: rules::Abi, call: &Entry<'_>) {
        if self.log.calls.allow() {
            pr_info!(
                "policy {}: task {} makes {} syscall {} ({}): {}\n",
                self.name(),
                current!().pid(),
                abi.name(),
                call.number(),
                rules::syscall_name_of(call.number(), abi).unwrap_or("unknown"),
                action.name()
            );
        }
    }
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
