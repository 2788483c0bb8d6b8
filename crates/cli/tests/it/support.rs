//! What several tests need.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use kvr_models::{Hub, Model, ModelSource};
use safetensors::SafeTensors;

/// The goldens that are part of the repository.
pub(crate) fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// WikiText-2 is not part of the repository: it lies beside it, or where `KVR_WIKITEXT` says.
/// Tests that need it say so when they skip.
pub(crate) fn wikitext(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KVR_WIKITEXT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wikitext-2"),
        PathBuf::from,
    );
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (set KVR_WIKITEXT to its folder)", path.display());
    None
}

/// A hub that is switched off.
pub(crate) fn no_hub() -> Hub {
    Hub {
        endpoint: "http://127.0.0.1:9".to_owned(),
        cache: std::env::temp_dir().join("kvr-tests-no-cache"),
        token: None,
        offline: true,
        progress: false,
    }
}

pub(crate) fn mini() -> Model {
    ModelSource::Mini.load(&no_hub(), &Device::flex()).expect("mini is part of the program")
}

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
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(goldens().join(model).join(file), folder.path().join(file))
            .expect("a golden file");
    }
    folder
}

pub(crate) fn i32s(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let data = file.tensor(name).expect("a tensor of the golden").data();
    data.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

pub(crate) fn f32s(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = file.tensor(name).expect("a tensor of the golden").data();
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
