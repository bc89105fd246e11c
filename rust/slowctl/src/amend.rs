// SPDX-License-Identifier: GPL-2.0

//! One more rule for tasks, while they run.

use crate::{
    error::{End, Error, Kind, Result},
    guard::{self, ForceArgs},
    membership::of_another_handler,
    module::{self, Group, Policy},
    output::Output,
    policy::Changed,
    rules::{syscall_number_of, Abi},
    sim::{Answer, Question},
    target::TargetArgs,
    text::Text,
};
use serde::Serialize;
use std::fmt;

/// Have the policy of tasks allow calls that it refuses
#[derive(clap::Args)]
pub struct AllowArgs {
    /// Names of calls, with commas between them
    #[arg(value_name = "SET", value_delimiter = ',', required = true)]
    calls: Vec<String>,
    #[command(flatten)]
    targets: TargetArgs,
}

/// Have the policy of tasks refuse calls
#[derive(clap::Args)]
pub struct DenyArgs {
    /// Names of calls, with commas between them
    #[arg(value_name = "SET", value_delimiter = ',', required = true)]
    calls: Vec<String>,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    force: ForceArgs,
    /// How they fail
    #[arg(long, value_name = "ERROR", default_value = "EPERM")]
    errno: String,
}

/// How rules are to be changed.
#[derive(Debug, PartialEq, Eq)]
enum Amendment {
    /// These lines come behind those that there are.
    Append(String),
    /// This is the whole text from now on, without some of the rules that there were.
    Replace { text: String, gone: Vec<String> },
}

/// The architectures that have a call.
fn abis_of(name: &str) -> impl Iterator<Item = Abi> + '_ {
    let all = Abi::ALL.into_iter();
    all.filter(move |abi| syscall_number_of(name, *abi).is_some())
}

/// Has calls get an action, whatever their arguments are.
///
/// A line that is more lenient than those that there are decides only if it comes first, in an order
/// of that kind, or if these are gone.
fn amend(rules: &str, calls: &[String], action: &str) -> Result<Amendment> {
    for call in calls {
        // A number, a range or "default" is not one call.
        if abis_of(call).next().is_none() {
            return Err(
                Error::usage(format!("'{call}' is not the name of a syscall"))
                    .help("change other rules in an editor: slowctl policy edit"),
            );
        }
    }
    let new: Vec<String> = calls
        .iter()
        .map(|call| format!("{call} {action}"))
        .collect();
    let added = new.join("\n") + "\n";
    // Whatever is wrong with it is wrong by itself, too.
    Text::parse("SET", added.as_bytes()).map_err(|places| Error::rules("SET", places))?;

    let is_first = rules.lines().any(|line| line == "order first");
    let amendment = if is_first {
        let rest = rules.lines().filter(|line| *line != "order first");
        let lines = ["order first"].into_iter().chain(added.lines()).chain(rest);
        Amendment::Replace {
            text: lines.map(|line| format!("{line}\n")).collect(),
            gone: Vec::new(),
        }
    } else {
        // What is only about these calls is what was said about them before.
        let is_about = |line: &&str| {
            let first = line.split(' ').next().unwrap_or_default();
            calls.iter().any(|call| call == first)
        };
        let is_lenient = action == "allow";
        let gone: Vec<&str> = rules
            .lines()
            .filter(|l| is_lenient && is_about(l))
            .collect();
        if gone.is_empty() {
            Amendment::Append(added.clone())
        } else {
            let rest = rules.lines().filter(|line| !is_about(line));
            Amendment::Replace {
                text: rest
                    .chain(added.lines())
                    .map(|line| format!("{line}\n"))
                    .collect(),
                gone: gone.into_iter().map(String::from).collect(),
            }
        }
    };
    check(rules, &amendment, calls, action)?;
    Ok(amendment)
}

/// Makes sure that the calls get the action by the rules as they will be, whatever their arguments
/// are, and how often they are made.
fn check(rules: &str, amendment: &Amendment, calls: &[String], action: &str) -> Result<()> {
    let text = match amendment {
        Amendment::Append(lines) => format!("{rules}\n{lines}"),
        Amendment::Replace { text, .. } => text.clone(),
    };
    let text = Text::parse("rules", text.as_bytes()).map_err(|p| Error::rules("rules", p))?;
    let canonical = text.set.to_string();
    let is_first = canonical.lines().any(|line| line == "order first");
    let still = |call: &str, abi: Abi, rule: &str| {
        let what = format!("{call} of {} would still be: {rule}", abi.name());
        Error::new(Kind::Failed, what)
            .help("that line is for other calls as well: slowctl policy edit")
    };
    for call in calls {
        for abi in abis_of(call) {
            // Each line that can be for the call may decide, unless ours comes before all.
            if let ("allow", false) = (action, is_first) {
                let mut lines = canonical.lines().filter(|line| is_for(line, call, abi));
                if let Some(line) = lines.find(|line| !is_made(line)) {
                    return Err(still(call, abi, line));
                }
            }
            let question = Question::new(abi, call, &[], None)?;
            let answer = Answer::new("rules", &text, &question);
            for by in answer.decisions {
                let is_as_said = match action {
                    "allow" => matches!(by.verdict, "allow" | "audit" | "log"),
                    _ => ["errno", "trap", "kill_thread", "kill_process"].contains(&by.verdict),
                };
                if !is_as_said {
                    return Err(still(call, abi, &by.rule.unwrap_or_default()));
                }
            }
        }
    }
    Ok(())
}

/// Whether a canonical line that is a rule is for a call, among others maybe.
fn is_for(line: &str, call: &str, abi: Abi) -> bool {
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    let arch = words
        .next()
        .filter(|word| *word == "arch")
        .and(words.next());
    if arch.is_some_and(|arch| arch != abi.name()) {
        return false;
    }
    let (from, to) = first.split_once("..").unwrap_or((first, first));
    match (from.parse(), to.parse(), syscall_number_of(call, abi)) {
        (Ok(from), Ok(to), Some(number)) => (from..=to).contains(&number),
        _ => first == call,
    }
}

/// Whether a call is made as it is, and returns what it would, by a canonical line.
fn is_made(line: &str) -> bool {
    let line = line.split(" when ").next().unwrap_or_default();
    let last = line.rsplit(' ').next().unwrap_or_default();
    matches!(last, "allow" | "audit" | "log")
        && !CHANGES
            .iter()
            .any(|word| line.split(' ').any(|other| other == *word))
}

/// What a call that is audited may have done to it besides.
const CHANGES: [&str; 10] = [
    "after",
    "return",
    "errno",
    "delay",
    "signal",
    "poke",
    "set",
    "redirect",
    "trap",
    "kill_thread",
];

/// The policies of targets, each once.
fn policies_of(targets: &TargetArgs) -> Result<Vec<Policy>> {
    let mut policies: Vec<Policy> = Vec::new();
    for target in targets.find()? {
        for (part, group) in target.parts()? {
            let policy = policy_of(&part, group.as_ref(), &target.as_option())?;
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
    }
    // Whoever else locks several does so in this order.
    policies.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(policies)
}

/// The policy that a group is under, which is that of a target.
pub fn policy_of(target: &str, group: Option<&Group>, option: &str) -> Result<Policy> {
    let group = group.ok_or_else(|| {
        Error::not_found(format!("{target} is in no group"))
            .help(format!("slowctl attach {option} --policy FILE"))
    })?;
    if !group.is_ours() {
        return Err(of_another_handler(target, group));
    }
    group.policy()?.ok_or_else(|| {
        Error::not_found(format!(
            "{target} is under no policy: its group is {}",
            group.0
        ))
    })
}

/// What was done to policies, one after the other.
#[derive(Serialize)]
struct AllChanged {
    changed: Vec<Changed>,
    /// What was not.
    errors: Vec<Error>,
}

impl fmt::Display for AllChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for changed in &self.changed {
            write!(f, "{changed}")?;
        }
        for error in &self.errors {
            writeln!(f, "not done: {error}")?;
        }
        Ok(())
    }
}

fn run(
    out: Output,
    targets: &TargetArgs,
    calls: &[String],
    action: &str,
    force: bool,
) -> Result<End> {
    targets.require()?;
    module::require()?;
    let policies = policies_of(targets)?;
    let mut locks = Vec::new();
    for policy in &policies {
        if !force {
            guard::enforced_policy(policy)?;
        }
        locks.push(policy.lock()?);
    }
    // All that can be, or nothing.
    let mut amendments = Vec::new();
    for policy in policies {
        let rules = policy.get("rules")?;
        amendments.push((policy, amend(&rules, calls, action)?));
    }
    let (mut changed, mut errors) = (Vec::new(), Vec::new());
    for (policy, amendment) in amendments {
        let (written, gone) = match amendment {
            Amendment::Append(lines) => (policy.add_rules("SET", lines.as_bytes()), Vec::new()),
            Amendment::Replace { text, gone } => (policy.set_rules("rules", text.as_bytes()), gone),
        };
        let mut done = format!("{} {action}", calls.join(","));
        if !gone.is_empty() {
            done = format!("{done}, in place of '{}'", gone.join("', '"));
        }
        match written.map_err(|refusal| refusal.into_error(&policy.0)) {
            Ok(warnings) => changed.push(Changed::new(policy, done, warnings)),
            Err(error) => errors.push(error),
        }
    }
    if changed.is_empty() && errors.len() == 1 {
        return Err(errors.remove(0));
    }
    let is_partial = !errors.is_empty();
    out.print(&AllChanged { changed, errors });
    Ok(if is_partial {
        End::Bad(Kind::Partial)
    } else {
        End::Good
    })
}

impl AllowArgs {
    pub fn run(self, out: Output) -> Result<End> {
        // It gives something back: nobody is to be asked.
        run(out, &self.targets, &self.calls, "allow", true)
    }
}

impl DenyArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let action = format!("errno {}", self.errno);
        run(out, &self.targets, &self.calls, &action, self.force.force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rules: &str, calls: &[&str], action: &str) -> Result<Amendment> {
        let calls: Vec<String> = calls.iter().map(|call| call.to_string()).collect();
        amend(rules, &calls, action)
    }

    #[test]
    fn what_a_default_refuses_is_allowed_by_one_more_line() {
        let amended = of("default errno EPERM\nread allow", &["write"], "allow").unwrap();
        assert_eq!(amended, Amendment::Append("write allow\n".into()));
    }

    #[test]
    fn what_a_line_refuses_is_allowed_in_its_place() {
        let rules = "default allow\nopenat arg0 == 1 errno EPERM\nread log\nopenat errno EIO";
        let amended = of(rules, &["openat"], "allow").unwrap();
        let Amendment::Replace { text, gone } = amended else {
            panic!("{amended:?}");
        };
        assert_eq!(text, "default allow\nread log\nopenat allow\n");
        assert_eq!(gone.len(), 2);
    }

    #[test]
    fn a_range_that_refuses_is_not_taken_away() {
        let rules = "default allow\n0..100 arch x86_64 errno EPERM";
        let error = of(rules, &["read"], "allow").unwrap_err();
        assert_eq!(error.kind, Kind::Failed);
        assert!(error.message.contains("0..100"), "{error}");
    }

    #[test]
    fn no_line_is_left_that_may_refuse_the_call() {
        for line in [
            "0..100 arch x86_64 arg0 == 7 errno EPERM",
            "0..100 arch x86_64 errno EPERM when 3",
            "0..100 arch i386 kill_process",
            "0..100 arch x86_64 delay 1s audit",
            "0..100 arch x32 arg2 > 5 after errno EIO when 1%",
        ] {
            let error = of(&format!("default allow\n{line}"), &["read"], "allow").unwrap_err();
            assert_eq!(error.kind, Kind::Failed, "{line}");
            assert!(error.message.contains(line), "{error}");
        }
        for line in [
            "100..200 arch x86_64 errno EPERM",
            "0..100 arch x86_64 arg0 == 7 log",
            "0..100 arch x86_64 audit",
            "readv errno EPERM",
            "default arch i386 errno EPERM",
        ] {
            of(&format!("default allow\n{line}"), &["read"], "allow").expect(line);
        }
        // Ours comes before it.
        let rules = "order first\ndefault allow\n0..100 arch x86_64 arg0 == 7 errno EPERM";
        of(rules, &["read"], "allow").unwrap();
    }

    #[test]
    fn defaults_stay() {
        let rules = "default errno EPERM\ndefault arch i386 errno EIO\nread errno EIO";
        let Amendment::Replace { text, gone } = of(rules, &["read"], "allow").unwrap() else {
            panic!();
        };
        assert_eq!(gone, ["read errno EIO"]);
        assert_eq!(
            text,
            "default errno EPERM\ndefault arch i386 errno EIO\nread allow\n"
        );
    }

    #[test]
    fn what_comes_first_decides_where_that_is_the_order() {
        let rules = "order first\ndefault allow\nread allow";
        let amended = of(rules, &["read"], "errno EPERM").unwrap();
        let Amendment::Replace { text, gone } = amended else {
            panic!("{amended:?}");
        };
        assert_eq!(
            text,
            "order first\nread errno EPERM\ndefault allow\nread allow\n"
        );
        assert!(gone.is_empty());
    }

    #[test]
    fn what_is_allowed_is_refused_by_one_more_line() {
        let amended = of("default allow\nread allow", &["read", "write"], "errno EIO").unwrap();
        let lines = "read errno EIO\nwrite errno EIO\n";
        assert_eq!(amended, Amendment::Append(lines.into()));
    }

    #[test]
    fn junk_is_refused() {
        // What is no name of one call, whatever the grammar makes of it.
        for junk in [
            "junk",
            "0",
            "?read",
            "0..5",
            "default",
            "order",
            "",
            "read allow",
            "#",
        ] {
            let error = of("default errno EPERM", &[junk], "allow").unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{junk}");
            let error = of("", &[junk], "errno EIO").unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{junk}");
        }
        assert_eq!(of("", &["read"], "errno X").unwrap_err().kind, Kind::Rules);
        assert_eq!(
            of("", &["restart_syscall"], "errno EIO").unwrap_err().kind,
            Kind::Rules
        );
    }
}
