//! `kvr bench attention`: time of attention over packed caches, and the device's bandwidth.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kvr_eval::bench::attention::{self, Load, Timed};
use kvr_eval::record::files::write_whole;
use kvr_eval::report::table::Table;
use kvr_models::{Geometry, Hub, geometry};
use kvr_policy::Registry;
use serde::Serialize;

use crate::shared::args::{DeviceArgs, MatrixArgs, OutputFormat, PolicyArgs};
use crate::shared::error::Usage;
use crate::shared::{backend, output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr bench attention
  kvr bench attention --model llama-3-8b --policy fp16,k8v4,kivi-4 --held 8192,32768 --batch 8
  kvr bench attention --queries 512 --held 8192 --threads 1 --backend cpu
  kvr bench attention --held 32768 --layers 22         caches larger than the processor's";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    policies: PolicyArgs,
    /// The geometry of one layer: tinyllama, llama-3-8b, mini, a folder, hub:owner/name.
    #[arg(long, default_value = "tinyllama")]
    model: String,
    /// Tokens held, comma-separated; the queries are the last of them.
    #[arg(long, value_delimiter = ',', default_value = "512,2048,8192,32768")]
    held: Vec<usize>,
    /// Queries of each sequence, comma-separated: 1 is decode.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    queries: Vec<usize>,
    /// Sequences.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Caches used round-robin, so that none stays in the processor's caches.
    #[arg(long, default_value_t = 1)]
    layers: usize,
    /// Samples after the one that warms up.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Also time decoding to tensors first, as without a fused kernel.
    #[arg(long)]
    unfused: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    matrices: MatrixArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Also write the rows as JSON into this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// One measured line.
#[derive(Debug, Serialize)]
struct Row {
    policy: String,
    policy_config: String,
    queries: usize,
    held: usize,
    batch: usize,
    layers: usize,
    query_heads: usize,
    kv_heads: usize,
    head_dim: usize,
    #[serde(flatten)]
    timed: Timed,
    /// Cache bytes read in a second, in units of 10⁹.
    gb_s: f64,
    /// The device's copies, bytes read and written together, in units of 10⁹.
    copy_gb_s: f64,
    /// Floating-point operations in a second, in units of 10⁹: two for each weight and value.
    gflop_s: f64,
    /// Time of fp16 over this one.
    speed_against_fp16: Option<f64>,
    warnings: Vec<String>,
    device: String,
    backend: String,
    threads: usize,
    git_rev: String,
    dirty: bool,
    date_utc: String,
    command: String,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policies = workbench::policies(&args.policies, registry)?;
    let least = args.held.iter().min().copied().unwrap_or(0);
    let numbers = [least, args.batch, args.layers, args.rounds];
    if numbers.contains(&0) || args.queries.iter().any(|q| *q == 0 || *q > least) {
        return Err(Usage(format!(
            "--held, --batch, --layers and --rounds: at least 1 each; --queries: 1 to the {least} \
            held"
        ))
        .into());
    }
    let sizes = geometry(&args.model, &Hub { offline: true, ..Hub::from_env() })?;
    let backend = backend::open(&args.device)?.on_matrices(&args.matrices)?;
    backend.announce();
    let copy = attention::copy_bandwidth(&backend.context.device)?;
    let made = provenance::of(&backend);
    let mut rows: Vec<Row> = Vec::new();
    for queries in &args.queries {
        for held in &args.held {
            let first = rows.len();
            for policy in &policies {
                let load = Load {
                    batch: args.batch,
                    held: *held,
                    queries: *queries,
                    layers: args.layers,
                    rounds: args.rounds,
                };
                let timed =
                    attention::time(&**policy, &sizes, load, args.unfused, &backend.context)?;
                let seconds = timed.microseconds / 1e6;
                rows.push(Row {
                    policy: policy.name(),
                    policy_config: policy.config(),
                    queries: *queries,
                    held: *held,
                    batch: args.batch,
                    layers: args.layers,
                    query_heads: sizes.query_heads,
                    kv_heads: sizes.kv_heads,
                    head_dim: sizes.head_dim,
                    gb_s: timed.cache_bytes as f64 / seconds / 1e9,
                    copy_gb_s: copy / 1e9,
                    gflop_s: operations(&sizes, load) / seconds / 1e9,
                    speed_against_fp16: None,
                    warnings: attention::unfused_warning(&sizes, &**policy, &backend.context)?
                        .into_iter()
                        .collect(),
                    timed,
                    device: made.device.clone(),
                    backend: made.backend.clone(),
                    threads: made.threads,
                    git_rev: made.git_rev.clone(),
                    dirty: made.dirty,
                    date_utc: made.date_utc.clone(),
                    command: made.command.clone(),
                });
            }
            let group = &mut rows[first..];
            let fp16 = group.iter().find(|r| r.policy == "fp16").map(|r| r.timed.microseconds);
            for row in group {
                row.speed_against_fp16 = fp16.map(|fp16| fp16 / row.timed.microseconds);
            }
        }
    }
    if let Some(file) = &args.out {
        write_whole(file, (serde_json::to_string_pretty(&rows)? + "\n").as_bytes())?;
    }
    output::print(args.format, &table(&rows), &rows)?;
    if args.format.table().is_some() {
        eprintln!(
            "one layer of {}: {} query heads, {} key-value heads, head_dim {}; batch {}, {} \
            cache(s) round-robin; this device copies {:.1} GB/s; {}, {} thread(s), revision {}",
            args.model,
            sizes.query_heads,
            sizes.kv_heads,
            sizes.head_dim,
            args.batch,
            args.layers,
            copy / 1e9,
            made.device,
            made.threads,
            made.git_rev,
        );
        let warnings: BTreeSet<&String> = rows.iter().flat_map(|row| &row.warnings).collect();
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    Ok(())
}

/// Products and sums of scores and of weighted values, for the tokens that queries read.
fn operations(sizes: &Geometry, load: Load) -> f64 {
    let read = load.queries * load.held - load.queries * (load.queries - 1) / 2;
    (4 * load.batch * sizes.query_heads * sizes.head_dim * read) as f64
}

fn table(rows: &[Row]) -> Table {
    let mut header = vec!["policy", "queries", "held", "µs ↓", "spread (%)", "cache GB/s ↑"];
    header.extend(["of copies (%)", "GFLOP/s ↑", "against fp16 ↑", "against unfused ↑"]);
    let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.1}", 100.0 * x));
    let times = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.2}×"));
    let cells = rows.iter().map(|row| {
        let unfused = row.timed.unfused_microseconds.map(|u| u / row.timed.microseconds);
        vec![
            row.policy.clone(),
            row.queries.to_string(),
            row.held.to_string(),
            format!("{:.1}", row.timed.microseconds),
            percent(row.timed.spread),
            format!("{:.2}", row.gb_s),
            percent(Some(row.gb_s / row.copy_gb_s)),
            format!("{:.1}", row.gflop_s),
            times(row.speed_against_fp16),
            times(unfused),
        ]
    });
    Table {
        text_columns: 1,
        header: header.iter().map(|h| (*h).to_owned()).collect(),
        rows: cells.collect(),
    }
}
