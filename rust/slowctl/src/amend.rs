// SPDX-License-Identifier: GPL-2.0

//! One more rule for tasks, while they run.

use crate::{
    error::{End, Error, Kind, Result},
    module::{self, Policy},
    output::Output,
    policy::{groups_under, Changed},
    rules::{syscall_number_of, Abi},
    sim::{Answer, Question},
    target::{Target, TargetArgs},
    text::Text,
};

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

/// Makes sure that the calls get the action by the rules as they will be.
fn check(rules: &str, amendment: &Amendment, calls: &[String], action: &str) -> Result<()> {
    let text = match amendment {
        Amendment::Append(lines) => format!("{rules}\n{lines}"),
        Amendment::Replace { text, .. } => text.clone(),
    };
    let text = Text::parse("rules", text.as_bytes()).map_err(|p| Error::rules("rules", p))?;
    for call in calls {
        for abi in abis_of(call) {
            let question = Question::new(abi, call, &[], None)?;
            let answer = Answer::new("rules", &text, &question);
            let by = answer.decisions.first();
            let is_allow = by.is_none_or(|by| by.verdict == "allow");
            let rule = by.and_then(|by| by.rule.clone()).unwrap_or_default();
            if (action == "allow") != is_allow {
                let what = format!("{call} of {} would still be: {rule}", abi.name());
                return Err(Error::new(Kind::Failed, what)
                    .help("that line is for other calls as well: slowctl policy edit"));
            }
        }
    }
    Ok(())
}

/// The policies of targets, each once.
fn policies_of(targets: &TargetArgs) -> Result<Vec<Policy>> {
    let mut policies: Vec<Policy> = Vec::new();
    for target in targets.find()? {
        let policy = policy_of(&target)?;
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    Ok(policies)
}

/// The policy that a target is under.
pub fn policy_of(target: &Target) -> Result<Policy> {
    let group = target.group()?.ok_or_else(|| {
        Error::not_found(format!("{target} is in no group")).help(format!(
            "slowctl attach {} --policy FILE",
            target.as_option()
        ))
    })?;
    let policy = if group.exists() {
        group.policy()?
    } else {
        let tid = group.0.parse().unwrap_or_default();
        let name = module::get_of_task(tid, "policy").map_err(|_| {
            let what = format!("{target} is in the group {} of another handler", group.0);
            Error::not_found(what)
        })?;
        (name != module::NONE).then_some(Policy(name))
    };
    policy.ok_or_else(|| {
        Error::not_found(format!(
            "{target} is under no policy: its group is {}",
            group.0
        ))
    })
}

fn run(out: Output, targets: &TargetArgs, calls: &[String], action: &str) -> Result<End> {
    targets.require()?;
    module::require()?;
    let policies = policies_of(targets)?;
    // All that can be, or nothing.
    let mut amendments = Vec::new();
    for policy in policies {
        let rules = policy.get("rules")?;
        amendments.push((policy, amend(&rules, calls, action)?));
    }
    for (policy, amendment) in amendments {
        let (written, gone) = match amendment {
            Amendment::Append(lines) => (policy.add_rules("SET", lines.as_bytes()), Vec::new()),
            Amendment::Replace { text, gone } => (policy.set_rules("rules", text.as_bytes()), gone),
        };
        let warnings = written.map_err(|refusal| refusal.into_error(&policy.0))?;
        let mut done = format!("{} {action}", calls.join(","));
        if !gone.is_empty() {
            done = format!("{done}, in place of '{}'", gone.join("', '"));
        }
        out.print(&Changed {
            groups: groups_under(&policy)?,
            policy: policy.0,
            done,
            warnings,
        });
    }
    Ok(End::Good)
}

impl AllowArgs {
    pub fn run(self, out: Output) -> Result<End> {
        run(out, &self.targets, &self.calls, "allow")
    }
}

impl DenyArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let action = format!("errno {}", self.errno);
        run(out, &self.targets, &self.calls, &action)
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
        assert_eq!(of("", &["junk"], "allow").unwrap_err().kind, Kind::Rules);
        assert_eq!(of("", &["read"], "errno X").unwrap_err().kind, Kind::Rules);
        assert_eq!(
            of("", &["restart_syscall"], "errno EIO").unwrap_err().kind,
            Kind::Rules
        );
    }
}
