//! Policies with settings: files, inline, explained, calibrated, searched; and `kvr new`.

use std::path::{Path, PathBuf};
use std::process::Command;

use kvr_eval::record;

use crate::support::{mistake, mistake_in_name, stdout};

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
    let config = "window(sinks=4;recent=20;block=1;full=f16;policy=rotate(keys=true;values=true;\
                  signs=false;policy=q4_0:q4_0))";
    assert_eq!(ours["policy_config"], config);
    assert_eq!(inline["policy_config"], config);
    let shown = stdout(&["policies", &file]);
    assert!(shown.contains(config) && shown.contains("streaming-exact"), "{shown}");
}

/// What `kvr memory` says of policies, as JSON.
fn memory(policies: &str, folder: &Path) -> serde_json::Value {
    let args = [
        "memory",
        "--model",
        "mini",
        "--backend",
        "cpu",
        "--tokens",
        "512",
        "--format",
        "json",
        "--policy",
    ];
    let mut command = crate::support::command(&[&args[..], &[policies]].concat());
    let output = command.current_dir(folder).output().expect("the program starts");
    assert!(output.status.success(), "{policies}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn files_stand_wherever_a_policy_may() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("inner")).expect("a folder");
    write(folder.path(), "outer.toml", "method = \"window\"\npolicy = \"inner/mine.toml\"\n");
    write(&folder.path().join("inner"), "mine.toml", "method = \"rotate\"\npolicy = \"a.toml\"\n");
    write(&folder.path().join("inner"), "a.toml", "method = \"pair\"\nkeys = \"a4g64\"\n");
    let named = "outer.toml,outer.toml[0=fp16],window(inner/mine.toml;recent=9),\
                 k8v4[first 2=inner/mine.toml;5.0=window(k4v4)]";
    let inline = "window(rotate(a4g64:q4_0)),window(rotate(a4g64:q4_0))[0=fp16],\
                  window(recent=9;policy=rotate(policy=pair(keys=a4g64))),\
                  k8v4[first 2=rotate(a4g64:q4_0);5.0=window(policy=k4v4)]";
    let (named, inline) = (memory(named, folder.path()), memory(inline, folder.path()));
    let rows = |rows: &serde_json::Value, field: &str| -> Vec<String> {
        rows.as_array().expect("rows").iter().map(|row| row[field].to_string()).collect()
    };
    assert_eq!(rows(&named, "cache_bytes_held"), rows(&inline, "cache_bytes_held"));
    let names = rows(&named, "policy");
    assert_eq!(names[0], "\"outer\"");
    assert_eq!(names[2], "\"window(inner/mine.toml;recent=9)\"");
    assert_eq!(names.len(), 4, "commas in brackets split no name: {names:?}");
}

#[test]
fn policies_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let impostor = write(folder.path(), "x.toml", "name = \"fp16\"\nmethod = \"rotate\"\n");
    let args = ["eval", "--chunks", "2", "--ctx", "64", "--backend", "cpu", "--format", "json"];
    let eval = |policies: &str, more: &[&str]| -> serde_json::Value {
        let out = stdout(&[&args[..], &["--policy", policies], more].concat());
        serde_json::from_str(&out).expect("JSON")
    };
    let records = eval(&format!("{impostor},fp16,f16:f16"), &[]);
    let records = records.as_array().expect("records");
    assert_eq!(records.len(), 2, "fp16 and f16:f16 are one policy");
    assert_eq!(records[0]["policy"], "fp16", "the built-in one is the baseline");
    assert_eq!(records[1]["policy"], impostor.as_str());
    assert!(records[1]["kld_mean"].as_f64().is_some_and(|kld| kld > 0.0), "{}", records[1]);
    let against = eval("fp16", &["--baseline", &impostor]);
    assert_eq!(against[0]["baseline_config"], against[0]["policy_config"]);
    assert_ne!(against[1]["baseline_config"], against[1]["policy_config"]);
    let others = ["1", "2"].map(|recent| {
        let text = format!("name = \"mine\"\nmethod = \"window\"\nrecent = {recent}\n");
        write(folder.path(), &format!("{recent}.toml"), &text)
    });
    let message = mistake(&["memory", "--policy", &others.join(",")]);
    assert!(message.contains("two policies are called mine"), "{message}");
}

#[test]
fn mistakes_in_names_are_pointed_at() {
    let said = |policy: &str| mistake_in_name(&["eval", "--policy", policy]);
    for (policy, carets) in [
        ("k8v4[first 2=fp17]", "             ^^^^ unknown policy 'fp17': nearest fp16"),
        ("window(recent=4,sinks=2)", "               ^ ';' belongs here, not ','"),
        ("k8v4[0-18446744073709551615=fp16]", "     ^^^^^^^^^^^^^^^^^^^^^^ 18446744073709551615"),
        ("window(recnt=4)", "       ^^^^^ window has no setting 'recnt', nearest: 'recent'"),
        ("k8v4[0=absent.toml]", "       ^^^^^^^^^^^ policy file absent.toml: "),
    ] {
        let message = said(policy);
        assert!(message.starts_with(&format!("kvr: {policy}\n     {carets}")), "{message}");
    }
    let message = mistake(&["eval", "--policy", "k8v4[last 7=fp16]"]);
    assert!(message.contains("needs 7 layers, and the model has 6"), "{message}");
    let deep = format!("{}k4v4{}", "window(".repeat(5000), ")".repeat(5000));
    assert!(said(&deep).contains("more than 32 policies inside each other"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path(), "a.toml", "method = \"window\"\npolicy = \"./a.toml\"\n");
    let message = said(&file);
    assert!(message.contains("names itself"), "{message}");
    let file = write(folder.path(), "b.toml", "method = \"rotate\"\npolicy = \"k4v4[0=fp17]\"\n");
    let message = said(&format!("window({file})"));
    assert!(message.contains("b.toml:\n     k4v4[0=fp17]\n            ^^^^ unknown"), "{message}");
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
    let said = |policy: &str| mistake_in_name(&["eval", "--policy", policy]);
    for (policy, words) in [
        ("window(recnt=4)".to_owned(), "'recent'"),
        ("windw(recent=4)".to_owned(), "window"),
        ("window(recent=four)".to_owned(), "invalid type"),
        ("window(policy=h2o)".to_owned(), "evicts"),
        ("h2o(keep=1.5)".to_owned(), "more than 0, and at most 1"),
        ("h2o(policy=kivi-2)".to_owned(), "k8v4"),
        ("kivi(k4v4)".to_owned(), "no inner policy"),
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
    let file = write(folder.path(), "mine.toml", "method = \"rotate\"\npolicy = \"k4v4\"\n");
    let candidates = format!("k8v8,k5v5,{file}");
    let search = ["search", "--budget", "5.5bpv", "--candidates", &candidates, "--chunks", "2"];
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
    let found = std::fs::read_to_string(out.join("policy.toml")).expect("a policy file");
    assert!(!found.lines().skip(1).any(|line| line.contains("mine.toml")), "{found}");
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
    let policies = ["--policy", "fp16,int8:q4_0,value-norm(tokens=40),clipped", "--format", "csv"];
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
