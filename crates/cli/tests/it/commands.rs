//! Every command as a user calls it.

use kvr_testing::{f32s, u32s};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{copy_of, kvr, mistake, stdout};

const SMALL: [&str; 7] = ["eval", "--ctx", "128", "--chunks", "3", "--backend", "cpu"];

fn records(extra: &[&str]) -> Vec<Value> {
    let args = [&SMALL[..], &["--format", "json"], extra].concat();
    serde_json::from_str(&stdout(&args)).expect("stdout is a JSON array and nothing else")
}

#[test]
fn eval_writes_records_with_the_documented_fields() {
    let records = records(&[]);
    let names: Vec<_> = records.iter().map(|r| r["policy"].as_str().expect("a name")).collect();
    assert_eq!(names, ["fp16", "k8v8", "k8v4", "k4v8", "k4v4"]);
    for record in &records {
        for field in [
            "schema",
            "git_rev",
            "dirty",
            "date_utc",
            "command",
            "device",
            "backend",
            "threads",
            "burn_version",
            "dtype",
            "model",
            "model_sha256",
            "dataset",
            "dataset_sha256",
            "policy",
            "policy_config",
            "protocol",
            "protocol_version",
            "mode",
            "ctx",
            "batch_tokens",
            "chunks",
            "scored_tokens",
            "seed",
            "nll",
            "nll_stderr",
            "perplexity",
            "perplexity_stderr",
            "cache_bytes_held",
            "cache_bytes_allocated",
            "cache_bytes_fp16",
            "bytes_per_token",
            "peak_process_bytes",
            "prefill_s",
            "prefill_tok_s",
            "decode_tok_s",
            "warnings",
            "delta_nll",
            "delta_nll_stderr",
            "perplexity_ratio",
        ] {
            assert!(record.get(field).is_some(), "a record has no {field}");
        }
        assert_eq!(record["protocol"], "llama-cpp");
        assert_eq!(record["mode"], "cache-read");
        assert_eq!(record["scored_tokens"], 3 * 63);
        assert!(record["nll_stderr"].as_f64().expect("three windows") > 0.0);
        assert!(record["prefill_tok_s"].as_f64().expect("a speed") > 0.0);
        assert!(record["decode_tok_s"].as_f64().expect("a speed") > 0.0);
    }
    // 6 layers, 2 key-value heads of 64: 3072 bytes a token in f16.
    let bytes: Vec<_> =
        records.iter().map(|r| r["bytes_per_token"].as_f64().expect("bytes")).collect();
    assert_eq!(bytes, [3072.0, 1632.0, 1248.0, 1248.0, 864.0]);
}

#[test]
fn steps_of_any_size_give_one_perplexity() {
    let perplexities = |batch: &str| -> Vec<f64> {
        let records = records(&["--policy", "fp16,k8v4", "--batch", batch]);
        records.iter().map(|r| r["perplexity"].as_f64().expect("a number")).collect()
    };
    let whole = perplexities("512");
    for batch in ["1", "7", "64"] {
        // Sums in another order move a quantised value across a rounding step now and then, which
        // 189 scored tokens do not average out; without quantisation they change next to nothing.
        for ((got, want), bound) in perplexities(batch).iter().zip(&whole).zip([1e-5, 5e-4]) {
            let off = (got / want - 1.0).abs();
            assert!(off < bound, "--batch {batch} is off by {off}");
        }
    }
}

#[test]
fn kvsplit_flags_mean_policies() {
    let name = |flags: &[&str]| records(flags)[0]["policy"].as_str().expect("a name").to_owned();
    assert_eq!(name(&["--kvq", "8"]), "k8v8");
    assert_eq!(name(&["--kvq-key", "8", "--kvq-val", "4"]), "k8v4");
    assert_eq!(name(&["--kvq-val", "4"]), "k16v4");
    assert!(mistake(&["eval", "--kvq", "7"]).contains("7 bits"));
}

#[test]
fn a_pair_is_the_policy_that_is_named_after_it() {
    let [named, pair] = ["k8v4", "q8_0:q4_0"].map(|name| records(&["--policy", name]).remove(0));
    assert_eq!(named["nll"], pair["nll"]);
    assert_eq!(named["policy_config"], pair["policy_config"]);
    let both = records(&["--policy", "k8v4,q8_0:q4_0", "--baseline", "q8_0:q4_0"]);
    assert_eq!(both.len(), 1, "one policy is measured once");
    assert_eq!((&both[0]["policy"], &both[0]["delta_nll"]), (&"q8_0:q4_0".into(), &0.0.into()));
}

#[test]
fn tables_come_as_text_markdown_and_csv() {
    let show = |format: &str| {
        stdout(&[&SMALL[..], &["--policy", "fp16,k4v4", "--format", format]].concat())
    };
    let (text, markdown, csv) = (show("table"), show("markdown"), show("csv"));
    for table in [&text, &markdown] {
        assert!(table.contains("fp16") && table.contains("k4v4") && table.contains("±"), "{table}");
    }
    assert!(markdown.lines().nth(1).expect("a rule").starts_with("|--"), "{markdown}");
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("schema,git_rev,"), "{csv}");
}

#[test]
fn out_writes_a_folder_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run");
    let args =
        [&SMALL[..], &["--policy", "fp16,k8v4", "--out", out.to_str().expect("UTF-8")]].concat();
    stdout(&args);
    let lines = std::fs::read_to_string(out.join("records.jsonl")).expect("records");
    let records: Vec<Value> =
        lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(records.len(), 2);
    assert!(std::fs::read_to_string(out.join("config.toml")).expect("config").contains("k8v4"));
    assert!(std::fs::read_to_string(out.join("table.md")).expect("table").starts_with("| policy"));
    assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 3, "no temporary file stays");
    assert!(mistake(&args).contains("never overwritten"));
    assert_eq!(std::fs::read_to_string(out.join("records.jsonl")).expect("records"), lines);
}

#[test]
fn memory_counts_the_published_bytes() {
    let json =
        stdout(&["memory", "--model", "tinyllama", "--tokens", "128,8192", "--format", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    let mib = |row: &Value| row["cache_bytes_allocated"].as_f64().expect("bytes") / 1024.0 / 1024.0;
    let got: Vec<f64> = rows.iter().map(mib).collect();
    let want = [5.5, 176.0, 2.921875, 93.5, 2.234375, 71.5, 2.234375, 71.5, 1.546875, 49.5];
    assert_eq!(got, want);
    let json = stdout(&[
        "memory",
        "--model",
        "random:tinyllama",
        "--tokens",
        "32768",
        "--policy",
        "k8v4",
        "--format",
        "json",
    ]);
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(mib(&rows[0]), 286.0);
    assert_eq!(rows[0]["cache_bytes_held"], rows[0]["cache_bytes_allocated"]);
}

#[test]
fn memory_needs_a_config_only() {
    let folder = copy_of("llama-gqa");
    std::fs::remove_file(folder.path().join("model.safetensors")).expect("it was copied");
    let path = folder.path().to_str().expect("UTF-8");
    let json = stdout(&[
        "memory", "--model", path, "--tokens", "10", "--policy", "fp16", "--format", "json",
    ]);
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    // Two layers, two key-value heads of 32, keys and values, two bytes each.
    assert_eq!(rows[0]["cache_bytes_held"], 10 * 2 * 2 * 2 * 32 * 2);
}

#[test]
fn logits_are_written_for_other_programs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = |policy: &str, step: &str| {
        let out = folder.path().join(format!("{policy}-{step}.safetensors"));
        let out_arg = out.to_str().expect("UTF-8");
        stdout(&[
            "logits",
            "--tokens",
            "1,5,9,300,4",
            "--policy",
            policy,
            "--step",
            step,
            "--out",
            out_arg,
        ]);
        let bytes = std::fs::read(&out).expect("the file");
        let file = SafeTensors::deserialize(&bytes).expect("valid safetensors");
        assert_eq!(file.tensor("logits").expect("logits").shape(), [5, 4096]);
        assert_eq!(u32s(file.tensor("tokens").expect("tokens").data()), [1, 5, 9, 300, 4]);
        f32s(file.tensor("logits").expect("logits").data())
    };
    let worst =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let exact = read("fp32", "5");
    assert!(worst(&exact, &read("fp32", "1")) < 1e-4);
    assert!(worst(&exact, &read("k4v4", "2")) > 1e-3, "a 4-bit cache can't give the same logits");
    assert!(
        mistake(&["logits", "--tokens", "1,4096", "--out", "x.safetensors"]).contains("token 4096")
    );
}

#[test]
fn random_weights_are_the_same_for_one_seed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The smallest built-in geometry takes seconds to make, so one pair has to do.
    let read = |model: &str, name: &str| {
        let out = folder.path().join(name);
        stdout(&[
            "logits",
            "--model",
            model,
            "--tokens",
            "1,2",
            "--out",
            out.to_str().expect("UTF-8"),
        ]);
        std::fs::read(out).expect("the file")
    };
    assert_eq!(read("random:tinyllama:7", "a"), read("random:tinyllama:7", "b"));
}

#[test]
fn lists_and_help_show_what_there_is() {
    assert!(stdout(&["models"]).contains("random:llama-3-8b"));
    assert!(stdout(&["policies"]).contains("k8v4"));
    assert!(stdout(&["policies"]).contains("q5_1"));
    assert!(stdout(&["datasets"]).contains("wikitext-2"));
    let doctor = stdout(&["doctor"]);
    for line in ["kvr", "burn", "cpu", "wgpu adapter", "hub cache"] {
        assert!(doctor.contains(line), "{doctor}");
    }
    assert!(stdout(&["--help"]).contains("Examples:"));
    assert!(stdout(&["eval", "--help"]).contains("kvr eval --policy k8v4 --model tinyllama"));
    assert_eq!(kvr(&["eval", "--no-such-flag"]).status.code(), Some(2));
}
