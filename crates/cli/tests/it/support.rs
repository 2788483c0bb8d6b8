//! What several tests need.

use std::process::{Command, Output};

use kvr_testing::{copy, model_golden};

/// Runs the program; `HF_HUB_OFFLINE` keeps it off the network.
pub(crate) fn kvr(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvr"));
    command.args(args).env("HF_HUB_OFFLINE", "1").env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
    command
}

/// Standard output of a run that has to succeed.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = kvr(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kvr {args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// The only line of stderr of a run that has to fail as the user's mistake.
pub(crate) fn mistake(args: &[&str]) -> String {
    let stderr = mistake_in_name(args);
    assert_eq!(stderr.lines().count(), 1, "kvr {args:?} should say one line, said: {stderr}");
    stderr
}

/// The message of a run that has to fail as the user's mistake; it may point at a place in a
/// policy's name or file.
pub(crate) fn mistake_in_name(args: &[&str]) -> String {
    let output = kvr(args);
    let stderr = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(2), "kvr {args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "kvr {args:?} printed a result");
    assert!(!stderr.contains("panicked"), "kvr {args:?}: {stderr}");
    stderr
}

/// A copy of a golden model in a folder of its own, to be damaged.
pub(crate) fn copy_of(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&["config.json", "model.safetensors"], &model_golden(model), folder.path());
    folder
}
