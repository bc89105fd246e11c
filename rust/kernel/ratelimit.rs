// SPDX-License-Identifier: GPL-2.0

//! Rate limits.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// Lets not more than a few events through in a few seconds: as many as `printk_ratelimited()`
/// does.
///
/// What it holds back is reported by [`RateLimit::take_missed`] alone.
///
/// # Examples
///
/// ```
/// use kernel::ratelimit::RateLimit;
///
/// let limit = KBox::pin_init(RateLimit::new(), GFP_KERNEL)?;
/// let through = (0..100).filter(|_| limit.allow()).count();
/// assert!((1..100).contains(&through));
/// assert_eq!(through + limit.take_missed(), 100);
/// assert_eq!(limit.take_missed(), 0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `state` was initialised by `ratelimit_default_init()`.
#[pin_data]
pub struct RateLimit {
    #[pin]
    state: Opaque<bindings::ratelimit_state>,
}

// SAFETY: Nothing in it belongs to a task or a CPU.
unsafe impl Send for RateLimit {}
// SAFETY: By `&self` it is only given to `___ratelimit()`, which may be called at the same time
// from anywhere: it has a lock of its own.
unsafe impl Sync for RateLimit {}

impl RateLimit {
    /// A limit that nothing was counted against yet.
    pub fn new() -> impl PinInit<Self> {
        // INVARIANT: It is initialised here.
        pin_init!(Self {
            state <- Opaque::ffi_init(|slot: *mut bindings::ratelimit_state| {
                // SAFETY: By the contract of `ffi_init()`, `slot` is valid for writes, and nobody
                // else uses it yet.
                unsafe { bindings::ratelimit_default_init(slot) };
                // SAFETY: As above.
                unsafe { bindings::ratelimit_set_flags(slot, bindings::RATELIMIT_MSG_ON_RELEASE) };
            }),
        })
    }

    /// Whether an event may go through now. Any context.
    pub fn allow(&self) -> bool {
        // SAFETY: By the type invariants it was initialised, and it does not move, being pinned.
        // The name is for messages that the flag turns off.
        unsafe { bindings::___ratelimit(self.state.get(), c"".as_char_ptr()) != 0 }
    }

    /// How many events were held back since this was asked last. Any context.
    pub fn take_missed(&self) -> usize {
        // SAFETY: As in `allow()`.
        let missed = unsafe { bindings::ratelimit_state_reset_miss(self.state.get()) };
        // The C side counts up from 0.
        missed.try_into().unwrap_or(0)
    }
}
