//! The commands around evaluation, as a user calls them.

use std::path::Path;

use serde_json::Value;

use crate::support::{kvr, mistake, stdout};

const SMALL: [&str; 7] = ["eval", "--ctx", "128", "--chunks", "3", "--backend", "cpu"];

fn json(args: &[&str]) -> Vec<Value> {
    serde_json::from_str(&stdout(&[args, &["--format", "json"]].concat())).expect("a JSON array")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The modes do the same sums in another order. Without quantisation that is rounding of f32; with
/// it, a value now and then crosses a rounding step and moves all that follows, which averages out
/// with the square root of the tokens only: results/mini-modes has many more of them.
#[test]
fn modes_agree_and_post_prefill_diverges_no_more() {
    // What differs is the order of adding, which makes some values round to their neighbours when
    // they are stored: over 1,020 tokens that is worth 1e-7 to 1e-5 nats in f16.
    let pairs = [("f16:f16", 1e-5), ("q8_0:q8_0", 1e-4), ("q8_0:q4_0", 1e-3), ("q4_0:q4_0", 1e-3)];
    let names = pairs.map(|(pair, _)| pair);
    let records = json(&[
        "eval",
        "--chunks",
        "4",
        "--backend",
        "cpu",
        "--policy",
        &names.join(","),
        "--mode",
        "cache-read,decode,post-prefill",
        "--baseline",
        "f32:f32",
    ]);
    assert_eq!(records.len(), 3 * (1 + pairs.len()));
    let get = |policy: &str, mode: &str, field: &str| {
        let found = records.iter().find(|r| r["policy"] == policy && r["mode"] == mode);
        found.expect("a record")[field].as_f64().expect("a number")
    };
    for (pair, bound) in pairs {
        let off = get(pair, "decode", "nll") - get(pair, "cache-read", "nll");
        println!("{pair}: decode {off:+.1e} nats off cache-read");
        assert!(off.abs() <= bound, "{pair}: decode and cache-read differ by {off}");
    }
    // Only the prompt's own states are spared: no more divergence than that of cache-read, but for
    // noise.
    let sum = |mode: &str| names.iter().map(|pair| get(pair, mode, "kld_mean")).sum::<f64>();
    assert!(
        sum("post-prefill") < 1.05 * sum("cache-read"),
        "{} {}",
        sum("post-prefill"),
        sum("cache-read")
    );
    assert!(
        mistake(&["eval", "--protocol", "gptq", "--mode", "post-prefill"]).contains("no prompt")
    );
}

#[test]
fn a_saved_baseline_serves_as_well_as_one_that_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("base.safetensors");
    let live =
        json(&[&SMALL[..], &["--policy", "fp16,k4v4", "--save-logits", text(&file)]].concat());
    let saved = json(&[&SMALL[..], &["--policy", "k4v4", "--logits", text(&file)]].concat());
    for field in ["nll", "baseline", "delta_nll", "kld_mean", "kld_max", "same_top", "rms_dp"] {
        assert_eq!(live[1][field], saved[0][field], "{field}");
    }
    let other = ["eval", "--ctx", "64", "--backend", "cpu", "--logits", text(&file)];
    assert!(mistake(&other).contains("ctx is 128 there, and 64 here"));
    std::fs::write(&file, "no such thing").expect("writable");
    assert!(mistake(&other).contains("--save-logits"));
}

#[test]
fn lm_eval_reports_by_word_and_byte_as_worked_by_hand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("wiki.txt");
    let pages = [
        " = One = \n \n The first text , of two . \n",
        " = Two = \n \n The second @-@ last text . \n",
    ];
    std::fs::write(&file, pages.concat()).expect("writable");
    let args = [
        "eval",
        "--protocol",
        "lm-eval",
        "--policy",
        "fp32",
        "--backend",
        "cpu",
        "--dataset",
        text(&file),
    ];
    let record = &json(&args)[0];
    // Words as the harness splits: empty ones at both ends count.
    let words: usize = pages
        .iter()
        .map(|p| p.trim_end_matches('\n').split(' ').filter(|w| !w.trim().is_empty()).count() + 2)
        .sum();
    let number = |field: &str| record[field].as_f64().expect("a number");
    let total = number("nll") * number("scored_tokens");
    assert_eq!(number("chunks"), 2.0);
    assert!(
        (number("word_perplexity") - (total / words as f64).exp()).abs()
            < 1e-6 * number("word_perplexity")
    );
    let bytes = number("bytes");
    assert!((number("bits_per_byte") - total / bytes / 2f64.ln()).abs() < 1e-9);
    assert!((number("byte_perplexity") - (total / bytes).exp()).abs() < 1e-9);
    assert!(number("bits_per_byte_stderr") > 0.0);
}

#[test]
fn plan_says_how_far_a_budget_reaches() {
    let rows =
        json(&["plan", "--model", "tinyllama", "--budget", "704MiB", "--policy", "fp16,k8v4"]);
    assert_eq!(rows[0]["longest_context"], 32_768);
    // 704 MiB hold 80,659 tokens of 9152 bytes; whole steps of 256 make 80,640.
    assert_eq!(rows[1]["longest_context"], 80_640);
    assert_eq!(rows[1]["bytes_at"][1], serde_json::json!([32_768, 286 * 1024 * 1024]));
    let output = kvr(&["plan", "--budget", "2 apples"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'2 apples'"));
}

#[test]
fn speed_is_measured_at_any_depth_with_its_spread() {
    let records = json(&[
        "bench",
        "speed",
        "--policy",
        "fp16,k4v4",
        "--depth",
        "0,300",
        "--prompt",
        "64",
        "--decode",
        "4",
        "--rounds",
        "2",
        "--backend",
        "cpu",
    ]);
    assert_eq!(records.len(), 4);
    for record in &records {
        for field in
            ["prefill_tok_s", "decode_tok_s", "prefill_spread", "decode_spread", "first_token_s"]
        {
            assert!(record[field].as_f64().is_some_and(|x| x >= 0.0), "{field}");
        }
        assert_eq!(record["protocol"], "speed");
        assert!(record.get("nll").is_none());
    }
    assert_eq!(records[2]["ctx"], 300);
}

#[test]
fn generation_is_repeatable_and_says_what_it_cost() {
    let run =
        |extra: &[&str]| {
            let output =
                kvr(&[&["generate", "-p", "The river", "-n", "12", "--backend", "cpu"], extra]
                    .concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (
                String::from_utf8(output.stdout).expect("UTF-8"),
                String::from_utf8(output.stderr).expect("UTF-8"),
            )
        };
    let (greedy, said) = run(&[]);
    assert!(
        said.contains("fp16: ") && said.contains("12 new tokens") && said.contains("tok/s"),
        "{said}"
    );
    assert_eq!(greedy, run(&["--policy", "fp16"]).0);
    let (sampled, _) = run(&["--temp", "1.5", "--seed", "5"]);
    assert_eq!(sampled, run(&["--temp", "1.5", "--seed", "5"]).0);
    assert_ne!(sampled, run(&["--temp", "1.5", "--seed", "6"]).0);
    assert!(run(&["--kvq-key", "8", "--kvq-val", "4"]).1.contains("k8v4: "));
    assert!(mistake(&["generate", "-p", "x", "--policy", "fp16,k8v4"]).contains("kvr compare"));
    assert!(mistake(&["generate", "-p", "x", "-c", "1", "--backend", "cpu"]).contains("prompt"));
    assert!(mistake(&["generate", "-p", "x", "--temp", "-1"]).contains("--temp"));
}

#[test]
fn compare_shows_where_policies_depart() {
    let rows = json(&[
        "compare",
        "The",
        "tower",
        "-n",
        "8",
        "--chunks",
        "2",
        "--policy",
        "fp16,fp32,k4v4",
        "--backend",
        "cpu",
    ]);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["departs_at_token"], Value::Null);
    assert_eq!(rows[1]["text"], rows[0]["text"]);
    assert!(
        rows.iter()
            .all(|r| r["perplexity"].as_f64().is_some() && r["kv_bytes_held"].as_u64() > Some(0))
    );
    let shown = stdout(&[
        "compare",
        "The tower",
        "-n",
        "8",
        "--chunks",
        "2",
        "--policy",
        "fp16,k4v4",
        "--backend",
        "cpu",
    ]);
    assert!(shown.contains("mini: The tower") && shown.contains("\nk4v4\n"), "{shown}");
}

#[test]
fn results_are_shown_compared_drawn_and_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    stdout(&[&SMALL[..], &["--policy", "fp16,k8v4,k4v4", "--out", text(&a)]].concat());
    stdout(
        &[&SMALL[..], &["--policy", "fp16,k8v4", "--mode", "decode", "--out", text(&b)]].concat(),
    );
    assert!(stdout(&["show", text(&a), "--wide"]).contains("KLD p99.9"));
    assert!(stdout(&["show", text(&a), "--format", "latex"]).contains("\\begin{tabular}{l"));
    let same = json(&["diff", text(&a), text(&a)]);
    assert!(same.iter().all(|p| p["comparable"] == true && p["perplexity_change_percent"] == 0.0));
    let pairs = json(&["diff", text(&a), text(&b)]);
    assert!(pairs.iter().all(|p| p["comparable"] == false), "{pairs:?}");
    assert!(pairs.iter().any(|p| p["differs"][0] == "mode cache-read → decode"), "{pairs:?}");

    stdout(&["plot", text(&a)]);
    for name in ["memory", "pareto", "change", "speed", "summary"] {
        let svg = std::fs::read_to_string(a.join(format!("{name}.svg"))).expect(name);
        assert!(svg.contains("<path") && !svg.contains("<text"), "{name}: text is drawn as paths");
        let png = std::fs::read(a.join(format!("{name}.png"))).expect(name);
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5000, "{name}");
    }
    assert!(mistake(&["plot", text(&a), "--figure", "passkey"]).contains("no data for it"));
    assert!(mistake(&["plot", text(&a), "--figure", "pareta"]).contains("nearest: pareto"));
    stdout(&["report", text(&a)]);
    let page = std::fs::read_to_string(a.join("report.html")).expect("a page");
    assert!(
        page.contains("<svg")
            && page.contains("k8v4")
            && !page.contains("http://www.w3.org/1999/xhtml")
    );
}

#[test]
fn published_tables_are_set_beside_ours() {
    assert!(stdout(&["reproduce"]).contains("kvsplit"));
    let args = ["reproduce", "kvsplit", "--dataset", "sample", "--chunks", "2", "--backend", "cpu"];
    let cells = json(&args);
    assert_eq!(cells.len(), 9 * 5);
    assert!(cells.iter().all(|c| c["ours"].as_f64().is_some()), "every policy of KVSplit exists");
    let shown = stdout(&[&args[..], &["--format", "markdown"]].concat());
    for words in
        ["What differs", "What is wrong", "sampler", "53.1", "Summary of what was measured"]
    {
        assert!(shown.contains(words), "{words}");
    }
    let missing = json(&[
        "reproduce",
        "flatquant",
        "--dataset",
        "sample",
        "--chunks",
        "1",
        "--backend",
        "cpu",
    ]);
    assert_eq!(missing.iter().filter(|c| c["missing"].is_string()).count(), 9);
}
