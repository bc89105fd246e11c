// SPDX-License-Identifier: GPL-2.0

//! What the outcome of a test can depend on, besides the code: a machine that differs in it from the
//! default one runs the test as well, and no other does.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Dependency {
    /// What the CPU needs done at each entry and exit: page-table isolation, untraining, clearing
    /// buffers and the divider. For tests of what crosses that border.
    Mitigations,
    /// The instruction by which 32-bit programs enter, SYSENTER or SYSCALL.
    CompatEntry,
    /// `syscall_fastpath=`. For tests of what differs between the assembly and `do_syscall_64()`.
    FastPath,
    /// `syscall.x32=`
    X32,
    /// `vsyscall=`
    Vsyscall,
    /// How many CPUs there are. For tests in which tasks run at the same time.
    Cpus,
    /// Time that passes meanwhile, as it does more of if CPUs have to wait for each other.
    Time,
}

/// A set of them.
#[derive(Clone, Copy)]
pub struct Dependencies(u8);

impl Dependencies {
    pub const fn new(all: &[Dependency]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < all.len() {
            bits |= 1 << all[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    pub fn intersect(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn iter(self) -> impl Iterator<Item = &'static Dependency> {
        let all = Dependency::value_variants().iter();
        all.filter(move |&&one| self.0 & 1 << one as u8 != 0)
    }
}

impl std::fmt::Display for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for one in self.iter() {
            let name = one.to_possible_value();
            write!(
                f,
                "{separator}{}",
                name.as_ref().map_or("", |n| n.get_name())
            )?;
            separator = ",";
        }
        Ok(())
    }
}
