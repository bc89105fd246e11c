// SPDX-License-Identifier: GPL-2.0

//! Rules, changed in an editor.

use crate::{
    error::{End, Error, Kind, Result, Trying},
    guard::{self, ForceArgs},
    module::Policy,
    output::Output,
    policy::Changed,
    text,
};
use signal_hook::consts::{SIGINT, SIGQUIT};
use std::{
    env,
    io::Write,
    path::Path,
    process::Command,
    sync::{atomic::AtomicBool, Arc},
};

pub fn edit(out: Output, policy: &Policy, force: ForceArgs) -> Result<End> {
    let failed = || "a file for the editor".to_string();
    if !force.force {
        guard::enforced_policy(policy)?;
    }
    let before = policy.get("rules")?;
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{}-", policy.0))
        .suffix(".rules")
        .tempfile()
        .trying(failed())?;
    writeln!(file, "{before}").trying(failed())?;
    run_editor(file.path())?;
    let rules = text::read(file.path()).trying(failed())?;
    if rules.is_empty() {
        return Err(Error::new(
            Kind::Failed,
            "the file is empty: the rules are as they were",
        )
        .help("to remove all rules, have it be an empty line"));
    }
    if rules == format!("{before}\n").into_bytes() {
        out.print(&Changed::new(
            policy.clone(),
            "the rules are as they were",
            Vec::new(),
        ));
        return Ok(End::Good);
    }
    let what = file.path().display().to_string();
    match replace(policy, &before, &what, &rules, force) {
        Ok(changed) => {
            out.print(&changed);
            Ok(End::Good)
        }
        Err(mut error) => {
            // What was typed is not to be lost.
            if file.keep().is_ok() {
                let set = format!("slowctl policy set {} {what}", policy.0);
                error.help = Some(match error.kind {
                    Kind::Busy => {
                        format!("see slowctl policy diff {} {what}; then {set}", policy.0)
                    }
                    _ => format!("mend them: {set}"),
                });
            }
            Err(error)
        }
    }
}

/// Replaces the rules, if they are still those that were edited.
fn replace(
    policy: &Policy,
    before: &str,
    file: &str,
    rules: &[u8],
    force: ForceArgs,
) -> Result<Changed> {
    let _lock = policy.lock()?;
    if policy.get("rules")? != *before {
        let what = format!("the rules of {} have been changed meanwhile", policy.0);
        return Err(Error::new(Kind::Busy, what));
    }
    // Who is under it, and its mode, may be others by now.
    if !force.force {
        guard::enforced_policy(policy)?;
    }
    let warnings = policy.set_rules(file, rules);
    let warnings = warnings.map_err(|refusal| refusal.into_error(file))?;
    Ok(Changed::new(policy.clone(), "rules replaced", warnings))
}

fn run_editor(file: &Path) -> Result<()> {
    // A terminal sends these to the editor as well, which knows what to do.
    for signal in [SIGINT, SIGQUIT] {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, flag).trying("signals")?;
    }
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|editor| !editor.is_empty()))
        .unwrap_or("vi".into());
    // As others do: the variable may have options in it.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()
        .trying(editor.as_str())?;
    if !status.success() {
        return Err(Error::new(Kind::Failed, format!("{editor}: {status}"))
            .help("the rules are as they were"));
    }
    Ok(())
}
