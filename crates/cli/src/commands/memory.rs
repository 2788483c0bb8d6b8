//! `kvr memory`: caches of a geometry, filled and counted.

use kvr_eval::bench::memory;
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
    pub(crate) policies: PolicyArgs,
    /// A built-in geometry, a model, or a folder with a config.json.
    #[arg(long, default_value = "tinyllama")]
    pub(crate) model: String,
    /// Tokens held, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "128,2048,4096,8192")]
    pub(crate) tokens: Vec<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
}

#[derive(Serialize)]
struct Row {
    policy: String,
    tokens: usize,
    cache_bytes_held: u64,
    cache_bytes_allocated: u64,
    cache_bytes_fp16: u64,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policies = workbench::policies(&args.policies, registry)?;
    if args.tokens.contains(&0) {
        return Err(Usage("--tokens 0: give at least one token".to_owned()).into());
    }
    let geometry = kvr_models::geometry(&args.model, &Hub::from_env())?;
    let backend = backend::open(&args.device)?;
    for policy in &policies {
        let longest = backend.context.planned(args.tokens.iter().copied().max());
        kvr_models::caches(&geometry, &**policy, 1, &longest)?;
    }
    backend.announce();
    let mut rows = Vec::new();
    for policy in &policies {
        for &tokens in &args.tokens {
            let cache_bytes_fp16 = memory::fp16_bytes(&geometry, tokens)?;
            let footprint = memory::measure(&geometry, &**policy, tokens, &backend.context)?;
            rows.push(Row {
                policy: policy.name(),
                tokens,
                cache_bytes_held: footprint.held(),
                cache_bytes_allocated: footprint.allocated,
                cache_bytes_fp16,
            });
        }
    }
    let header = ["policy", "tokens", "held ↓", "allocated ↓", "held, % of fp16 ↓"];
    let table = Table {
        text_columns: 1,
        header: header.map(str::to_owned).into(),
        rows: rows.iter().map(cells).collect(),
    };
    output::print(args.format, &table, &rows)
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.policy.clone(),
        row.tokens.to_string(),
        units::bytes(row.cache_bytes_held),
        units::bytes(row.cache_bytes_allocated),
        format!("{:.1}", 100.0 * row.cache_bytes_held as f64 / row.cache_bytes_fp16 as f64),
    ]
}
