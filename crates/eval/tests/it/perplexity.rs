//! Perplexity and divergence of `mini` on WikiText-2's test text equal independent programs'.

use std::collections::BTreeMap;

use kvr_eval::record::{Provenance, Record};
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::runner::Reference;
use kvr_eval::study::experiment::{Experiment, Lineup, Settings};
use kvr_policy::Registry;
use kvr_testing::wikitext;

use crate::support::{mini, no_hub};

/// Where the golden tables lie.
const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");

/// One line of a golden table: its columns by name.
type Cell = BTreeMap<String, String>;

/// Lines of a tab-separated golden.
fn cells(file: &str) -> Vec<Cell> {
    let text = std::fs::read_to_string(format!("{GOLDENS}/{file}")).expect("a golden table");
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(|l| l.split('\t'));
    let header: Vec<&str> = lines.next().expect("a header").collect();
    let cell = |row: std::str::Split<'_, char>| {
        header.iter().map(|h| (*h).to_owned()).zip(row.map(str::to_owned)).collect()
    };
    lines.map(cell).collect()
}

fn number(cell: &Cell, name: &str) -> f64 {
    cell[name].parse().unwrap_or_else(|_| panic!("{name} is no number"))
}

fn policy(cell: &Cell) -> String {
    format!("{}:{}", cell["k"], cell["v"])
}

fn provenance() -> Provenance {
    Provenance {
        schema: kvr_eval::record::SCHEMA,
        git_rev: String::new(),
        dirty: false,
        date_utc: String::new(),
        command: String::new(),
        device: String::new(),
        backend: "cpu".to_owned(),
        threads: 0,
        burn_version: String::new(),
        dtype: "f32".to_owned(),
    }
}

/// Records of the policies, compared with the first, on the first windows of the test text.
fn evaluate(policies: &[String], ctx: usize, chunks: usize) -> Option<Vec<Record>> {
    let path = wikitext("wiki.test.raw")?;
    let dataset = Dataset::load(&path.to_string_lossy(), &no_hub()).expect("a text");
    let model = mini();
    let settings = Settings { ctx: Some(ctx), chunks: Some(chunks), ..Settings::default() };
    let experiment = Experiment::new(&model, &dataset, &settings).expect("a long text");
    assert_eq!(experiment.windows(), chunks, "the reference cut as many windows");
    let registry = Registry::builtin();
    let policies = policies.iter().map(|name| registry.policy(name).expect("a pair of formats"));
    let policies: Vec<_> = policies.collect();
    let lineup = Lineup { policies: &policies, reference: Reference::First, save: None };
    let records = experiment.run(&lineup, &provenance(), &mut || ()).expect("an evaluation");
    Some(records.into_iter().map(|record| record.expect("numbers")).collect())
}

/// Compares perplexities, with bounds in percent for lossless and for quantised pairs.
fn check(cells: &[Cell], records: &[Record], lossless: f64, quantised: f64) {
    for (cell, record) in cells.iter().zip(records) {
        let name = policy(cell);
        let quality = record.quality.as_ref().expect("a perplexity");
        let (ours, theirs) = (quality.perplexity, number(cell, "ppl"));
        let off = 100.0 * (ours / theirs - 1.0);
        let raw = ["f32:f32", "f16:f16", "bf16:bf16"].contains(&name.as_str());
        println!("{name} ctx {}: ours {ours:.5}, theirs {theirs}, {off:+.4} %", cell["ctx"]);
        assert!(off.abs() <= if raw { lossless } else { quantised }, "{name}: {off:+.4} % off");
    }
}

fn same_cells(cells: &[Cell], lossless: f64, quantised: f64) {
    let (ctx, chunks) = (number(&cells[0], "ctx"), number(&cells[0], "chunks"));
    let policies: Vec<String> = cells.iter().map(policy).collect();
    if let Some(records) = evaluate(&policies, ctx as usize, chunks as usize) {
        check(cells, &records, lossless, quantised);
    }
}

/// torch in float32 with keys and values rounded exactly as each format says, and llama.cpp's
/// `--kl-divergence` over the same windows: one evaluation serves both.
#[test]
fn the_exact_reference_and_the_divergences_of_llama_cpp() {
    let exact = cells("exact.tsv");
    assert_eq!((exact.len(), policy(&exact[0])), (8, "f32:f32".to_owned()));
    let policies: Vec<String> = exact.iter().map(policy).collect();
    let Some(records) = evaluate(&policies, 512, 100) else { return };
    // Exact programs differ where a rounded cache amplifies their last bits. 0.02 % is what
    // weights perturbed by 1e-7 do to SmolLM2 under k8v4; mini's own floor is not measured.
    // One pair, q5_1:q5_0, is 0.0067 % off: it was below 0.005 %, and the cause is not known.
    check(&exact, &records, 0.005, 0.02);

    let divergences = cells("llama_cpp_kld.tsv");
    assert_eq!(divergences.len(), 5);
    for cell in divergences {
        let name = policy(&cell);
        let record = records.iter().find(|r| r.cell.policy == name).expect("the same pairs");
        let ours = record.divergence.as_ref().expect("a comparison");
        let theirs = |column: &str| number(&cell, column);
        let kld_bound = (0.1 * theirs("kld_mean")).max(3e-5);
        println!(
            "{name}: KLD {:.6} against {:.6}, same top {:.3} against {:.3}, RMS Δp {:.3} against \
            {:.3}",
            ours.kld_mean,
            theirs("kld_mean"),
            100.0 * ours.same_top,
            theirs("same_top_percent"),
            100.0 * ours.rms_dp,
            theirs("rms_dp_percent")
        );
        assert!((ours.kld_mean - theirs("kld_mean")).abs() <= kld_bound, "{name}: mean KLD");
        let same_top = 100.0 * ours.same_top - theirs("same_top_percent");
        // 0.40 points were measured: llama.cpp rounds queries to 8 bits. Another order of adding in
        // our kernels moves a token or two in 25,500, 0.004 points each.
        assert!(same_top.abs() <= 0.45, "{name}: same top is {same_top:+.3} points off");
        let rms = 100.0 * ours.rms_dp - theirs("rms_dp_percent");
        assert!(rms.abs() <= 0.02, "{name}: RMS Δp is {rms:+.4} points off");
        let medians = ours.kld_median - theirs("kld_median");
        assert!(medians.abs() <= (0.1 * theirs("kld_median")).max(1e-5), "{name}: median KLD");
        let p99 = ours.kld_p99 / theirs("kld_p99").max(1e-3)
            - theirs("kld_p99") / theirs("kld_p99").max(1e-3);
        assert!(p99.abs() <= 0.15, "{name}: 99th percentile of KLD is {p99:+.3} off");
        let delta = record.comparison.as_ref().expect("a comparison").delta_nll;
        assert!((delta - theirs("ln_ppl_ratio")).abs() <= 5e-4, "{name}: ln of the ratio");
    }
}

/// llama.cpp, whose CPU path also rounds the query to 8 bits where keys are quantised.
#[test]
fn llama_cpp_at_2048_tokens() {
    let cells: Vec<_> = cells("llama_cpp.tsv").into_iter().filter(|c| c["ctx"] == "2048").collect();
    assert_eq!(cells.len(), 4);
    same_cells(&cells, 0.005, 0.05);
}

#[test]
fn llama_cpp_at_512_tokens() {
    let cells: Vec<_> = cells("llama_cpp.tsv").into_iter().filter(|c| c["ctx"] == "512").collect();
    assert_eq!(cells.len(), 6);
    same_cells(&cells, 0.005, 0.05);
}
