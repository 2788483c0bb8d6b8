//! `kvr bench speed`: tokens per second of a whole model.

use std::path::PathBuf;

use kvr_eval::bench::attention::unfused_warning;
use kvr_eval::bench::memory;
use kvr_eval::bench::speed::{self, Timing};
use kvr_eval::record::{Cell, Record, ResultFolder};
use kvr_eval::report::table::{Detail, Format, caption, records_table};
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::modes::Mode;
use kvr_eval::run::session::Session;
use kvr_models::{Hub, Lengths};
use kvr_policy::Registry;

use crate::shared::args::{DeviceArgs, MatrixArgs, OutputFormat, PolicyArgs};
use crate::shared::backend;
use crate::shared::error::Usage;
use crate::shared::{output, provenance, workbench};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    policies: PolicyArgs,
    /// mini, tinyllama, a folder, hub:owner/name[@revision], or random:geometry[:seed].
    #[arg(long, default_value = "mini")]
    model: String,
    /// Tokens held before the clock runs, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "0,512,1024")]
    depth: Vec<usize>,
    /// Tokens of the timed prefill.
    #[arg(long, default_value_t = 512)]
    prompt: usize,
    /// Tokens decoded one by one.
    #[arg(long, default_value_t = 32)]
    decode: usize,
    /// Rounds after the one that warms up.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tokens a step of prefill.
    #[arg(long, default_value_t = 512)]
    batch: usize,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    matrices: MatrixArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Also write records.jsonl, config.toml and table.md into this new folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policies = workbench::policies(&args.policies, registry)?;
    if [args.prompt, args.decode, args.rounds, args.batch].contains(&0) {
        let flags = "--prompt, --decode, --rounds and --batch";
        return Err(Usage(format!("{flags}: give at least 1 of each")).into());
    }
    let source = args.model.parse()?;
    let backend = backend::open(&args.device)?.on_matrices(&args.matrices)?;
    let (backend, model) = workbench::load_on(backend, source, &Hub::from_env())?;
    let folder = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    backend.announce();
    let ids = workbench::any_tokens(&model)?;
    let geometry = &model.decoder.spec().geometry;
    let text = Dataset::synthetic();
    let mut records = Vec::new();
    for depth in &args.depth {
        // All policies at one depth before the next, so that drift of the machine affects all.
        for policy in &policies {
            let mode = Mode::of_generation(&**policy);
            let planned = (depth + args.prompt + args.decode).max(1);
            let mut session = Session::new(&model.decoder, policy, mode, Lengths::of(planned))?;
            let timing = Timing {
                depth: *depth,
                prompt: args.prompt,
                decode: args.decode,
                rounds: args.rounds,
                batch: args.batch,
            };
            let speed = speed::measure(&mut session, &ids, &timing)?;
            let mut warnings = speed::warnings(&speed);
            warnings.extend(unfused_warning(geometry, &**policy, &backend.context)?);
            let end = timing.tokens()?;
            if end > geometry.max_positions {
                warnings.push(format!(
                    "{end} tokens are beyond the {} that {} was made for: speed is right, text \
                    would not be",
                    geometry.max_positions, model.name
                ));
            }
            records.push(Record {
                provenance: provenance::of(&backend),
                cell: Cell {
                    model: model.name.clone(),
                    model_sha256: model.sha256.clone(),
                    dataset: text.name.clone(),
                    dataset_sha256: text.sha256.clone(),
                    policy: policy.name(),
                    policy_config: policy.config(),
                    protocol: "speed".to_owned(),
                    protocol_version: 1,
                    mode: mode.name().to_owned(),
                    ctx: *depth,
                    stride: None,
                    depth_percent: None,
                    batch_tokens: args.batch,
                    chunks: args.rounds,
                    scored_tokens: 0,
                    seed: 0,
                },
                quality: None,
                text: None,
                retrieval: None,
                comparison: None,
                divergence: None,
                memory: memory::record(geometry, &**policy, end, &backend.context)?,
                speed: Some(speed),
                warnings,
            });
        }
    }
    let mut table = records_table(&records, Detail::Brief);
    for title in table.header.iter_mut().filter(|title| *title == "ctx") {
        "held before".clone_into(title);
    }
    if let Some(folder) = folder {
        let config = provenance::config()?;
        folder.write(&records, &config, &table.render(Format::Markdown))?;
    }
    output::print(args.format, &table, &records)?;
    if args.format.table().is_some() {
        eprintln!("{}, prompt {}, decode {}", caption(&records), args.prompt, args.decode);
    }
    output::print_warnings(&records);
    Ok(())
}
