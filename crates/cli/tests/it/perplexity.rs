//! Perplexity of `mini` on WikiText-2's test text equals two independent programs'.

use kvr_eval::metrics::stats::estimate;
use kvr_eval::protocols::llama_cpp;
use kvr_eval::session::Session;
use kvr_policy::Registry;

use crate::support::{goldens, mini, wikitext};

/// One line of a golden table.
struct Cell {
    ctx: usize,
    chunks: usize,
    policy: String,
    perplexity: f64,
    /// llama.cpp's standard error, which takes tokens for independent.
    stderr: Option<f64>,
}

/// Lines of a tab-separated golden; its columns are found by their names.
fn cells(file: &str) -> Vec<Cell> {
    let text = std::fs::read_to_string(goldens().join(file)).expect("a golden table");
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|l| l.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let cell = |row: &[&str], name: &str| {
        header.iter().position(|h| *h == name).map(|i| row[i].to_owned())
    };
    let number =
        |row: &[&str], name: &str| cell(row, name).map(|v| v.parse::<f64>().expect("a number"));
    lines
        .map(|row| Cell {
            ctx: number(&row, "ctx").expect("ctx") as usize,
            chunks: number(&row, "chunks").expect("chunks") as usize,
            policy: format!("{}:{}", cell(&row, "k").expect("k"), cell(&row, "v").expect("v")),
            perplexity: number(&row, "ppl").expect("ppl"),
            stderr: number(&row, "stderr"),
        })
        .collect()
}

/// Compares a cell, with bounds in percent for lossless and for quantised pairs.
fn check(cell: &Cell, lossless: f64, quantised: f64) {
    let Some(path) = wikitext("wiki.test.raw") else { return };
    let model = mini();
    let tokenizer = model.tokenizer.as_ref().expect("mini has a tokenizer");
    let text = std::fs::read_to_string(path).expect("a text");
    let tokens = tokenizer.encode(&text).expect("tokens");
    let windows = llama_cpp::windows(&tokens, cell.ctx, None, model.bos()).expect("a long text");
    assert!(
        windows.len() >= cell.chunks,
        "the reference cut {} windows, we {}",
        cell.chunks,
        windows.len()
    );
    let policy = Registry::builtin().policy(&cell.policy).expect("a pair of built-in formats");
    let mut session = Session::new(&model.decoder, &*policy).expect("caches");
    let losses: Vec<Vec<f64>> = windows[..cell.chunks]
        .iter()
        .map(|window| session.score(window, 512).expect("a window").0)
        .collect();
    let ours = estimate(&losses).mean.exp();
    let off = 100.0 * (ours / cell.perplexity - 1.0);
    let raw = ["f32:f32", "f16:f16", "bf16:bf16"].contains(&cell.policy.as_str());
    let bound = if raw { lossless } else { quantised };
    println!(
        "{} ctx {}: ours {ours:.5}, theirs {}, {off:+.4} %",
        cell.policy, cell.ctx, cell.perplexity
    );
    assert!(
        off.abs() <= bound,
        "{} ctx {}: {ours:.5} is {off:+.4} % off {}",
        cell.policy,
        cell.ctx,
        cell.perplexity
    );
    if let Some(theirs) = cell.stderr {
        // Their formula on our losses: that the text, the windows and the losses are the same ones.
        let single: Vec<Vec<f64>> = losses.iter().flatten().map(|l| vec![*l]).collect();
        let stderr = ours * estimate(&single).stderr.expect("many tokens");
        assert!((stderr / theirs - 1.0).abs() < 1e-3, "standard error {stderr} against {theirs}");
    }
}

/// torch in float32, keys and values rounded exactly as each format says.
#[test]
fn every_cell_of_the_exact_reference() {
    let cells = cells("exact.tsv");
    assert_eq!(cells.len(), 8);
    cells.iter().for_each(|cell| check(cell, 0.005, 0.005));
}

/// llama.cpp, whose CPU path also rounds the query to 8 bits where keys are quantised.
#[test]
fn llama_cpp_at_2048_tokens() {
    let cells: Vec<_> = cells("llama_cpp.tsv").into_iter().filter(|c| c.ctx == 2048).collect();
    assert_eq!(cells.len(), 4);
    cells.iter().for_each(|cell| check(cell, 0.005, 0.05));
}

#[test]
fn llama_cpp_at_512_tokens() {
    let cells: Vec<_> = cells("llama_cpp.tsv").into_iter().filter(|c| c.ctx == 512).collect();
    assert_eq!(cells.len(), 6);
    cells.iter().for_each(|cell| check(cell, 0.005, 0.05));
}
