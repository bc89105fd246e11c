// SPDX-License-Identifier: GPL-2.0

//! Sets of calls as strace(1) writes them: `open,close`, `%file`, `/^read`, `!all@32`.

use super::classes::{class, OLD};
use crate::{
    error::{Error, Result},
    lines::{Number, NUMBERS},
    rules::{syscall_name_of, syscall_number_of, Abi},
};
use regex_lite::Regex;
use std::collections::BTreeSet;

/// What is called: a number, or what `socketcall` and `ipc` of i386 are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Callee {
    /// By the index of the architecture.
    Number(usize, u16),
    Socketcall(u16),
    Ipc(u16),
}

/// What `socketcall` does, by its first argument, from 1.
const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// What `ipc` does, by the lower half of its first argument.
const IPCS: [(u16, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// The highest number of `socketcall`.
pub const LAST_SOCKETCALL: usize = SOCKETCALLS.len();

/// All that is called, each with its name.
pub fn all() -> impl Iterator<Item = (Callee, &'static str)> {
    let numbers = Abi::ALL.into_iter().flat_map(|abi| {
        NUMBERS.filter_map(move |number| {
            let name = syscall_name_of(i32::from(number), abi)?;
            Some((Callee::Number(abi as usize, number), name))
        })
    });
    let socketcalls = (1..).zip(SOCKETCALLS);
    let socketcalls = socketcalls.map(|(number, name)| (Callee::Socketcall(number), name));
    let ipcs = IPCS.map(|(number, name)| (Callee::Ipc(number), name));
    numbers.chain(socketcalls).chain(ipcs)
}

impl Callee {
    pub fn abi(self) -> Abi {
        match self {
            Self::Number(index, _) => Abi::ALL[index],
            Self::Socketcall(_) | Self::Ipc(_) => Abi::I386,
        }
    }

    /// The call that enters the kernel for it.
    pub fn number(self) -> Number {
        let of_i386 = |name| syscall_number_of(name, Abi::I386).unwrap_or_default();
        match self {
            Self::Number(index, number) => (Abi::ALL[index], number),
            Self::Socketcall(_) => (Abi::I386, of_i386("socketcall")),
            Self::Ipc(_) => (Abi::I386, of_i386("ipc")),
        }
    }
}

/// Whether a call has a name.
pub fn is_known(callee: Callee) -> bool {
    all().any(|(other, _)| other == callee)
}

pub type Set = BTreeSet<Callee>;

/// Reads a set; negated by `!`.
pub fn parse(text: &str) -> Result<Set> {
    let list = text.trim_start_matches('!');
    let is_negated = (text.len() - list.len()) % 2 == 1;
    let mut set = Set::new();
    if list != "none" {
        let tokens: Vec<&str> = list.split(',').filter(|token| !token.is_empty()).collect();
        if tokens.is_empty() {
            return Err(Error::usage(format!("'{text}' is not a set of calls"))
                .help("like openat,close or %file or /^read"));
        }
        for token in tokens {
            set.extend(parse_token(token)?);
        }
    }
    if is_negated {
        set = all()
            .map(|(callee, _)| callee)
            .filter(|callee| !set.contains(callee))
            .collect();
    }
    Ok(set)
}

fn parse_token(token: &str) -> Result<Set> {
    let bare = token.trim_start_matches('?');
    let may_be_none = bare.len() < token.len();
    let (bare, abi) = match bare.rsplit_once('@') {
        None => (bare, None),
        Some((bare, word)) => {
            let abi = match word {
                "64" => Abi::X86_64,
                "32" => Abi::I386,
                "x32" => Abi::X32,
                _ => {
                    let what = format!("'{token}': '{word}' is not an architecture");
                    return Err(Error::usage(what).help("one of 64, 32, x32"));
                }
            };
            (bare, Some(abi))
        }
    };
    let set: Set = matcher(bare)?
        .into_iter()
        .filter(|callee| abi.is_none_or(|abi| callee.abi() == abi))
        .collect();
    if set.is_empty() && !may_be_none {
        return Err(
            Error::usage(format!("'{token}' is no call, and no class of calls"))
                .help(format!("if this is meant to be left out: '?{bare}'")),
        );
    }
    Ok(set)
}

/// What a word means on all architectures.
fn matcher(word: &str) -> Result<Set> {
    let by_name = |is_it: &dyn Fn(&str) -> bool| {
        let all = all().filter(|(_, name)| is_it(name));
        all.map(|(callee, _)| callee).collect()
    };
    if word == "all" {
        return Ok(by_name(&|_| true));
    }
    if let Some(expression) = word.strip_prefix('/') {
        // What differs from the expressions that strace takes.
        if expression.contains('\\') || expression.contains("(?") {
            let what = format!("'{expression}': '\\' and '(?' are not taken in expressions");
            return Err(Error::usage(what).help("names have letters, digits and '_' only"));
        }
        let expression = Regex::new(expression)
            .map_err(|e| Error::usage(format!("'{expression}' is not an expression: {e}")))?;
        return Ok(by_name(&|name| expression.is_match(name)));
    }
    let of_class = word
        .strip_prefix('%')
        .or(OLD.contains(&word).then_some(word));
    if let Some(names) = of_class.and_then(class) {
        return Ok(by_name(&|name| names.contains(&name)));
    }
    if !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_digit()) {
        let number = word.parse::<u16>().ok();
        let is_it = |callee: &Callee| matches!(callee, Callee::Number(_, n) if Some(*n) == number);
        return Ok(all().map(|(callee, _)| callee).filter(is_it).collect());
    }
    Ok(by_name(&|name| name == word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::classes::PURE;

    fn names(set: &str) -> Vec<&'static str> {
        let set = parse(set).unwrap_or_else(|e| panic!("{set}: {e}"));
        let all = all().filter(|(callee, _)| set.contains(callee));
        all.map(|(_, name)| name).collect()
    }

    #[test]
    fn a_name_is_for_each_architecture() {
        assert_eq!(names("openat"), ["openat"; 3]);
        assert_eq!(names("openat@64"), ["openat"]);
        assert_eq!(names("mmap2"), ["mmap2"]);
        // As a call, and by socketcall.
        assert_eq!(names("socket"), ["socket"; 4]);
        assert_eq!(parse("send").unwrap(), Set::from([Callee::Socketcall(9)]));
        assert_eq!(names("shmat@32"), ["shmat"; 2]);
        assert_eq!(names("39@64"), ["getpid"]);
    }

    #[test]
    fn sets_are_put_together() {
        assert_eq!(names("close@64,,openat@64,"), ["close", "openat"]);
        assert_eq!(names("/^chdir$|^chroot$"), names("chdir,chroot"));
        assert!(names("!openat").len() == all().count() - 3);
        assert_eq!(names("!!openat"), names("openat"));
        assert_eq!(names("?nosuch,openat"), names("openat"));
        assert!(names("none").is_empty() && names("!all").is_empty());
        assert_eq!(names("!none").len(), all().count());
        assert_eq!(names("%%stat"), names("%stat,%lstat,%fstat"));
        assert_eq!(names("file"), names("%file"));
        // Without a sign it is the call of that name.
        assert_eq!(names("stat@64"), ["stat"]);
        assert_eq!(names("%net"), names("network"));
    }

    #[test]
    fn classes_name_calls() {
        for name in [
            "clock", "creds", "desc", "file", "fstat", "fstatfs", "ipc", "lstat", "memory", "net",
            "process", "pure", "signal", "stat", "statfs", "%stat", "%statfs",
        ] {
            let known: BTreeSet<&str> = all().map(|(_, name)| name).collect();
            let names = class(name).unwrap();
            assert!(!names.is_empty());
            let unknown: Vec<_> = names.iter().filter(|name| !known.contains(*name)).collect();
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
        }
        assert!(PURE.contains("getpid"));
    }

    #[test]
    fn junk_is_refused() {
        for junk in [
            "",
            "!",
            "nosuch",
            "%nosuch",
            "%all",
            "creds",
            "clock",
            "pure",
            "net",
            "openat,!close",
            "openat@16",
            "@64",
            "none@64",
            "openat,none",
            "socketcall@64",
            "9999",
            "600",
            "0x50",
            "-1",
            "/(",
            "/^nosuch",
            "/\\bch",
            "openat@64@32",
            "!nosuch",
        ] {
            assert!(parse(junk).is_err(), "{junk}");
        }
    }
}
