//! `kvr plan`: how far a budget of memory reaches under each policy, from a config alone.

use kvr_eval::EvalError;
use kvr_eval::bench::capacity::measure;
use kvr_eval::report::table::Table;
use kvr_eval::report::units;
use kvr_models::Hub;
use kvr_policy::Registry;
use serde::Serialize;

use crate::shared::args::{DeviceArgs, OutputFormat, PolicyArgs};
use crate::shared::error::Usage;
use crate::shared::{backend, output, workbench};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    policies: PolicyArgs,
    /// A built-in geometry, a model, or a folder with a config.json.
    #[arg(long, default_value = "tinyllama")]
    model: String,
    /// Memory for the caches: 2GiB, 500MB, or a number of bytes.
    #[arg(long, value_name = "BYTES", value_parser = units::parse_bytes)]
    budget: u64,
    /// Sequences that share the budget.
    #[arg(long, default_value_t = 1, value_name = "N")]
    sequences: u64,
    /// Contexts whose memory is shown, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "8192,32768,131072")]
    tokens: Vec<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

#[derive(Serialize)]
struct Row {
    policy: String,
    budget_bytes: u64,
    sequences: u64,
    bytes_per_token: f64,
    /// Absent where the cache stops growing within the budget.
    longest_context: Option<u64>,
    /// Absent also where f16 stops growing within the budget.
    longest_context_over_fp16: Option<f64>,
    bytes_at: Vec<(usize, u64)>,
    grows_evenly: bool,
    measured_to: usize,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policies = workbench::policies(&args.policies, registry)?;
    if args.sequences == 0 || args.tokens.contains(&0) {
        return Err(Usage("--sequences and --tokens: give at least one".to_owned()).into());
    }
    let geometry = kvr_models::geometry(&args.model, &Hub::from_env())?;
    let backend = backend::open(&args.device)?;
    backend.announce();
    let share = args.budget / args.sequences;
    // The theoretical f16 size is the yardstick, whether or not fp16 is in the list.
    let fp16_longest = geometry.longest(share / 2);
    let mut rows = Vec::new();
    for policy in &policies {
        let capacity = measure(&geometry, &**policy, &backend.context)?;
        let longest = capacity.longest(share);
        let bytes_at = args.tokens.iter().map(|n| Ok((*n, capacity.bytes(*n as u64)?)));
        rows.push(Row {
            policy: policy.name(),
            budget_bytes: args.budget,
            sequences: args.sequences,
            bytes_per_token: capacity.bytes_per_token(),
            longest_context: longest,
            longest_context_over_fp16: longest
                .zip(fp16_longest)
                .map(|(longest, fp16)| longest as f64 / fp16.max(1) as f64),
            bytes_at: bytes_at.collect::<Result<_, EvalError>>()?,
            grows_evenly: capacity.grows_evenly(),
            measured_to: capacity.measured_to(),
        });
    }
    let mut header = vec![
        "policy".to_owned(),
        "KV bytes/token ↓".to_owned(),
        format!("longest context in {} ↑", units::bytes(share)),
        "× fp16 ↑".to_owned(),
    ];
    header
        .extend(args.tokens.iter().map(|n| format!("KV at {} tokens ↓", units::whole(*n as u64))));
    let table = Table { text_columns: 1, header, rows: rows.iter().map(cells).collect() };
    output::print(args.format, &table, &rows)?;
    if args.format.table().is_some() {
        let trained = units::whole(geometry.max_positions as u64);
        eprintln!(
            "{}: trained for {trained} tokens of context; weights and activations are not in the \
            budget",
            args.model
        );
        for row in rows.iter().filter(|row| !row.grows_evenly) {
            eprintln!(
                "warning: {} does not grow evenly: figures beyond {} tokens are extrapolated",
                row.policy, row.measured_to
            );
        }
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![
        row.policy.clone(),
        format!("{:.0}", row.bytes_per_token),
        row.longest_context.map_or_else(|| "any".to_owned(), units::whole),
        row.longest_context_over_fp16.map_or_else(|| "–".to_owned(), |x| format!("{x:.2}")),
    ];
    cells.extend(row.bytes_at.iter().map(|(_, bytes)| units::bytes(*bytes)));
    cells
}
