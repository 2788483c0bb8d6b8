//! Policies with settings: files, inline, explained, calibrated, searched; and `kvr new`.

use std::path::{Path, PathBuf};
use std::process::Command;

use kvr_eval::record;

use crate::support::{mistake, stdout};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file in a temporary folder");
    path.display().to_string()
}

#[test]
fn files_nest_and_equal_what_is_written_inline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(
        folder.path(),
        "mine.toml",
        "method = \"window\"\nrecent = 20\n[policy]\nmethod = \"rotate\"\npolicy = \"k4v4\"\n",
    );
    let eval = |policy: &str| {
        let args =
            ["eval", "--chunks", "2", "--ctx", "128", "--backend", "cpu", "--format", "json"];
        let out = stdout(&[&args[..], &["--policy", policy]].concat());
        let records: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        records[0].clone()
    };
    let (ours, inline) = (eval(&file), eval("window(recent=20;policy=rotate(policy=k4v4))"));
    assert_eq!(ours["policy"], "mine");
    assert_eq!(ours["nll"], inline["nll"]);
    assert_eq!(ours["bytes_per_token"], inline["bytes_per_token"]);
    let config = ours["policy_config"].as_str().expect("text");
    assert!(config.starts_with("window(") && config.contains("sinks=4"), "{config}");
    let shown = stdout(&["policies", &file]);
    assert!(shown.contains("rotate(policy=k4v4)") && shown.contains("streaming-exact"), "{shown}");
}

#[test]
fn settings_are_explained() {
    let shown = stdout(&["policies", "kivi"]);
    for words in ["residual", "tokens", "128", "arXiv 2402.02750"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(stdout(&["policies", "kivi-2"]).contains("key_bits=2"));
    let all = stdout(&["policies"]);
    for words in ["k4v4-rotated", "snapkv", "nf<bits>g<group>", "by-layer"] {
        assert!(all.contains(words), "{words}");
    }
}

#[test]
fn broken_settings_are_reported_with_the_fix() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let said = |policy: &str| mistake(&["eval", "--policy", policy]);
    for (policy, words) in [
        ("window(recnt=4)".to_owned(), "'recent'"),
        ("windw(recent=4)".to_owned(), "window"),
        ("window(recent=four)".to_owned(), "invalid type"),
        ("window(policy=h2o)".to_owned(), "evicts"),
        ("h2o(budget=1.5)".to_owned(), "above 0 and at most 1"),
        ("h2o(policy=kivi-2)".to_owned(), "k8v4"),
        ("a5g64:q8_0".to_owned(), "choose 2, 3, 4, 6 or 8"),
        ("a4g48".to_owned(), "choose 32, 64 or 128"),
        ("kvquant".to_owned(), "kvr calibrate"),
        (file("a.toml", "method = \"window\"\nrecnt = 4\n"), "'recent'"),
        (file("b.toml", "recent = 4\n"), "no `method"),
        (file("c.toml", "method = \"window\"\n= 4\n"), "TOML parse error"),
        (folder.path().join("absent.toml").display().to_string(), "absent.toml"),
    ] {
        let message = said(&policy);
        assert!(message.contains(words), "{policy}: {message}");
    }
}

#[test]
fn a_calibrated_policy_serves_its_model_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("codebooks.toml").display().to_string();
    let method = "kvquant(key_bits=4;value_bits=4;outliers=1)";
    let calibrate = ["calibrate", method, "--chunks", "2", "--ctx", "256", "--backend", "cpu"];
    stdout(&[&calibrate[..], &["--out", &file]].concat());
    let table = stdout(&["eval", "--policy", &format!("fp16,{file}"), "--chunks", "2"]);
    assert!(table.contains("codebooks"), "{table}");
    let message = mistake(&["memory", "--model", "tinyllama", "--policy", &file]);
    assert!(message.contains("another model") && message.contains("kvr calibrate"), "{message}");
    let message = mistake(&["calibrate", "window", "--backend", "cpu", "--out", &file]);
    assert!(message.contains("nothing to calibrate"), "{message}");
}

#[test]
fn a_search_keeps_its_budget_and_is_judged_on_another_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("found");
    let text = "The river runs by the old mill, and the miller counts his sacks. ".repeat(90);
    let held_out = write(folder.path(), "held-out.txt", &text);
    let out_text = out.display().to_string();
    let search =
        ["search", "--budget", "5.5bpv", "--candidates", "k8v8,k5v5,k4v4", "--chunks", "2"];
    let rest = ["--ctx", "128", "--backend", "cpu", "--out", &out_text];
    let shown = stdout(&[&search[..], &["--held-out", &held_out], &rest].concat());
    assert!(shown.contains("against k5v5") && shown.contains("paired"), "{shown}");
    let records = record::read(&out).expect("records");
    assert_eq!(records.len(), 3, "baseline, uniform, found");
    let fp16 = records[0].memory.bytes_per_token;
    assert!(records[2].memory.bytes_per_token <= fp16 * 5.5 / 16.0, "the budget is kept");
    for file in ["policy.toml", "front.csv", "front.svg", "sensitivity.jsonl", "table.md"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let again = stdout(&["policies", &out.join("policy.toml").display().to_string()]);
    assert!(again.contains("found"), "{again}");
    let message = mistake(&[&search[..], &["--held-out", "sample"], &rest].concat());
    assert!(message.contains("is the text that the search runs on"), "{message}");
    let small = [
        "search",
        "--backend",
        "cpu",
        "--budget",
        "3",
        "--candidates",
        "k4v4",
        "--chunks",
        "1",
        "--ctx",
        "64",
    ];
    let other = folder.path().join("other").display().to_string();
    let message = mistake(&[&small[..], &["--held-out", &held_out, "--out", &other]].concat());
    assert!(message.contains("4.500 bits"), "{message}");
}

/// The folder that the program under test was built in, and its profile.
fn target() -> (PathBuf, bool) {
    let program = Path::new(env!("CARGO_BIN_EXE_kvr"));
    let profile = program.parent().expect("the program lies in a folder");
    (
        profile.parent().expect("and that in the target folder").to_owned(),
        profile.ends_with("release"),
    )
}

#[test]
fn a_new_crate_compiles_keeps_its_contract_and_evaluates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let new = |args: &[&str]| {
        let mut command = crate::support::command(args);
        command.current_dir(folder.path()).output().expect("the program starts")
    };
    let path = checkout.display().to_string();
    let made = new(&["new", "my-policy", "--path", &path]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let again = new(&["new", "my-policy", "--path", &path]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
    assert_eq!(new(&["new", "My Policy"]).status.code(), Some(2));

    let (target, release) = target();
    let cargo = |args: &[&str], rest: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(args).args(release.then_some("--release")).arg("--offline").args(rest);
        command.current_dir(folder.path().join("my-policy")).env("CARGO_TARGET_DIR", &target);
        let output = command.output().expect("cargo starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cargo {args:?}: {text}");
        String::from_utf8(output.stdout).expect("output is UTF-8")
    };
    let tests = cargo(&["test", "--test", "contract"], &[]);
    assert!(tests.contains("3 passed"), "{tests}");
    let eval = ["--", "eval", "--backend", "cpu", "--chunks", "2", "--ctx", "128"];
    let policies = ["--policy", "fp16,int8:q4_0,value-norm(budget=40),clipped", "--format", "csv"];
    let table = cargo(&["run"], &[&eval[..], &policies].concat());
    assert_eq!(table.lines().count(), 5, "{table}");
}

#[test]
fn a_tier_writes_its_own_files_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for tier in ["format", "scorer", "policy"] {
        let name = format!("my-{tier}");
        let mut command = crate::support::command(&["new", &name, "--tier", tier]);
        let made = command.current_dir(folder.path()).output().expect("the program starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let source = folder.path().join(&name).join("src");
        let files = std::fs::read_dir(source).expect("src");
        let mut files: Vec<_> =
            files.flatten().map(|file| file.file_name().display().to_string()).collect();
        files.sort();
        let mut wanted = ["lib.rs".to_owned(), "main.rs".to_owned(), format!("{tier}.rs")];
        wanted.sort();
        assert_eq!(files, wanted);
        let manifest = std::fs::read_to_string(folder.path().join(&name).join("Cargo.toml"));
        assert!(
            manifest.expect("a manifest").contains("kvr-policy = \"0."),
            "published by version"
        );
    }
}
