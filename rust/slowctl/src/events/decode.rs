// SPDX-License-Identifier: GPL-2.0

//! Arguments of common calls in words, as strace prints them.

use super::flags::*;
use crate::rules::signal_name;

/// What an argument is.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A descriptor, or another number with a sign.
    Int,
    /// A size, or another number without.
    Uint,
    Pointer,
    /// A descriptor of a folder, or the current one.
    Folder,
    /// Permissions, as an octal number.
    Mode,
    Signal,
    /// Bits, with what stands for none of them.
    Flags(&'static [Flag], &'static str),
    /// One of several.
    One(&'static [Flag]),
    /// An access mode in the lowest two bits, and others above.
    Open,
    /// A type, and bits.
    SocketType,
    /// A signal in the lowest byte, and bits.
    Clone,
    /// A command, with bits that are not for it.
    Futex,
}

use What::*;

/// The arguments of a call by its name.
fn arguments(call: &str) -> Option<&'static [What]> {
    Some(match call {
        "read" | "write" => &[Int, Pointer, Uint],
        "pread64" | "pwrite64" => &[Int, Pointer, Uint, Int],
        "readv" | "writev" => &[Int, Pointer, Uint],
        "open" => &[Pointer, Open, Mode],
        "openat" => &[Folder, Pointer, Open, Mode],
        "creat" | "mkdir" | "chmod" => &[Pointer, Mode],
        "mkdirat" | "fchmodat" => &[Folder, Pointer, Mode],
        "mknod" => &[Pointer, Mode, Uint],
        "mknodat" => &[Folder, Pointer, Mode, Uint],
        "fchmod" => &[Int, Mode],
        "umask" => &[Mode],
        "close" | "fsync" | "fdatasync" | "dup" | "fchdir" | "exit" | "exit_group" | "syncfs" => {
            &[Int]
        }
        "dup2" => &[Int, Int],
        "dup3" => &[Int, Int, Flags(O_FLAGS, "0")],
        "pipe" | "chdir" | "rmdir" | "unlink" | "chroot" | "umount" | "swapoff" | "acct" => {
            &[Pointer]
        }
        "pipe2" => &[Pointer, Flags(O_FLAGS, "0")],
        "unlinkat" => &[Folder, Pointer, Flags(UNLINK, "0")],
        "rename" | "link" | "symlink" | "pivot_root" => &[Pointer, Pointer],
        "renameat" => &[Folder, Pointer, Folder, Pointer],
        "renameat2" => &[Folder, Pointer, Folder, Pointer, Flags(RENAME, "0")],
        "linkat" => &[Folder, Pointer, Folder, Pointer, Flags(AT, "0")],
        "symlinkat" => &[Pointer, Folder, Pointer],
        "readlink" => &[Pointer, Pointer, Uint],
        "readlinkat" => &[Folder, Pointer, Pointer, Uint],
        "stat" | "lstat" | "statfs" | "stat64" | "lstat64" => &[Pointer, Pointer],
        "fstat" | "fstatfs" | "fstat64" => &[Int, Pointer],
        "newfstatat" => &[Folder, Pointer, Pointer, Flags(AT, "0")],
        "statx" => &[Folder, Pointer, Flags(AT, "0"), Flags(&[], "0"), Pointer],
        "access" => &[Pointer, Flags(ACCESS, "F_OK")],
        "faccessat" => &[Folder, Pointer, Flags(ACCESS, "F_OK")],
        "faccessat2" => &[Folder, Pointer, Flags(ACCESS, "F_OK"), Flags(AT, "0")],
        "chown" | "lchown" => &[Pointer, Int, Int],
        "fchown" => &[Int, Int, Int],
        "fchownat" => &[Folder, Pointer, Int, Int, Flags(AT, "0")],
        "truncate" => &[Pointer, Int],
        "ftruncate" => &[Int, Int],
        "lseek" => &[Int, Int, One(SEEK)],
        "fcntl" | "fcntl64" => &[Int, One(FCNTL), Pointer],
        "ioctl" => &[Int, One(IOCTL), Pointer],
        "flock" => &[Int, Flags(FLOCK, "0")],
        "execve" => &[Pointer, Pointer, Pointer],
        "execveat" => &[Folder, Pointer, Pointer, Pointer, Flags(AT, "0")],
        "mount" => &[Pointer, Pointer, Pointer, Flags(MOUNT, "0"), Pointer],
        "umount2" => &[Pointer, Flags(UMOUNT, "0")],
        "mmap" => &[
            Pointer,
            Uint,
            Flags(PROT, "PROT_NONE"),
            Flags(MAP, "0"),
            Int,
            Pointer,
        ],
        "mprotect" => &[Pointer, Uint, Flags(PROT, "PROT_NONE")],
        "munmap" => &[Pointer, Uint],
        "brk" | "set_tid_address" | "time" => &[Pointer],
        "mremap" => &[Pointer, Uint, Uint, Flags(MREMAP, "0"), Pointer],
        "madvise" => &[Pointer, Uint, One(MADVISE)],
        "msync" => &[Pointer, Uint, Flags(MSYNC, "0")],
        "memfd_create" => &[Pointer, Flags(MEMFD, "0")],
        "socket" => &[One(FAMILY), SocketType, Int],
        "socketpair" => &[One(FAMILY), SocketType, Int, Pointer],
        "bind" | "connect" => &[Int, Pointer, Uint],
        "listen" => &[Int, Int],
        "accept" | "getsockname" | "getpeername" => &[Int, Pointer, Pointer],
        "accept4" => &[Int, Pointer, Pointer, Flags(SOCK_FLAGS, "0")],
        "sendto" | "recvfrom" => &[Int, Pointer, Uint, Flags(MSG, "0"), Pointer, Pointer],
        "sendmsg" | "recvmsg" => &[Int, Pointer, Flags(MSG, "0")],
        "shutdown" => &[Int, One(SHUTDOWN)],
        "setsockopt" => &[Int, One(LEVEL), Int, Pointer, Uint],
        "getsockopt" => &[Int, One(LEVEL), Int, Pointer, Pointer],
        "epoll_create1" => &[Flags(EPOLL_CREATE, "0")],
        "epoll_ctl" => &[Int, One(EPOLL_OP), Int, Pointer],
        "epoll_wait" => &[Int, Pointer, Int, Int],
        "poll" => &[Pointer, Uint, Int],
        "eventfd2" => &[Uint, Flags(EVENTFD, "0")],
        "kill" | "tkill" => &[Int, Signal],
        "tgkill" => &[Int, Int, Signal],
        "rt_sigaction" => &[Signal, Pointer, Pointer, Uint],
        "rt_sigprocmask" => &[One(SIGMASK), Pointer, Pointer, Uint],
        "clone" => &[Clone, Pointer, Pointer, Pointer, Pointer],
        "clone3" => &[Pointer, Uint],
        "unshare" => &[Flags(CLONE, "0")],
        "setns" => &[Int, Flags(CLONE, "0")],
        "wait4" => &[Int, Pointer, Flags(WAIT, "0"), Pointer],
        "waitid" => &[One(WAIT_ID), Int, Pointer, Flags(WAIT, "0"), Pointer],
        "ptrace" => &[One(PTRACE), Int, Pointer, Pointer],
        "prctl" => &[One(PRCTL), Pointer, Pointer, Pointer, Pointer],
        "bpf" => &[One(BPF), Pointer, Uint],
        "futex" => &[Pointer, Futex, Uint, Pointer, Pointer, Uint],
        "nanosleep" => &[Pointer, Pointer],
        "clock_gettime" | "clock_settime" => &[One(CLOCK), Pointer],
        "clock_nanosleep" => &[One(CLOCK), Flags(TIMER, "0"), Pointer, Pointer],
        "timerfd_create" => &[One(CLOCK), Flags(O_FLAGS, "0")],
        "getrandom" => &[Pointer, Uint, Flags(RANDOM, "0")],
        "init_module" => &[Pointer, Uint, Pointer],
        "setuid" | "setgid" | "getpgid" | "getsid" => &[Int],
        "setresuid" | "setresgid" => &[Int, Int, Int],
        "setreuid" | "setregid" | "setpgid" => &[Int, Int],
        "io_uring_setup" => &[Uint, Pointer],
        "getpid" | "getppid" | "gettid" | "getuid" | "geteuid" | "getgid" | "getegid"
        | "getpgrp" | "sched_yield" | "setsid" | "sync" | "fork" | "vfork" | "pause"
        | "rt_sigreturn" => &[],
        _ => return None,
    })
}

/// The arguments of a call; those of others are hexadecimal numbers.
pub fn decode(call: &str, values: &[u64; 6]) -> Vec<String> {
    match arguments(call) {
        Some(kinds) => {
            let kinds = match (call, kinds) {
                // What is made has a mode.
                ("open", [head @ .., Mode]) if !makes(values[1]) => head,
                ("openat", [head @ .., Mode]) if !makes(values[2]) => head,
                _ => kinds,
            };
            kinds
                .iter()
                .zip(values)
                .map(|(kind, value)| argument(*kind, *value))
                .collect()
        }
        None => values.iter().map(|value| format!("{value:#x}")).collect(),
    }
}

fn makes(flags: u64) -> bool {
    flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE
}

fn argument(what: What, value: u64) -> String {
    // CAST: What the kernel takes of a register for an int.
    let int = value as i32;
    let low = u64::from(value as u32);
    match what {
        Int if value > u64::from(u32::MAX) => (value as i64).to_string(),
        Int => int.to_string(),
        Uint => value.to_string(),
        Pointer if value == 0 => "NULL".into(),
        Pointer => format!("{value:#x}"),
        Folder if int == AT_FDCWD => "AT_FDCWD".into(),
        Folder => int.to_string(),
        Mode => format!("0{:0>2}", format!("{:o}", low & 0o177_777)),
        Signal => signal(low),
        Flags(names, none) => bits(low, names, none),
        One(names) => one(low, names),
        Open => {
            let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
            with(access.into(), bits(low & !3, O_FLAGS, ""))
        }
        SocketType => with(one(low & 0xf, SOCK_TYPE), bits(low & !0xf, SOCK_FLAGS, "")),
        Clone => {
            let said = bits(value & !0xff, CLONE, "");
            match value & 0xff {
                0 => with(said, String::new()),
                number => with(said, signal(number)),
            }
        }
        Futex => with(one(low & 0x7f, FUTEX), bits(low & !0x7f, FUTEX_FLAGS, "")),
    }
}

fn signal(number: u64) -> String {
    let name = u8::try_from(number).ok().and_then(signal_name);
    name.map_or(number.to_string(), String::from)
}

fn with(first: String, rest: String) -> String {
    match (first.is_empty(), rest.is_empty()) {
        (true, true) => "0".into(),
        (_, true) => first,
        (true, false) => rest,
        (false, false) => format!("{first}|{rest}"),
    }
}

fn one(value: u64, names: &[Flag]) -> String {
    let name = names.iter().find(|(number, _)| *number == value);
    name.map_or(format!("{value:#x}"), |(_, name)| name.to_string())
}

/// The names of bits, and what is left of them as a number.
fn bits(value: u64, names: &[Flag], none: &str) -> String {
    let mut left = value;
    let mut said = Vec::new();
    for (bits, name) in names {
        if *bits != 0 && left & bits == *bits {
            said.push(name.to_string());
            left &= !bits;
        }
    }
    if left != 0 {
        said.push(format!("{left:#x}"));
    }
    match said.is_empty() {
        true => none.into(),
        false => said.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(call: &str, values: [u64; 6]) -> String {
        decode(call, &values).join(", ")
    }

    #[test]
    fn as_strace_says_it() {
        let cwd = -100i64 as u64;
        assert_eq!(
            said("openat", [cwd, 0x7f00, 0o2101, 0o644, 0, 0]),
            "AT_FDCWD, 0x7f00, O_WRONLY|O_CREAT|O_APPEND, 0644"
        );
        assert_eq!(
            said("openat", [5, 0x7f00, 0o2000000, 1, 0, 0]),
            "5, 0x7f00, O_RDONLY|O_CLOEXEC"
        );
        assert_eq!(
            said("mmap", [0, 4096, 3, 0x22, u64::MAX, 0]),
            "NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, NULL"
        );
        // An int, whatever is above it.
        assert_eq!(
            said("socket", [2, 0x80801, 0, 0, 0, 0]),
            "AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0"
        );
        assert_eq!(said("kill", [0xffff_ffff, 9, 0, 0, 0, 0]), "-1, SIGKILL");
        assert_eq!(said("kill", [7, 40, 0, 0, 0, 0]), "7, 40");
        assert_eq!(said("access", [1, 0, 0, 0, 0, 0]), "0x1, F_OK");
        assert_eq!(said("mkdir", [1, 0o777, 0, 0, 0, 0]), "0x1, 0777");
        assert_eq!(said("mkdir", [1, 0o1777, 0, 0, 0, 0]), "0x1, 01777");
        assert_eq!(said("mkdir", [1, 0, 0, 0, 0, 0]), "0x1, 000");
        assert_eq!(
            said("unshare", [0x1002_0000, 0, 0, 0, 0, 0]),
            "CLONE_NEWNS|CLONE_NEWUSER"
        );
        assert_eq!(
            said("clone", [17, 0, 0, 0, 0, 0]),
            "SIGCHLD, NULL, NULL, NULL, NULL"
        );
        assert_eq!(said("flock", [1, 0x80, 0, 0, 0, 0]), "1, 0x80");
        assert_eq!(said("getpid", [1; 6]), "");
        assert_eq!(
            said("quotactl", [1, 0, 0, 0, 0, 0]),
            "0x1, 0x0, 0x0, 0x0, 0x0, 0x0"
        );
    }

    #[test]
    fn flags_are_not_there_twice() {
        for names in [O_FLAGS, MAP, CLONE, MSG, MOUNT, AT, PROT, MEMFD, WAIT] {
            for (index, (bits, name)) in names.iter().enumerate() {
                let other = names[..index]
                    .iter()
                    .find(|(other, _)| other & bits == *other);
                assert!(other.is_none(), "{name} is never said: {other:?}");
            }
        }
    }
}
