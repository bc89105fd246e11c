// SPDX-License-Identifier: GPL-2.0

//! Modules that consist of one handler.

/// Declares a module that attaches one task to a [`Handler`] when it is loaded.
///
/// Which task, the module's parameter `tid` says; there may be others. Loading fails if there is no
/// such task, or if it is attached already. The task is let go when the module is unloaded.
///
/// - `type`: the handler.
/// - `data`: an initializer for it, or `Ok` and a value. What this makes is dropped if the task
///   cannot be attached.
/// - `params`: more parameters, if any. These three come first.
/// - All else is for [`module!`].
///
/// [`Handler`]: super::Handler
/// [`module!`]: crate::prelude::module
///
/// # Examples
///
/// This is all of a module that counts the calls of a task and of its children, but for its first
/// line, which names the license:
///
/// ```ignore
/// //! Counts syscalls: `insmod count_calls.ko tid=TID`.
///
/// use kernel::{
///     prelude::*,
///     sync::atomic::{ordering::Relaxed, Atomic},
///     syscall_slowpath::{Entry, Handler, Verdict},
///     task::Task,
/// };
///
/// kernel::module_syscall_handler! {
///     type: Calls,
///     data: try_init!(Calls { count: Atomic::new(0) }),
///     name: "count_calls",
///     authors: ["You"],
///     description: "Counts the syscalls of a task",
///     license: "GPL",
/// }
///
/// // What belongs to one attachment. Its functions may run for several tasks at a time.
/// struct Calls {
///     count: Atomic<u64>,
/// }
///
/// #[vtable]
/// impl Handler for Calls {
///     fn enter(&self, _call: Entry<'_>) -> Verdict {
///         self.count.add(1, Relaxed);
///         Verdict::Call
///     }
///
///     // To follow the threads and children of the task, too.
///     fn inherit(&self, _child: &Task) -> bool {
///         true
///     }
/// }
///
/// impl Drop for Calls {
///     fn drop(&mut self) {
///         pr_info!("{} calls\n", self.count.load(Relaxed));
///     }
/// }
/// ```
///
/// It is built by a line in a `Kbuild` file, `obj-m := count_calls.o`; its name is that of the
/// file. If there is no such task, loading fails with `ESRCH`, for which `insmod` has words of its
/// own ("Module has wrong symbol version"). `kernel/slowpath/samples/` in the kernel tree has more
/// of this kind.
#[macro_export]
macro_rules! module_syscall_handler {
    (type: $type:ty, data: $data:expr, params: { $($params:tt)* }, $($f:tt)*) => {
        #[$crate::prelude::pin_data]
        struct HandlerModule {
            #[pin]
            registration: $crate::syscall_slowpath::Registration<$type>,
        }

        impl $crate::InPlaceModule for HandlerModule {
            fn init(
                _module: &'static $crate::ThisModule
            ) -> impl ::pin_init::PinInit<Self, $crate::error::Error> {
                let data = $data;
                $crate::try_pin_init!(Self {
                    registration <- $crate::syscall_slowpath::Registration::new(),
                })
                .pin_chain(move |this| {
                    let tid = module_parameters::tid.value();
                    this.registration.attach_tid(tid, data).map(drop)
                })
            }
        }

        $crate::prelude::module! {
            type: HandlerModule,
            $($f)*
            params: {
                tid: i32 {
                    default: 0,
                    description: "The task to attach",
                },
                $($params)*
            },
        }
    };
    (type: $type:ty, data: $data:expr, $($f:tt)*) => {
        $crate::module_syscall_handler! { type: $type, data: $data, params: {}, $($f)* }
    };
}
