// SPDX-License-Identifier: GPL-2.0

//! Capabilities.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::{
    bindings,
    prelude::*, //
};

/// What a privileged task may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capability(c_int);

impl Capability {
    /// `CAP_SYS_ADMIN`
    // CAST: Capability numbers are small.
    pub const SYS_ADMIN: Self = Self(bindings::CAP_SYS_ADMIN as c_int);
    /// `CAP_SYS_PTRACE`
    // CAST: As above.
    pub const SYS_PTRACE: Self = Self(bindings::CAP_SYS_PTRACE as c_int);
}

/// Whether the current task has this capability in the initial user namespace. Marks the task as
/// one that has used its privileges, if so. Process context.
#[inline]
pub fn capable(capability: Capability) -> bool {
    // SAFETY: The C function looks at the current task, which there always is. The number is that
    // of a capability, as there are no other values of the type.
    unsafe { bindings::capable(capability.0) }
}
