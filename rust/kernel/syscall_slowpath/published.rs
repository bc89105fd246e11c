// SPDX-License-Identifier: GPL-2.0

//! Values that hooks read without a lock.

use super::{
    flag::read_once,
    HookContext, //
};
use crate::{
    bindings,
    container_of,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            ordering::{Acquire, Full},
            Atomic, //
        },
        Mutex,
        MutexGuard, //
    },
    types::Opaque, //
};
use core::{marker::PhantomData, ops::Deref};

/// Storage for a value, allocated before it is published, so that publishing cannot fail.
pub struct Unpublished<T> {
    deferred: Opaque<bindings::syscall_slowpath_deferred>,
    value: T,
}

impl<T> Unpublished<T> {
    /// Allocates storage for `value`. May sleep.
    pub fn new(value: T) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                deferred: Opaque::zeroed(),
                value,
            },
            GFP_KERNEL,
        )?)
    }

    pub(super) fn value(&self) -> &T {
        &self.value
    }

    /// The value, to be changed before it is published.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A value that hooks read while others replace it.
///
/// Hooks get it without a lock and without a write. Others take a lock, under which nobody else
/// replaces it; they may sleep. What was replaced is dropped in process context, when no hook that
/// could have seen it runs any more, which may be later than the whole is dropped, but not later
/// than the module is unloaded. Such a drop must not wait for another one.
///
/// # Examples
///
/// An error that can be changed while calls are judged by it.
///
/// ```
/// use kernel::prelude::*;
/// use kernel::syscall_slowpath::{Entry, Handler, Published, Unpublished, Verdict};
///
/// #[pin_data]
/// struct Refuse {
///     #[pin]
///     error: Published<Error>,
/// }
///
/// #[vtable]
/// impl Handler for Refuse {
///     fn enter(&self, call: Entry<'_>) -> Verdict {
///         Verdict::Errno(*self.error.get(call.context()))
///     }
/// }
///
/// let first = Unpublished::new(EPERM)?;
/// let refuse = KBox::pin_init(pin_init!(Refuse { error <- Published::new(first) }), GFP_KERNEL)?;
/// // From a file's `store`, say: the next call fails so.
/// refuse.error.replace(Unpublished::new(EACCES)?);
/// // And from its `show`.
/// assert_eq!(*refuse.error.lock(), EACCES);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `current` comes from a `KBox<Unpublished<T>>`, which `self` owns, and changes under `lock` only;
/// what was replaced is dropped when the hooks that ran then are over, and not before.
#[pin_data(PinnedDrop)]
pub struct Published<T: Send + Sync + 'static> {
    current: Atomic<*mut Unpublished<T>>,
    #[pin]
    lock: Mutex<()>,
    _p: PhantomData<T>,
}

/// The class of the lock is one for all types, and so its name has to be one: in a generic function
/// it would be another in each crate that makes one, of which lockdep warns.
#[inline(never)]
fn new_lock() -> impl PinInit<Mutex<()>> {
    new_mutex!((), "Published::lock")
}

// SAFETY: Whoever has it drops `T`, and lends it to hooks on other CPUs: `T` is `Send` and `Sync`.
unsafe impl<T: Send + Sync + 'static> Send for Published<T> {}
// SAFETY: `&self` lends `&T`, replaces it under a lock by one atomic operation, and has a work item
// drop what was replaced: `T` is `Send` and `Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for Published<T> {}

impl<T: Send + Sync + 'static> Published<T> {
    /// Publishes a first value.
    pub fn new(value: KBox<Unpublished<T>>) -> impl PinInit<Self> {
        // INVARIANT: `current` comes from a box, and nothing was replaced.
        pin_init!(Self {
            current: Atomic::new(KBox::into_raw(value)),
            lock <- new_lock(),
            _p: PhantomData,
        })
    }

    /// The value, as it is now.
    #[inline]
    pub fn get<'a>(&'a self, _context: HookContext<'a>) -> &'a T {
        // As `rcu_dereference()`: what is read through the pointer depends on its address, which
        // orders the reads.
        let current = read_once(&self.current);
        // SAFETY: By the type invariants `current` comes from a box, which is not dropped before
        // the hook is over that `_context` was lent to; until then nobody has it mutably.
        unsafe { &(*current).value }
    }

    /// Keeps others from replacing the value. May sleep. Only one value of this type is to be
    /// locked at a time.
    pub fn lock(&self) -> PublishedGuard<'_, T> {
        // INVARIANT: It has just been taken.
        PublishedGuard {
            published: self,
            _guard: self.lock.lock(),
        }
    }

    /// Replaces the value. May sleep.
    pub fn replace(&self, value: KBox<Unpublished<T>>) {
        self.lock().replace(value);
    }

    /// # Safety
    ///
    /// `deferred` is that of an `Unpublished<T>` that comes from a box and that nobody uses.
    unsafe extern "C" fn drop_value(deferred: *mut bindings::syscall_slowpath_deferred) {
        // SAFETY: The caller promises that it is this member of an `Unpublished<T>`; an `Opaque`
        // has the layout of what is in it.
        let value: *mut Unpublished<T> =
            unsafe { container_of!(Opaque::cast_from(deferred), Unpublished<T>, deferred) }
                .cast_mut();
        // SAFETY: The caller promises that it comes from a box, and that nobody uses it: it is
        // ours.
        drop(unsafe { KBox::from_raw(value) });
    }
}

/// A published value that nobody else replaces while this exists.
///
/// # Invariants
///
/// `_guard` is that of the lock of `published`.
pub struct PublishedGuard<'a, T: Send + Sync + 'static> {
    published: &'a Published<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<T: Send + Sync + 'static> Deref for PublishedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants of `Published` this comes from a box, and changes under
        // the lock only, which is held by those of `self`: by `replace()`, which needs `self`
        // mutably.
        unsafe { &(*self.published.current.load(Acquire)).value }
    }
}

impl<T: Send + Sync + 'static> PublishedGuard<'_, T> {
    /// Replaces the value: hooks that begin from now on see the new one.
    pub fn replace(&mut self, value: KBox<Unpublished<T>>) {
        // INVARIANT: Comes from a box, and the lock is held.
        let old = self.published.current.xchg(KBox::into_raw(value), Full);
        // SAFETY: By the type invariants `old` comes from a box. It was in `current` and is no
        // more, so that it is dropped by what follows, and by nobody else; hooks look at the value
        // alone, and so does `deref()`, whose reference is gone.
        let deferred = unsafe { (*old).deferred.get() };
        // SAFETY: Of `old` only the value is lent to hooks, so `deferred` is ours until it is
        // handed on. The C function has `func` called once hooks that run now are over, and before
        // a module goes that it is in; `T` borrows nothing that could go earlier, being `'static`.
        unsafe {
            (*deferred).func = Some(Published::<T>::drop_value);
            bindings::syscall_slowpath_defer(deferred);
        }
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for Published<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants `current` comes from a box that `self` owns, and `&mut
        // self` shows that no hook has borrowed it.
        drop(unsafe { KBox::from_raw(self.current.load(Acquire)) });
    }
}

#[cfg(CONFIG_SLOWPATH_KUNIT_TEST)]
#[::kernel::macros::kunit_tests(rust_slowpath_published)]
mod tests {
    use super::*;
    use crate::{
        sync::{atomic::ordering::Relaxed, Arc},
        syscall_slowpath::call::Entry,
    };

    struct Value(u32, Arc<Atomic<u32>>);

    impl Drop for Value {
        fn drop(&mut self) {
            self.1.add(1, Relaxed);
        }
    }

    #[test]
    fn replaced_values_are_dropped() -> Result {
        let dropped = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let first = Unpublished::new(Value(0, dropped.clone()))?;
        let published = KBox::pin_init(Published::new(first), GFP_KERNEL)?;

        for i in 1..=100 {
            let mut locked = published.lock();
            assert_eq!(locked.0, i - 1);
            locked.replace(Unpublished::new(Value(i, dropped.clone()))?);
            assert_eq!(locked.0, i);
            drop(locked);
            let mut regs: bindings::pt_regs = pin_init::zeroed();
            // SAFETY: Not used as a frame; the value is not replaced while it is looked at.
            let context = unsafe { Entry::new(&mut regs, 0, 0) };
            assert_eq!(published.get(context.context()).0, i);
        }
        drop(published);
        // SAFETY: This is not a deferred call.
        unsafe { bindings::syscall_slowpath_flush_deferred() };
        assert_eq!(dropped.load(Relaxed), 101);
        Ok(())
    }
}
