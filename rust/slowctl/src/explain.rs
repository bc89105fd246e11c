// SPDX-License-Identifier: GPL-2.0

//! What would become of a call that a task made now.

use crate::{
    amend::policy_of,
    check::CallArgs,
    error::{End, Error, Result},
    membership::of_another_handler,
    module::{self, Group},
    output::Output,
    sim::{Answer, Question},
    target::TargetArgs,
    text::Text,
};
use serde::Serialize;
use std::fmt;

/// Say which policy and line would decide now about a call of tasks
#[derive(clap::Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    targets: TargetArgs,
}

#[derive(Serialize)]
struct Explained {
    target: String,
    group: Option<String>,
    /// Whether anything judges its calls.
    judged: bool,
    why_not: Option<String>,
    policy: Option<String>,
    mode: Option<String>,
    answer: Option<Answer>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllExplained(Vec<Explained>);

impl fmt::Display for AllExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for explained in &self.0 {
            let group = explained.group.as_deref().unwrap_or(module::NONE);
            write!(f, "{}: group {group}", explained.target)?;
            if let (Some(policy), Some(mode)) = (&explained.policy, &explained.mode) {
                write!(f, ", policy {policy}, mode {mode}")?;
            }
            writeln!(f)?;
            if let Some(why) = &explained.why_not {
                writeln!(f, "    its calls are made: {why}")?;
            }
            if let Some(answer) = &explained.answer {
                write!(f, "{answer}")?;
                if explained.mode.as_deref() == Some("log") {
                    writeln!(
                        f,
                        "    but the mode is log: it is made, and the verdict logged"
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl ExplainArgs {
    pub fn run(self, out: Output) -> Result<End> {
        self.targets.require()?;
        let question = self.call.question()?;
        module::require()?;
        let mut all = Vec::new();
        for target in self.targets.find()? {
            for (part, group) in target.parts()? {
                all.push(explain(part, group, &question, &target.as_option())?);
            }
        }
        out.print(&AllExplained(all));
        Ok(End::Good)
    }
}

/// What would become of a call of those who are in a group.
fn explain(
    target: String,
    group: Option<Group>,
    question: &Question,
    option: &str,
) -> Result<Explained> {
    let mut explained = Explained {
        target,
        group: group.as_ref().map(|group| group.0.clone()),
        judged: false,
        why_not: None,
        policy: None,
        mode: None,
        answer: None,
    };
    let Some(group) = group else {
        explained.why_not = Some("it is in no group".into());
        return Ok(explained);
    };
    if !group.is_ours() {
        return Err(of_another_handler(&explained.target, &group));
    }
    if let Some(why_not) = module::why_not_judged(&group)? {
        explained.why_not = Some(why_not);
        return Ok(explained);
    }
    match policy_of(&explained.target, Some(&group), option) {
        Err(error) => explained.why_not = Some(error.message),
        Ok(policy) => {
            let rules = policy.get("rules")?;
            let text = Text::parse(&policy.0, rules.as_bytes());
            let text = text.map_err(|places| {
                Error::rules(&policy.0, places)
                    .help("the kernel knows more rules than this command")
            })?;
            explained.answer = Some(Answer::new(&policy.0, &text, question));
            explained.mode = Some(policy.get("mode")?);
            explained.policy = Some(policy.0);
            explained.judged = true;
        }
    }
    Ok(explained)
}
