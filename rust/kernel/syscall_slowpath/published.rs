// SPDX-License-Identifier: GPL-2.0

//! Values that hooks read without a lock.

use super::HookContext;
use crate::{
    bindings,
    container_of,
    prelude::*,
    sync::atomic::{
        ordering::{Acquire, Full},
        Atomic, //
    },
    types::Opaque, //
};
use core::marker::PhantomData;

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

    /// The value, to be changed before it is published.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A value that hooks read while others replace it.
///
/// Hooks get it without a lock and without a write. What was replaced is dropped in process
/// context, when no hook that could have seen it runs any more. Dropping the whole waits for that,
/// and must not happen in a hook, which would wait for itself.
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
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `current` comes from a `KBox<Unpublished<T>>`, and is valid until the hooks that run when it is
/// replaced are over. `pending` counts the replaced values that were not dropped yet.
#[pin_data(PinnedDrop)]
pub struct Published<T: Send + Sync + 'static> {
    current: Atomic<*mut Unpublished<T>>,
    #[pin]
    pending: Opaque<bindings::atomic_t>,
    _p: PhantomData<T>,
}

// SAFETY: Sends and shares the value, and nothing else.
unsafe impl<T: Send + Sync + 'static> Send for Published<T> {}
// SAFETY: Sends and shares the value, and nothing else.
unsafe impl<T: Send + Sync + 'static> Sync for Published<T> {}

impl<T: Send + Sync + 'static> Published<T> {
    /// Publishes a first value.
    pub fn new(value: KBox<Unpublished<T>>) -> impl PinInit<Self> {
        // INVARIANT: `current` comes from a box, and nothing was replaced.
        pin_init!(Self {
            current: Atomic::new(KBox::into_raw(value)),
            pending: Opaque::zeroed(),
            _p: PhantomData,
        })
    }

    /// The value, as it is now.
    #[inline]
    pub fn get<'a>(&'a self, _context: HookContext<'a>) -> &'a T {
        // As `rcu_dereference()`: what is read through the pointer depends on its address, which
        // orders the reads. `Atomic::load` is a function call, on the path of each syscall.
        // SAFETY: `current` is valid for reads, and written atomically only.
        let current = unsafe { self.current.as_ptr().read_volatile() };
        // SAFETY: By the type invariants `current` is valid, and stays so while `_context` shows
        // that this hook runs.
        unsafe { &(*current).value }
    }

    /// Replaces the value. Any context.
    pub fn replace(&self, value: KBox<Unpublished<T>>) {
        let old = self.current.xchg(KBox::into_raw(value), Full);
        // SAFETY: `old` is valid, and nobody can get it from `current` any more.
        let deferred = unsafe { (*old).deferred.get() };
        // SAFETY: `deferred` is ours until it is handed on here. `pending` is valid until all
        // these calls are over, because dropping `self` waits for them.
        // INVARIANT: Counted in `pending` by the C function.
        unsafe {
            (*deferred).func = Some(Self::drop_value);
            (*deferred).pending = self.pending.get();
            bindings::syscall_slowpath_defer(deferred);
        }
    }

    /// # Safety
    ///
    /// `deferred` is that of an `Unpublished<T>` that comes from a box and that nobody uses.
    unsafe extern "C" fn drop_value(deferred: *mut bindings::syscall_slowpath_deferred) {
        // SAFETY: By the safety requirements; `Opaque<T>` has the layout of `T`.
        let value: *mut Unpublished<T> =
            unsafe { container_of!(Opaque::cast_from(deferred), Unpublished<T>, deferred) }
                .cast_mut();
        // SAFETY: By the safety requirements.
        drop(unsafe { KBox::from_raw(value) });
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for Published<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `pending` is valid.
        unsafe { bindings::syscall_slowpath_wait_deferred(self.pending.get()) };
        // SAFETY: `current` comes from a box, and `&mut self` shows that no hook has borrowed it.
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
            published.replace(Unpublished::new(Value(i, dropped.clone()))?);
            let mut regs: bindings::pt_regs = pin_init::zeroed();
            // SAFETY: Not used as a frame; the value is not replaced while it is looked at.
            let context = unsafe { Entry::new(&mut regs, 0, 0) };
            assert_eq!(published.get(context.context()).0, i);
        }
        // Waits for the hundred that were replaced.
        drop(published);
        assert_eq!(dropped.load(Relaxed), 101);
        Ok(())
    }
}
