// SPDX-License-Identifier: GPL-2.0

//! Profiles in JSON: the runtime specification's, Docker's, and podman's, which have more.
//!
//! What is not known is refused: a condition of a rule that is overlooked would let calls through.

use super::Mistake;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whose profile it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Oci,
    Docker,
    Podman,
}

/// A profile, with all that any of the formats has.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Profile {
    pub default_action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch_map: Option<Vec<ArchMap>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<Vec<Syscall>>,
}

/// An architecture, and those that come with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ArchMap {
    pub architecture: String,
    pub sub_architectures: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Syscall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// An older way to say one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Arg>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub includes: Option<Conditions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excludes: Option<Conditions>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Arg {
    pub index: u64,
    pub value: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_two: u64,
    pub op: String,
}

// serde hands over a reference.
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// For whom a rule is, or is not.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Conditions {
    pub caps: Option<Vec<String>>,
    pub arches: Option<Vec<String>>,
    pub min_kernel: Option<String>,
}

impl Syscall {
    pub fn names(&self) -> Result<Vec<&str>, Mistake> {
        let names = self.names.as_deref().unwrap_or_default();
        match self.name.as_deref() {
            None | Some("") => Ok(names.iter().map(String::as_str).collect()),
            Some(name) if names.is_empty() => Ok(vec![name]),
            Some(name) => Err(Mistake::new(format!(
                "a rule has 'names', and the name '{name}': one of both is enough"
            ))),
        }
    }
}

/// A profile in a file; or the one of a container in its `config.json`.
pub fn parse(text: &[u8], format: Format) -> Result<Profile, Mistake> {
    let not_json = |error: serde_json::Error| Mistake::new(format!("not such a profile: {error}"));
    // Says in which line something is wrong, as long as the whole file is one.
    let profile = match serde_json::from_slice::<Profile>(text) {
        Ok(profile) => profile,
        Err(error) => {
            let whole: Value = serde_json::from_slice(text).map_err(not_json)?;
            if whole.get("ociVersion").is_none() {
                return Err(not_json(error));
            }
            let inner = whole.get("linux").and_then(|linux| linux.get("seccomp"));
            let inner = inner.filter(|inner| !inner.is_null());
            let inner = inner.ok_or_else(|| Mistake::new("this container has no profile"))?;
            serde_json::from_value(inner.clone()).map_err(not_json)?
        }
    };
    profile.check(format)?;
    Ok(profile)
}

impl Profile {
    pub fn syscalls(&self) -> &[Syscall] {
        self.syscalls.as_deref().unwrap_or_default()
    }

    /// Refuses what others than those of this format would not look at.
    fn check(&self, format: Format) -> Result<(), Mistake> {
        let unless = |is_known: bool, is_there: bool, what: &str| {
            if is_there && !is_known {
                let formats = "see --format oci, docker and podman";
                return Err(Mistake::new(format!(
                    "'{what}' is of another format: {formats}"
                )));
            }
            Ok(())
        };
        let is_podman = format == Format::Podman;
        let is_oci = format == Format::Oci;
        unless(!is_oci, self.arch_map.is_some(), "archMap")?;
        unless(is_podman, self.default_errno.is_some(), "defaultErrno")?;
        for syscall in self.syscalls() {
            unless(is_podman, syscall.errno.is_some(), "errno")?;
            unless(!is_oci, syscall.name.is_some(), "name")?;
            unless(!is_oci, syscall.comment.is_some(), "comment")?;
            unless(!is_oci, syscall.includes.is_some(), "includes")?;
            unless(!is_oci, syscall.excludes.is_some(), "excludes")?;
            for conditions in [&syscall.includes, &syscall.excludes].into_iter().flatten() {
                unless(!is_podman, conditions.min_kernel.is_some(), "minKernel")?;
            }
        }
        Ok(())
    }
}
