// SPDX-License-Identifier: GPL-2.0

//! Modules that consist of one handler.

use super::{
    Follow,
    Group,
    Handler,
    Registration,
    Whom, //
};
use crate::{
    module_param::ShortString,
    prelude::*,
    task::Pid, //
};

/// Declares a module that makes a group of a [`Handler`] when it is loaded, for a task, a process,
/// or cgroups.
///
/// For which, the module's parameters say: `tid` is that of a task, `pid` that of a process, all
/// threads of which join; and `group` names the group, for cgroups to have: with this one nobody
/// need join. Without it the group is named as the module. There may be other parameters. Loading
/// fails with `ESRCH` if there is nobody to join, and with `EBUSY` if who should is in a group
/// already. The group's tasks are let go when the module is unloaded.
///
/// - `type`: the handler.
/// - `data`: an initializer for it, or `Ok` and a value. What this makes is dropped if nobody can
///   join; with `tid` alone, when the last task has left; else when the module is unloaded.
/// - `follow`: which new tasks of the group's tasks come to it, as a [`Follow`]. Without it, of a
///   task none do, and of a process its threads.
/// - `params`: more parameters, if any. These come first, in this order.
/// - All else is for [`module!`].
///
/// [`Follow`]: super::Follow
/// [`Handler`]: super::Handler
/// [`module!`]: crate::prelude::module
///
/// # Examples
///
/// This is all of a module that counts the calls of a process and of its children, but for its
/// first line, which names the license:
///
/// ```ignore
/// //! Counts syscalls: `insmod count_calls.ko pid=PID`.
///
/// use kernel::{
///     prelude::*,
///     sync::atomic::{ordering::Relaxed, Atomic},
///     syscall_slowpath::{Entry, Follow, Handler, Verdict},
/// };
///
/// kernel::module_syscall_handler! {
///     type: Calls,
///     data: try_init!(Calls { count: Atomic::new(0) }),
///     // The threads and children, too.
///     follow: Follow::All,
///     name: "count_calls",
///     authors: ["You"],
///     description: "Counts the syscalls of a process",
///     license: "GPL",
/// }
///
/// // What belongs to one group. Its functions may run for several tasks at a time.
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
    (
        @module $type:ty, $data:expr, $follow:expr, { $($params:tt)* }, $($f:tt)*
    ) => {
        #[$crate::prelude::pin_data]
        struct HandlerModule {
            _group: ::core::option::Option<$crate::syscall_slowpath::Group<$type>>,
            #[pin]
            registration: $crate::syscall_slowpath::Registration<$type>,
        }

        impl $crate::InPlaceModule for HandlerModule {
            fn init(
                _module: &'static $crate::ThisModule
            ) -> impl ::pin_init::PinInit<Self, $crate::error::Error> {
                let data = $data;
                let follow: ::core::option::Option<$crate::syscall_slowpath::Follow> = $follow;
                $crate::try_pin_init!(Self {
                    registration <- $crate::syscall_slowpath::Registration::new(),
                    _group: registration.group_of_module(
                        <HandlerModule as $crate::ModuleMetadata>::NAME,
                        module_parameters::tid.value(),
                        module_parameters::pid.value(),
                        module_parameters::group.value_ref(),
                        follow,
                        data,
                    )?,
                })
            }
        }

        $crate::prelude::module! {
            type: HandlerModule,
            $($f)*
            params: {
                tid: i32 {
                    default: 0,
                    description: "The task to join",
                },
                pid: i32 {
                    default: 0,
                    description: "The process to join",
                },
                group: str {
                    default: $crate::module_param::ShortString::EMPTY,
                    description: "The name of the group, which cgroups can have",
                },
                $($params)*
            },
        }
    };
    (
        type: $type:ty, data: $data:expr, follow: $follow:expr, params: $params:tt, $($f:tt)*
    ) => {
        $crate::module_syscall_handler! {
            @module $type, $data, ::core::option::Option::Some($follow), $params, $($f)*
        }
    };
    (type: $type:ty, data: $data:expr, follow: $follow:expr, $($f:tt)*) => {
        $crate::module_syscall_handler! {
            @module $type, $data, ::core::option::Option::Some($follow), {}, $($f)*
        }
    };
    (type: $type:ty, data: $data:expr, params: $params:tt, $($f:tt)*) => {
        $crate::module_syscall_handler! {
            @module $type, $data, ::core::option::Option::None, $params, $($f)*
        }
    };
    (type: $type:ty, data: $data:expr, $($f:tt)*) => {
        $crate::module_syscall_handler! {
            @module $type, $data, ::core::option::Option::None, {}, $($f)*
        }
    };
}

impl<T: Handler> Registration<T> {
    /// For [`module_syscall_handler!`].
    ///
    /// [`module_syscall_handler!`]: crate::module_syscall_handler
    #[doc(hidden)]
    pub fn group_of_module(
        &self,
        name: &CStr,
        tid: Pid,
        pid: Pid,
        group: &ShortString,
        follow: Option<Follow>,
        data: impl PinInit<T, Error>,
    ) -> Result<Option<Group<T>>> {
        if tid != 0 && pid != 0 {
            return Err(EINVAL);
        }
        let given = group.as_c_str();
        if pid == 0 && given.is_empty() {
            self.attach_tid(tid, name, follow.unwrap_or(Follow::None), data)?;
            // It ends with its tasks, or with this registration.
            return Ok(None);
        }
        let name = if given.is_empty() { name } else { given };
        let of_task = if tid == 0 {
            Follow::Threads
        } else {
            Follow::None
        };
        let group = self.group(name, follow.unwrap_or(of_task), data)?;
        if tid != 0 {
            group.join(&Whom::task(tid))?;
        } else if pid != 0 {
            group.join(&Whom::process(pid))?;
        }
        Ok(Some(group))
    }
}
