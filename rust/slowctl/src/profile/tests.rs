// SPDX-License-Identifier: GPL-2.0

//! Tests of single clauses. Whether libseccomp agrees is for selftests/profiles to say.

use super::{
    export, import, parse, parse_unit, Format, Given, Groups, Imported, Kernel, Loss, Mistake,
    Notes,
};
use crate::rules::{Report, RuleSet};

fn filter_and_import(text: &str, format: Format, given: &Given) -> Result<Imported, Mistake> {
    let profile = parse(text.as_bytes(), format)?;
    let (mut losses, mut notes) = (Vec::new(), Notes::default());
    let filter = profile.select(given, &mut losses, &mut notes)?;
    let mut imported = import(&filter, notes)?;
    imported.losses.extend(losses);
    RuleSet::parse(imported.text.as_bytes(), 0, &mut Report::new()).unwrap();
    Ok(imported)
}

fn imported(text: &str, format: Format) -> Imported {
    let given = Given {
        capabilities: Some(["CAP_BPF"].into()),
        kernel: Kernel::from_release("6.12.3-amd64"),
    };
    filter_and_import(text, format, &given).unwrap()
}

fn lines(text: &str, format: Format) -> Vec<String> {
    let imported = imported(text, format);
    assert_eq!(imported.losses, []);
    imported.text.lines().map(String::from).collect()
}

/// An OCI profile for x86_64 alone, that allows what no rule is for.
fn oci(syscalls: &str) -> Vec<String> {
    let text = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{syscalls}]}}"#);
    let lines = lines(&text, Format::Oci);
    let closed = [
        "default allow",
        "default arch i386 kill_thread",
        "default arch x32 kill_thread",
    ];
    assert_eq!(lines[..3], closed);
    lines[3..].to_vec()
}

const EPERM: &str = r#"{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}"#;

#[test]
fn errors_and_defaults() {
    assert_eq!(oci(EPERM), ["getpid arch x86_64 errno EPERM"]);
    let zero = r#"{"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}"#;
    assert_eq!(oci(zero), ["getpid arch x86_64 return 0"]);
    let same = r#"{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}"#;
    assert!(oci(same).is_empty());
    // What is left out does not come first, either.
    assert_eq!(
        oci(&format!("{same}, {EPERM}")),
        ["getpid arch x86_64 errno EPERM"]
    );
}

#[test]
fn first_of_two_without_conditions() {
    let kill = r#"{"names": ["getpid"], "action": "SCMP_ACT_KILL_PROCESS"}"#;
    assert_eq!(
        oci(&format!("{kill}, {EPERM}")),
        ["getpid arch x86_64 kill_process"]
    );
    let arg = r#""args": [{"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}]"#;
    let conditional = format!(r#"{{"names": ["getpid"], "action": "SCMP_ACT_TRAP", {arg}}}"#);
    for both in [
        format!("{conditional}, {EPERM}"),
        format!("{EPERM}, {conditional}"),
    ] {
        assert_eq!(oci(&both), ["getpid arch x86_64 errno EPERM"]);
    }
}

#[test]
fn repeated_arguments_are_alternatives() {
    let text = r#"{"names": ["close"], "action": "SCMP_ACT_TRAP", "args": [
        {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 6, "op": "SCMP_CMP_EQ"}]}"#;
    assert_eq!(
        oci(text),
        [
            "close arch x86_64 u64(arg0) == 5 trap",
            "close arch x86_64 u64(arg0) == 6 trap"
        ]
    );
}

#[test]
fn masks_are_for_the_value_too() {
    let text = r#"{"names": ["close"], "action": "SCMP_ACT_TRAP", "args": [
        {"index": 0, "value": 6, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]}"#;
    assert_eq!(oci(text), ["close arch x86_64 u64(arg0) & 0x6 == 0x6 trap"]);
}

#[test]
fn calls_that_make_others() {
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let lines = lines(text, Format::Oci);
    assert!(lines.contains(&"socketcall arch i386 u32(arg0) == 1 errno EPERM".into()));
    assert!(lines.contains(&"socket arch i386 errno EPERM".into()));
}

#[test]
fn numbers_above_the_highest() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X32"],
        "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW"}]}"#;
    assert_eq!(
        lines(text, Format::Oci),
        [
            "default errno EPERM",
            "default arch x86_64 above 32 errno ENOSYS",
            "default arch i386 kill_thread",
            "default arch x32 above 32 errno ENOSYS",
            "512..547 arch x32 errno ENOSYS",
            "dup arch x86_64 allow",
            "dup arch x32 allow",
        ]
    );
}

#[test]
fn rules_for_some_containers() {
    let rule = |conditions: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {{"names": ["getpid"], "action": "SCMP_ACT_TRAP", {conditions}}}]}}"#
        );
        lines(&text, Format::Docker).len() > 3
    };
    for (conditions, is_there) in [
        (r#""includes": {}"#, true),
        (r#""includes": {"caps": ["CAP_BPF"]}"#, true),
        (r#""includes": {"caps": ["CAP_BPF", "CAP_KILL"]}"#, false),
        (r#""excludes": {"caps": ["CAP_KILL", "CAP_BPF"]}"#, false),
        (r#""excludes": {"caps": ["CAP_KILL"]}"#, true),
        (r#""includes": {"arches": ["arm64", "amd64"]}"#, true),
        (r#""includes": {"arches": ["x86"]}"#, false),
        (r#""excludes": {"arches": ["amd64"]}"#, false),
        (r#""includes": {"minKernel": "6.12"}"#, true),
        (r#""includes": {"minKernel": "6.13"}"#, false),
        (r#""excludes": {"minKernel": "4.8"}"#, false),
    ] {
        assert_eq!(rule(conditions), is_there, "{conditions}");
    }
}

/// Nothing that a rule depends on is overlooked.
#[test]
fn what_is_not_known_is_refused() {
    let none = Given::default();
    for (text, format) in [
        (r#"{"syscalls": []}"#, Format::Oci),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "more": 1}"#,
            Format::Docker,
        ),
        (r#"{"defaultAction": "ALLOW"}"#, Format::Oci),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, Format::Oci),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}"#,
            Format::Oci,
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["ALL"]}"#,
            Format::Oci,
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X86"]}"#,
            Format::Oci,
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrno": "EPERM"}"#,
            Format::Docker,
        ),
        (r#"{"ociVersion": "1.0", "linux": {}}"#, Format::Oci),
        (
            r#"{"ociVersion": "1.0", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "x": 1}}}"#,
            Format::Oci,
        ),
    ] {
        assert!(filter_and_import(text, format, &none).is_err(), "{text}");
    }
    for rule in [
        r#""comment": "x""#,
        r#""includes": {"caps": ["CAP_BPF"]}"#,
        r#""args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]"#,
        r#""args": [{"index": 0, "value": 1, "op": "=="}]"#,
    ] {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {{"names": ["getpid"], "action": "SCMP_ACT_TRAP", {rule}}}]}}"#
        );
        assert!(
            filter_and_import(&text, Format::Oci, &none).is_err(),
            "{rule}"
        );
    }
}

#[test]
fn what_rules_cannot_say_is_listed() {
    for action in ["SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE"] {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {{"names": ["getpid"], "action": "{action}"}}]}}"#
        );
        let imported = imported(&text, Format::Oci);
        assert_eq!(imported.losses.len(), 1);
        assert!(imported.text.contains("getpid arch x86_64 errno ENOSYS"));
    }
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["close"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 5, "op": "SCMP_CMP_GT"}]},
        {"names": ["close"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]},
        {"names": ["none"], "action": "SCMP_ACT_KILL"}]}"#;
    let imported = imported(text, Format::Oci);
    assert!(imported.losses[0].0.contains("contradict"));
    assert_eq!(imported.notes.unknown_names, ["none"]);
}

#[test]
fn flag_for_audit_records() {
    let text = r#"{"defaultAction": "SCMP_ACT_LOG", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let lines = lines(text, Format::Oci);
    assert_eq!(lines[0], "default audit");
    assert!(lines.contains(&"getpid arch x86_64 errno EPERM audit".into()));
}

const GROUPS: &str = "\
@default
    # Always
    execve
    exit

@known
    @default
    read
    write
    ptrace

@debug
    ptrace
";

fn unit(text: &str) -> Result<Vec<String>, Mistake> {
    let (mut losses, mut notes) = (Vec::new(), Notes::default());
    let filter = parse_unit(
        text.as_bytes(),
        &Groups::parse(GROUPS),
        &mut losses,
        &mut notes,
    )?;
    let imported = import(&filter, notes)?;
    assert_eq!((losses, imported.losses), (Vec::new(), Vec::new()));
    Ok(imported.text.lines().map(String::from).collect())
}

#[test]
fn units_that_deny() {
    let lines = unit("[Service]\nSystemCallFilter=~@debug read:EIO \\\n  write:kill\nSystemCallErrorNumber=EPERM\nSystemCallArchitectures=native");
    assert_eq!(
        lines.unwrap(),
        [
            "default allow",
            "default arch i386 kill_thread",
            "default arch x32 kill_thread",
            "ptrace arch x86_64 errno EPERM",
            "read arch x86_64 errno EIO",
            "write arch x86_64 kill_process",
        ]
    );
}

#[test]
fn units_that_allow() {
    let lines = unit("SystemCallFilter=read write\nSystemCallFilter=~write\n");
    assert_eq!(
        lines.unwrap(),
        [
            "default errno ENOSYS",
            "execve allow",
            "exit allow",
            "ptrace kill_process",
            "read allow",
            "write kill_process",
        ]
    );
    let lines = unit("SystemCallFilter=read\nSystemCallFilter=\nSystemCallFilter=~read\n");
    assert_eq!(lines.unwrap(), ["default allow", "read kill_process"]);
    assert!(unit("SystemCallFilter=@nothing").is_err());
    assert!(unit("[Service]").is_err());
}

#[test]
fn exported_rules() {
    let set = |text: &str| RuleSet::parse(text.as_bytes(), 0, &mut Report::new()).unwrap();
    let (profile, losses) = export(&set("default allow\nptrace errno EPERM\n")).unwrap();
    assert_eq!(losses, []);
    assert_eq!(profile.syscalls().len(), 1);
    // Neither is an audit record of a refusal asked for, nor an architecture of which all is killed.
    let text =
        "default errno EPERM\ndefault arch x86_64 above 300 errno ENOSYS\ndefault arch i386 kill_thread\n\
        default arch x32 kill_thread\nread arch x86_64 u64(arg0) == 5 audit\n";
    let (profile, losses) = export(&set(text)).unwrap();
    assert_eq!(losses, []);
    assert_eq!(profile.architectures.unwrap(), ["SCMP_ARCH_X86_64"]);
    assert_eq!(profile.flags, None);
    // What is said of one architecture alone is not said of those that a default refuses.
    let text = "default errno EPERM\nread arch x86_64 allow\n";
    let (profile, losses) = export(&set(text)).unwrap();
    assert_eq!(profile.architectures.unwrap(), ["SCMP_ARCH_X86_64"]);
    let is_looser = |Loss(what): &Loss| what.contains("'allow' by the profile");
    assert!(!losses.iter().any(is_looser), "{losses:?}");
    let (_, losses) = export(&set("socket errno EPERM")).unwrap();
    let what = "on i386: 'errno EPERM' by the profile, 'allow' by the rules: socketcall";
    assert_eq!(losses, [Loss(what.into())]);
    for text in [
        "read delay 1s",
        "read errno EPERM when 2",
        "read arch i386 errno EPERM",
        "socket errno EPERM\nkill arg0 < -1 errno EPERM",
        "3..5 errno EPERM",
        "default arch i386 errno EPERM",
    ] {
        let (_, losses) = export(&set(text)).unwrap();
        assert!(!losses.is_empty(), "{text}");
    }
}
