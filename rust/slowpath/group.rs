// SPDX-License-Identifier: GPL-2.0

//! What the tasks of a group have in common.

mod counts;

mod recorder;

mod stats;

use crate::{
    policy::{self, Policy, Rules},
    rules::{Abi, Action, Judgement}, //
};
use counts::{Counts, Uncounted};
use kernel::{
    fmt::Write,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    syscall_slowpath::{
        Arch,
        Choice,
        Entry,
        Exit,
        ExitClass,
        ExitPath,
        ExitWork,
        Follow,
        Passing,
        Published,
        SharedGroup,
        Unpublished,
        Verdict, //
    },
};
use recorder::Recorder;
pub(crate) use recorder::{Record, NR_BUCKETS, NR_CALLS};
pub(crate) use stats::{Event, Stats, Sum, Totals, ENTRIES, EXITS};

/// Something of another layer that is kept, and of which nothing else is known here.
pub(crate) type Kept = KBox<dyn Send + Sync>;

/// What belongs to a group: its hooks go by it.
///
/// Lock order: `shown` or `settings`, then the users of a policy, `passing`, its rules or
/// `assigned`, then the core's. `shown` and `settings` are never held together. No hook takes
/// any of them, nor does a task that forks, execs or exits.
#[pin_data(PinnedDrop)]
pub(crate) struct GroupData {
    #[pin]
    assigned: Published<Assigned>,
    #[pin]
    counts: Counts,
    /// What there is to each exit, or that it is not counted: some of [`at_exit`].
    at_exit: Choice,
    /// The largest result, by its lower half, of a call of whose exit there is nothing to record.
    quick_results: Choice,
    pub(crate) stats: Arc<Stats>,
    totals: Arc<Totals>,
    #[pin]
    settings: Mutex<Settings>,
    /// Held while it is found out what is to pass.
    #[pin]
    passing: Mutex<()>,
    /// What shows the group of one task to users, as long as it has that.
    #[pin]
    shown: Mutex<Option<Kept>>,
}

/// The policy that the group is under: what hooks read.
struct Assigned {
    policy: Option<Arc<Policy>>,
    /// Higher than that of what was assigned before.
    serial: u64,
    recorder: Option<Recorder>,
}

/// What the files show.
struct Settings {
    enabled: bool,
    follow: Follow,
    /// Counts the group among its users.
    policy: Option<Arc<Policy>>,
    recorder: Option<Recorder>,
    iret: bool,
    count_exits: bool,
}

/// What there may be to each exit, by bits that no class of exit work has.
mod at_exit {
    /// It is by IRET.
    pub(super) const IRET: u32 = 1 << 30;
    /// The time is counted.
    pub(super) const LATENCY: u32 = 1 << 29;
    /// The exit is not counted, nor what it has to do.
    pub(super) const UNCOUNTED: u32 = 1 << 28;
}

const _: () = {
    let mut i = 0;
    while i < ExitClass::ALL.len() {
        // CAST: The number of the class is its bit's.
        assert!((ExitClass::ALL[i] as u32) < 28);
        i += 1;
    }
};

/// What is above may be an error: the errors are the numbers from -4095 on.
const RESULTS: u32 = -4096i32 as u32;

impl policy::User for SharedGroup<GroupData> {
    fn end_delays(&self) {
        SharedGroup::end_delays(self);
    }

    fn stop_passing(&self) {
        // Behind who is about to have calls pass by what is to be replaced.
        let _guard = self.data().passing.lock();
        SharedGroup::stop_passing(self);
    }

    fn update_passing(&self) {
        GroupData::update_passing(self);
    }
}

impl GroupData {
    /// `follow` is what the group is made with.
    pub(crate) fn new(totals: Arc<Totals>, follow: Follow) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let assigned = Unpublished::new(Assigned {
                policy: None,
                serial: 0,
                recorder: None,
            })?;
            let counts = Counts::new()?;
            // The last step that can fail: dropping the group undoes it.
            let stats = totals.add()?;
            Ok(try_pin_init!(Self {
                assigned <- Published::new(assigned),
                counts <- counts,
                at_exit: Choice::new(at_exit::UNCOUNTED),
                quick_results: Choice::new(u32::MAX),
                stats,
                totals,
                settings <- new_mutex!(Settings {
                    enabled: true,
                    follow,
                    policy: None,
                    recorder: None,
                    iret: false,
                    count_exits: false,
                }),
                passing <- new_mutex!(()),
                shown <- new_mutex!(None),
            }? Error))
        })
    }

    /// Has `show` make what shows a group that was just made; `ESRCH` if its last task has left.
    pub(crate) fn show(group: &SharedGroup<Self>, show: impl FnOnce() -> Result<Kept>) -> Result {
        let mut shown = group.data().shown.lock();
        // `end()` takes it when the last task has left: it may have been here.
        if group.nr_tasks() == 0 {
            return Err(ESRCH);
        }
        *shown = Some(show()?);
        Ok(())
    }

    /// No task will be in the group any more: it is not shown, and under no policy. May sleep.
    pub(crate) fn end(group: &SharedGroup<Self>) {
        let data = group.data();
        let shown = data.shown.lock().take();
        // Removing directories waits for writers of their files, which may want our locks.
        drop(shown);
        let policy = data.settings.lock().policy.take();
        if let Some(policy) = policy {
            policy.leave(group);
        }
    }

    pub(crate) fn enabled(&self) -> bool {
        self.settings.lock().enabled
    }

    pub(crate) fn enable(group: &SharedGroup<Self>, enable: bool) {
        let mut settings = group.data().settings.lock();
        settings.enabled = enable;
        group.enable(enable);
    }

    pub(crate) fn follow(&self) -> Follow {
        self.settings.lock().follow
    }

    /// Says which new tasks of its tasks come to the group.
    pub(crate) fn set_follow(group: &SharedGroup<Self>, follow: Follow) {
        let mut settings = group.data().settings.lock();
        settings.follow = follow;
        group.set_follow(follow);
    }

    /// Calls `f` with the name of the policy.
    pub(crate) fn policy_name<R>(&self, f: impl FnOnce(&CStr) -> R) -> R {
        match &self.settings.lock().policy {
            Some(policy) => f(policy.name()),
            None => f(c"none"),
        }
    }

    /// Puts the group under a policy, or under none. It stays as it was if this fails, with
    /// `ENOENT` if the policy is closed.
    ///
    /// Not where it may come after [`Self::end`]. May sleep.
    pub(crate) fn set_policy(group: &Arc<SharedGroup<Self>>, new: Option<Arc<Policy>>) -> Result {
        let data = group.data();
        let mut settings = data.settings.lock();
        let assigned = Unpublished::new(Assigned {
            policy: new.clone(),
            serial: 0,
            recorder: settings.recorder.clone(),
        })?;
        let same = match (&settings.policy, &new) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if let Some(new) = new.as_ref().filter(|_| !same) {
            new.join(group.clone())?;
        }
        data.assign(assigned, 1);
        let old = core::mem::replace(&mut settings.policy, new);
        if let Some(old) = old.filter(|_| !same) {
            old.leave(&**group);
        }
        // The old one does not stop it any more.
        Self::update_passing(group);
        group.end_delays();
        Ok(())
    }

    /// Has hooks read this. Counts for `when` begin anew where the serial number is raised.
    fn assign(&self, mut assigned: KBox<Unpublished<Assigned>>, raise_serial: u64) {
        let mut current = self.assigned.lock();
        assigned.get_mut().serial = current.serial + raise_serial;
        current.replace(assigned);
    }

    /// Has calls pass as hooks would allow them by their number, now. After each change of what
    /// hooks go by.
    fn update_passing(group: &SharedGroup<Self>) {
        let data = group.data();
        let _guard = data.passing.lock();
        let set = data
            .passing()
            .and_then(|passing| group.set_passing(passing));
        if set.is_err() {
            // Out of memory: it is all the same but for the time.
            group.stop_passing();
        }
    }

    /// Nothing passes where the hooks do more than to count.
    fn passing(&self) -> Result<Option<Passing>> {
        let assigned = self.assigned.lock();
        let at_exit = self.at_exit.get();
        if assigned.recorder.is_some() || at_exit & !at_exit::UNCOUNTED != 0 {
            return Ok(None);
        }
        let Some(policy) = assigned.policy.clone() else {
            return Ok(None);
        };
        drop(assigned);
        let count_exits = at_exit & at_exit::UNCOUNTED == 0;
        let (made, which) = self.stats.passed(count_exits);
        policy.passing(made, which)
    }

    pub(crate) fn iret(&self) -> bool {
        self.settings.lock().iret
    }

    pub(crate) fn set_iret(group: &SharedGroup<Self>, iret: bool) {
        let mut settings = group.data().settings.lock();
        settings.iret = iret;
        Self::choose_exit(group, &settings);
    }

    pub(crate) fn count_exits(&self) -> bool {
        self.settings.lock().count_exits
    }

    /// Says whether exits are counted, and what they have to do.
    pub(crate) fn set_count_exits(group: &SharedGroup<Self>, count: bool) {
        let mut settings = group.data().settings.lock();
        settings.count_exits = count;
        Self::choose_exit(group, &settings);
    }

    /// Has exits, and calls that pass, go by the settings from now on.
    fn choose_exit(group: &SharedGroup<Self>, settings: &Settings) {
        let data = group.data();
        let records = |what| settings.recorder.as_ref().is_some_and(|r| r.records(what));
        let mut choice = 0;
        if settings.iret {
            choice |= at_exit::IRET;
        }
        if records(Record::Latency) {
            choice |= at_exit::LATENCY;
        }
        if !settings.count_exits {
            choice |= at_exit::UNCOUNTED;
        }
        let all_are_quick = settings.recorder.is_none();
        data.quick_results
            .set(if all_are_quick { u32::MAX } else { RESULTS });
        data.at_exit.set(choice);
        group.set_exit_work(choice != at_exit::UNCOUNTED || !all_are_quick);
        Self::update_passing(group);
    }

    /// Begins to record something, or ends it. Is as it was if this fails. May sleep.
    pub(crate) fn record(group: &SharedGroup<Self>, what: Record, on: bool) -> Result {
        let data = group.data();
        let mut settings = data.settings.lock();
        let is_on = |recorder: &Recorder| recorder.records(what);
        if settings.recorder.as_ref().is_some_and(is_on) == on {
            return Ok(());
        }
        let recorder = Recorder::after(settings.recorder.as_ref(), what, on)?;
        let assigned = Unpublished::new(Assigned {
            policy: settings.policy.clone(),
            serial: 0,
            recorder: recorder.clone(),
        })?;
        if on {
            // No call is recorded whose exit would not be looked at.
            group.set_exit_work(true);
        }
        data.assign(assigned, 0);
        settings.recorder = recorder;
        Self::choose_exit(group, &settings);
        Ok(())
    }

    /// Writes what was recorded, or `off`.
    pub(crate) fn fmt_record(&self, what: Record, out: &mut impl Write) -> Result {
        match &self.settings.lock().recorder {
            Some(recorder) if recorder.records(what) => Ok(recorder.fmt(what, out)?),
            _ => Ok(out.write_str("off\n")?),
        }
    }

    /// Whether nothing keeps a call from being made, which is so of nearly every one. Counts it if
    /// so.
    ///
    /// Calls nothing, so that this way has no use for a stack frame.
    #[inline(always)]
    pub(crate) fn allows(&self, call: &Entry<'_>) -> bool {
        let assigned = self.assigned.get(call.context());
        // All entries come here.
        if let Some(recorder) = &assigned.recorder {
            if !recorder.enter_quickly(call) {
                return false;
            }
        }
        if let Some(policy) = &assigned.policy {
            // An x32 call's number has a bit that makes it one that no rule names.
            if call.arch() == Arch::I386 {
                return false;
            }
            let rules = policy.rules(call.context());
            let Some(line) = rules.set.allows(Abi::X86_64, call.raw_number(), call) else {
                return false;
            };
            rules.hits.count(line);
        }
        self.stats.count(Event::Allow);
        true
    }

    /// Judges a call by the policy, and counts what becomes of it.
    #[inline(always)]
    pub(crate) fn judge(&self, call: Entry<'_>) -> Verdict {
        let assigned = self.assigned.get(call.context());
        // An error that is injected should cost little more than the call would.
        if let (Some(policy), None) = (&assigned.policy, &assigned.recorder) {
            let rules = policy.rules(call.context());
            if call.arch() != Arch::I386 && policy.enforce() {
                let constant = rules.set.judge_constant(Abi::X86_64, call.raw_number());
                if let Some(judgement) = constant {
                    if let Some(verdict) = policy::result(judgement.action) {
                        self.count(rules, judgement);
                        return verdict;
                    }
                }
            }
        }
        self.judge_closely(call)
    }

    #[inline(never)]
    fn judge_closely(&self, call: Entry<'_>) -> Verdict {
        if let Some(recorder) = &self.assigned.get(call.context()).recorder {
            recorder.enter(&call);
        }
        loop {
            let assigned = self.assigned.get(call.context());
            let Some(policy) = &assigned.policy else {
                // Taken away a moment ago.
                self.stats.count(Event::Allow);
                return Verdict::Call;
            };
            let rules = policy.rules(call.context());
            let (arch, nr) = call.arch_and_number();
            let abi = policy::abi_of(arch);
            let era = (assigned.serial, rules.version());
            let count = |counter| {
                let nr_counters = rules.set.nr_counters();
                self.counts.count(call.context(), era, nr_counters, counter)
            };
            let judgement = match rules.set.judge(abi, nr, &call, count) {
                Ok(judgement) => judgement,
                // Another task goes by newer rules already.
                Err(Uncounted::Outdated) => continue,
                // No rule is passed over: the call is not made.
                Err(Uncounted::NoMemory) => Judgement {
                    action: Action::Errno(ENOMEM.to_errno().unsigned_abs() as u16),
                    line: None,
                },
            };
            self.count(rules, judgement);
            return policy.act(&rules.set, judgement.action, abi, call);
        }
    }

    #[inline(always)]
    fn count(&self, rules: &Rules, judgement: Judgement) {
        if let Some(line) = judgement.line {
            rules.hits.count(line);
        }
        self.stats.count(Event::from(judgement.action));
    }

    /// Says how a call is to return, and counts that.
    #[inline]
    pub(crate) fn exit(&self, exit: Exit<'_>) -> ExitPath {
        // Where it is counted: one comparison for all that there may be, and one that costs the
        // same whether failures are counted or not.
        let special = exit.work().bits() | self.at_exit.get();
        if special == 0 && self.is_quick(&exit) {
            self.stats.count(Event::Sysret);
            return ExitPath::Auto;
        }
        match special & !at_exit::UNCOUNTED {
            0 if self.is_quick(&exit) => ExitPath::Auto,
            at_exit::IRET => self.exit_by_iret(exit, special),
            _ => self.exit_specially(exit, special),
        }
    }

    #[inline(always)]
    fn is_quick(&self, exit: &Exit<'_>) -> bool {
        // CAST: The lower half is what is compared.
        exit.raw_result() as u32 <= self.quick_results.get()
    }

    /// Apart, that it is not looked at before what is usual.
    #[cold]
    #[inline(never)]
    fn exit_by_iret(&self, exit: Exit<'_>, special: u32) -> ExitPath {
        if !self.is_quick(&exit) {
            return self.exit_specially(exit, special);
        }
        if special & at_exit::UNCOUNTED == 0 {
            self.stats.count(Event::Iret);
        }
        ExitPath::Iret
    }

    /// By value, and at the end, so that nothing has to be kept for it.
    #[inline(never)]
    fn exit_specially(&self, exit: Exit<'_>, special: u32) -> ExitPath {
        let counted = special & at_exit::UNCOUNTED == 0;
        if counted && exit.work().any() {
            self.count_work(exit.work());
        }
        // It was counted as it was let pass, and returns as it began.
        if exit.passed() {
            return ExitPath::Auto;
        }
        if let Some(recorder) = &self.assigned.get(exit.context()).recorder {
            recorder.exit(&exit);
        }
        let (path, event) = if special & at_exit::IRET != 0 {
            (ExitPath::Iret, Event::Iret)
        } else {
            (ExitPath::Auto, Event::Sysret)
        };
        if counted {
            self.stats.count(event);
        }
        path
    }

    /// What only few exits need.
    #[cold]
    #[inline(never)]
    fn count_work(&self, work: ExitWork) {
        for class in ExitClass::ALL {
            if work.has(class) {
                self.stats.count(Event::Work(class));
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for GroupData {
    fn drop(self: Pin<&mut Self>) {
        self.totals.retire(&self.stats);
    }
}
