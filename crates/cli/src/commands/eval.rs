//! `kvr eval`: policies on a text, in one table.

use std::path::PathBuf;
use std::sync::Arc;

use kvr_eval::record::ResultFolder;
use kvr_eval::report::table::{Detail, Format, caption, records_table};
use kvr_eval::run::baseline::BaselineFile;
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::runner::Reference;
use kvr_eval::study::experiment::{Experiment, Lineup, Settings};
use kvr_eval::study::sweep::Grid;
use kvr_models::{Hub, Model, ModelSource};
use kvr_policy::{KvCachePolicy, Registry};
use serde::Serialize;

use crate::shared::args::{DeviceArgs, MatrixArgs, OutputFormat, PolicyArgs};
use crate::shared::error::{self, Usage, split};
use crate::shared::{backend, output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr eval
  kvr eval --policy fp16,k8v4,q5_1:q4_0 --chunks 20
  kvr eval --policy k8v4 --model tinyllama --dataset wikitext-2 --out results/tinyllama
  kvr eval --policy fp16,k4v4 --mode cache-read,decode,post-prefill
  kvr eval --protocol passkey --ctx 512,1024 --depth 0,50,100
  kvr eval --policy 'fp16,fp16[0=k4v16],fp16[0.1=k4v16]'   single layers and heads
  kvr eval --model ./my-llama --dataset notes.txt --format csv
  kvr eval --kvq-key 8 --kvq-val 4                     as in KVSplit: the policy k8v4";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    policies: PolicyArgs,
    /// mini, tinyllama, a folder, hub:owner/name[@revision], or random:geometry[:seed].
    #[arg(long, default_value = "mini")]
    model: String,
    /// sample, wikitext-2, wikitext-2:PATH, or a text file.
    #[arg(long, default_value = "sample")]
    dataset: String,
    #[command(flatten)]
    settings: SettingArgs,
    /// Policy that the others are compared with [default: fp16 where it is in the list].
    #[arg(long, value_name = "POLICY")]
    baseline: Option<String>,
    /// Save the baseline's final hidden states, from which --logits computes its logits.
    #[arg(long, value_name = "FILE")]
    save_logits: Option<PathBuf>,
    /// Compare with a baseline that --save-logits saved, instead of evaluating one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "save_logits"])]
    logits: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    matrices: MatrixArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Show every quantity.
    #[arg(long)]
    wide: bool,
    /// Also write records.jsonl, config.toml and table.md into this new folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Protocol, mode and other settings; most take several values.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingArgs {
    /// Protocols, comma-separated (`kvr protocols`).
    #[arg(long, value_delimiter = ',', default_value = "llama-cpp")]
    protocol: Vec<String>,
    /// Modes, comma-separated: cache-read, decode, post-prefill.
    #[arg(long, value_delimiter = ',', default_value = "cache-read")]
    mode: Vec<String>,
    /// Tokens in one window, comma-separated [default: the protocol's].
    #[arg(long, value_delimiter = ',', value_name = "TOKENS")]
    ctx: Vec<usize>,
    /// Tokens from one window of `strided` to the next [default: 512].
    #[arg(long, value_name = "TOKENS")]
    stride: Option<usize>,
    /// Where the pass key hides, in percent, comma-separated [default: 50].
    #[arg(long, value_delimiter = ',', value_name = "PERCENT")]
    depth: Vec<f64>,
    /// Evaluate the first N windows (articles, samples) only.
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
    /// Tokens appended in one step.
    #[arg(long, default_value_t = 512)]
    batch: usize,
    /// Seed of synthetic texts.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SettingArgs {
    /// The product of the lists.
    fn settings(&self, args: &Args) -> anyhow::Result<Vec<Settings>> {
        let grid = Grid {
            models: vec![args.model.clone()],
            datasets: vec![args.dataset.clone()],
            policies: Vec::new(),
            key_formats: Vec::new(),
            value_formats: Vec::new(),
            baseline: None,
            protocols: self.protocol.clone(),
            modes: self.mode.clone(),
            contexts: self.ctx.clone(),
            stride: self.stride,
            depths: self.depth.clone(),
            seeds: vec![self.seed],
            chunks: self.chunks,
            batch: self.batch,
        };
        grid.check()?;
        Ok(grid.groups().into_iter().map(|group| group.settings).collect())
    }
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    // Everything that can be wrong is looked at before the first window is computed, and the folder
    // of results last, so that a mistake leaves nothing behind.
    let source: ModelSource = args.model.parse()?;
    let policies = workbench::policies(&args.policies, registry)?;
    let file = args.logits.as_deref().map(BaselineFile::open).transpose()?;
    let (policies, compared) = match &file {
        Some(_) => (policies, false),
        None => workbench::with_baseline(policies, args.baseline.as_deref(), registry)?,
    };
    if args.save_logits.is_some() && !compared {
        return Err(Usage(
            "--save-logits: there is no baseline to save: name it with --baseline".into(),
        )
        .into());
    }
    let reference = match &file {
        Some(file) => Reference::File(file),
        None if compared => Reference::First,
        None => Reference::None,
    };
    let settings = args.settings.settings(args)?;
    if settings.len() > 1 && (file.is_some() || args.save_logits.is_some()) {
        return Err(Usage(
            "--logits and --save-logits go with one protocol, mode, --ctx and --depth".into(),
        )
        .into());
    }
    let hub = Hub::from_env();
    let dataset = Dataset::load(&args.dataset, &hub)?;
    let backend = backend::open(&args.device)?.on_matrices(&args.matrices)?;
    let model = source.load(&hub, &backend.context)?;
    let experiments = experiments(&model, &dataset, &settings, &policies)?;
    if let Some(file) = &file {
        experiments[0].check_file(file)?;
    }
    let folder = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    backend.announce();

    let windows: usize = experiments.iter().map(Experiment::windows).sum();
    let bar = workbench::bar(windows * policies.len())?;
    let lineup = Lineup { policies: &policies, reference, save: args.save_logits.as_deref() };
    let mut results = Vec::new();
    for experiment in &experiments {
        bar.set_message(experiment.to_string());
        results.extend(experiment.run(&lineup, &provenance::of(&backend), &mut || bar.inc(1))?);
    }
    bar.finish_and_clear();
    let (records, failures) = split(results);
    if records.is_empty() {
        return error::all(failures);
    }

    let detail = if args.wide { Detail::Full } else { Detail::Brief };
    let table = records_table(&records, detail);
    if let Some(folder) = folder {
        folder.write(&records, &config(args, &policies)?, &table.render(Format::Markdown))?;
    }
    output::print(args.format, &table, &records)?;
    if args.format.table().is_some() {
        eprintln!("{}", caption(&records));
    }
    output::print_warnings(&records);
    error::all(failures)
}

/// Every experiment, planned, and every policy tried on the model.
fn experiments<'a>(
    model: &'a Model,
    dataset: &Dataset,
    settings: &[Settings],
    policies: &[Arc<dyn KvCachePolicy>],
) -> anyhow::Result<Vec<Experiment<'a>>> {
    let experiments = settings.iter().map(|settings| Experiment::new(model, dataset, settings));
    let experiments = experiments.collect::<Result<Vec<_>, _>>()?;
    for experiment in &experiments {
        policies.iter().try_for_each(|policy| experiment.check(&**policy))?;
    }
    Ok(experiments)
}

/// The settings of a run, as they go into config.toml.
#[derive(Serialize)]
struct Config<'a> {
    command: String,
    model: &'a str,
    dataset: &'a str,
    policies: Vec<String>,
    protocols: &'a [String],
    modes: &'a [String],
    contexts: &'a [usize],
    batch_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<usize>,
    seed: u64,
}

fn config(args: &Args, policies: &[Arc<dyn KvCachePolicy>]) -> anyhow::Result<String> {
    Ok(toml::to_string(&Config {
        command: provenance::command(),
        model: &args.model,
        dataset: &args.dataset,
        policies: policies.iter().map(|p| p.name()).collect(),
        protocols: &args.settings.protocol,
        modes: &args.settings.mode,
        contexts: &args.settings.ctx,
        batch_tokens: args.settings.batch,
        chunks: args.settings.chunks,
        seed: args.settings.seed,
    })?)
}
