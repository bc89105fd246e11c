// SPDX-License-Identifier: GPL-2.0

//! What is remembered of calls that were let through: until they return, and until the kernel has
//! them made again.
//!
//! A call that a signal interrupted may be restarted: without a handler at once, otherwise when
//! the handler returns. User space then makes it again, from the same instruction and with the same
//! stack. It is not judged again, and what the rules changed of it is changed again; but only as long as
//! the rules that are in force then have nothing against it.

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    syscall_slowpath::{Arch, Entry, Exit, Flag, Frame},
    task::Task, //
};

/// What the rules change of a call that is made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Change {
    /// The number of the call that is made instead.
    pub(crate) number: Option<i32>,
    /// An argument, and its value.
    pub(crate) argument: Option<(usize, usize)>,
    /// What is returned instead of the result.
    pub(crate) result: Option<isize>,
}

impl Change {
    /// Changes a call that is to be made.
    pub(crate) fn apply(&self, call: &mut Entry<'_>) -> Result {
        if let Some(number) = self.number {
            call.redirect(number)?;
        }
        if let Some((index, value)) = self.argument {
            call.set_argument(index, value)?;
        }
        if let Some(value) = self.result {
            call.set_result(value)?;
        }
        Ok(())
    }
}

/// A call as its task made it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Made {
    site: Site,
    arch: Arch,
    number: i32,
    arguments: [usize; 6],
}

impl Made {
    fn by(frame: &Frame<'_>) -> Self {
        let (arch, number) = frame.arch_and_number();
        Self {
            site: Site::of(frame),
            arch,
            number,
            arguments: frame.arguments(),
        }
    }
}

/// From where in user space a call is made. The instruction pointer is behind the instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Site {
    instruction_pointer: usize,
    stack_pointer: usize,
}

impl Site {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            instruction_pointer: frame.instruction_pointer(),
            stack_pointer: frame.stack_pointer(),
        }
    }
}

/// SYSCALL, SYSENTER and `int 0x80` all have two bytes; what the kernel goes back by to restart.
const SYSCALL_INSTRUCTION_LEN: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The kernel makes the call.
    Running,
    /// It was to be made, but another was judged before it returned: a tracer has made that of it, or
    /// the attachment was switched off meanwhile.
    Superseded,
    /// It was interrupted. If the task's next call is this one, no handler came in between.
    Interrupted,
    /// A handler runs, or the call will never be made again.
    Handling,
    /// The handler has returned to the instruction that makes the call.
    Restarting,
}

struct Pending {
    /// The task, which is only compared: it is forgotten when it leaves the attachment.
    task: usize,
    made: Made,
    /// What was changed of it, and by which version of rules.
    change: Option<(Change, u64)>,
    state: State,
    /// How many calls the task has made since.
    age: u32,
}

/// A handler that makes more calls is taken for one that never returns.
const MAX_AGE: u32 = 10_000;

/// How many calls of a task are remembered: handlers can be interrupted in calls, too.
const MAX_CALLS: usize = 4;

/// The calls of one attachment's tasks.
#[pin_data]
pub(crate) struct PendingCalls {
    any: Flag,
    #[pin]
    calls: Mutex<KVec<Pending>>,
}

/// The errors that stand for a restart of the same call. Not that of `restart_syscall`, which is
/// never judged and has the call's arguments from elsewhere.
fn is_restart(result: isize) -> bool {
    matches!(result, -514..=-512)
}

/// Forgets the oldest of a task's calls, if there are as many as there may be.
fn make_room(calls: &mut KVec<Pending>, task: usize) {
    if calls.iter().filter(|c| c.task == task).count() >= MAX_CALLS {
        let oldest = calls.iter().position(|c| c.task == task);
        let _ = oldest.map(|i| calls.remove(i));
    }
}

/// If a task was detached meanwhile, [`PendingCalls::forget`] may have run for it already. If it is
/// detached from now on, that waits for our lock.
fn forget_if_detached(calls: &mut KVec<Pending>, task: usize, frame: &Frame<'_>) {
    if !frame.is_attached() {
        calls.retain(|c| c.task != task);
    }
}

fn current_task() -> usize {
    // CAST: Only compared.
    current!().as_ptr() as usize
}

impl PendingCalls {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            any: Flag::new(false),
            calls <- new_mutex!(KVec::new()),
        })
    }

    /// Whether any is remembered. Most often none is, and nothing else has to be called.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.get()
    }

    fn with<R>(&self, f: impl FnOnce(&mut KVec<Pending>, usize) -> R) -> R {
        let mut calls = self.calls.lock();
        let result = f(&mut calls, current_task());
        self.any.set(!calls.is_empty());
        result
    }

    /// Forgets the calls of a task, or of all. Looks with the lock held, for which
    /// [`forget_if_detached`] relies on it.
    pub(crate) fn forget(&self, task: Option<&Task>) {
        self.with(|calls, _| match task {
            Some(task) => calls.retain(|c| c.task != task.as_ptr() as usize),
            None => calls.clear(),
        });
    }

    /// The current task makes a call. What is to be changed of it, if this is a restart of one
    /// that was judged before. It is not if what has changed it is not the version of rules that is in
    /// force, if there is one; or if those do not let it through.
    #[cold]
    pub(crate) fn entered(
        &self,
        call: &Entry<'_>,
        version: Option<u64>,
        lets_through: impl Fn() -> bool,
    ) -> Option<Change> {
        let made = Made::by(call);
        self.with(|calls, task| {
            calls.retain(|c| c.task != task || (c.state != State::Superseded && c.age < MAX_AGE));

            let mut restarted = None;
            for call in calls.iter_mut().filter(|c| c.task == task) {
                call.age += 1;
                let again = matches!(call.state, State::Interrupted | State::Restarting)
                    && restarted.is_none()
                    && call.made == made;
                let change = match call.change {
                    _ if !again => None,
                    Some((change, of)) => (Some(of) == version).then_some(change),
                    None => lets_through().then(Change::default),
                };
                call.state = match call.state {
                    _ if change.is_some() => State::Running,
                    State::Running => State::Superseded,
                    _ => State::Handling,
                };
                if change.is_some() {
                    call.age = 0;
                    restarted = change;
                }
            }
            restarted
        })
    }

    /// Remembers what is changed of a call, for its exit and for its restart.
    #[cold]
    pub(crate) fn add(&self, call: &Entry<'_>, change: Change, version: u64) -> Result {
        let made = Made::by(call);
        self.with(|calls, task| {
            make_room(calls, task);
            let pending = Pending {
                task,
                made,
                change: Some((change, version)),
                state: State::Running,
                age: 0,
            };
            calls.push(pending, GFP_KERNEL)?;
            forget_if_detached(calls, task, call);
            Ok(())
        })
    }

    /// A call of the current task returns. If it is to be restarted it stays remembered.
    #[cold]
    pub(crate) fn left(&self, exit: &Exit<'_>) {
        self.with(|calls, task| {
            let site = Site::of(exit);
            let made = Made::by(exit);
            let is_restart = is_restart(exit.result());
            let mut known = false;
            calls.retain(|c| {
                if c.task != task {
                    return true;
                }
                match c.state {
                    // Not if this is another call, whose entry was not seen, as the exit of the one
                    // was not.
                    State::Running => {
                        known = true;
                        c.state = State::Interrupted;
                        return is_restart && c.made == made;
                    }
                    // The core has put it back, but it is not what was made.
                    State::Superseded => {
                        known |= c.made == made;
                        return false;
                    }
                    _ => {}
                }
                // Where a handler has returned to the call, which failed or is to be restarted.
                let behind = c.made.site;
                if site.stack_pointer == behind.stack_pointer
                    && site.instruction_pointer
                        == behind
                            .instruction_pointer
                            .wrapping_sub(SYSCALL_INSTRUCTION_LEN)
                {
                    c.state = State::Restarting;
                }
                site != behind
            });

            if !known && is_restart && made.number != -1 {
                make_room(calls, task);
                let pending = Pending {
                    task,
                    made,
                    change: None,
                    state: State::Interrupted,
                    age: 0,
                };
                // Without memory, the restarted call is judged again.
                let _ = calls.push(pending, GFP_KERNEL);
                forget_if_detached(calls, task, exit);
            }
        });
    }
}
