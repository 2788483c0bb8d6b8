//! `kvr eval`: policies on a text, in one table.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use kvr_eval::dataset::Dataset;
use kvr_eval::memory::peak_process_bytes;
use kvr_eval::metrics::stats::Estimate;
use kvr_eval::protocols::{Window, llama_cpp};
use kvr_eval::record::{Record, ResultFolder, SCHEMA};
use kvr_eval::runner::{Outcome, Settings, evaluate};
use kvr_eval::table::{Format, eval_table};
use kvr_models::{Hub, Model, ModelSource};
use kvr_policy::{KvCachePolicy, Registry};
use serde::Serialize;

use crate::args::EvalArgs;
use crate::backend::{self, Backend};
use crate::error::Usage;
use crate::output;
use crate::provenance;

/// How a cache is read while scoring: every query, its own token included, reads what is stored.
const MODE: &str = "cache-read";

pub(crate) fn run(args: &EvalArgs, registry: &Registry) -> anyhow::Result<()> {
    // Everything that can be wrong is looked at before the first window is computed, and the folder
    // of results last, so that a mistake leaves nothing behind.
    let source: ModelSource = args.model.parse()?;
    let (policies, baseline) = lineup(args, registry)?;
    if args.batch == 0 {
        return Err(Usage("--batch 0: append at least one token a step".to_owned()).into());
    }
    if args.chunks == Some(0) {
        return Err(Usage("--chunks 0: evaluate at least one window".to_owned()).into());
    }
    let hub = Hub::from_env();
    let dataset = Dataset::load(&args.dataset, &hub)?;
    let backend = backend::open(&args.device)?;
    let model = source.load(&hub, &backend.device)?;
    let windows = windows(args, &model, &dataset)?;
    for policy in &policies {
        model.decoder.caches(&**policy, 1)?;
    }
    let folder = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    backend.announce();
    let settings =
        Settings { batch: args.batch, memory_ctx: model.decoder.spec().geometry.max_positions };

    let bar = ProgressBar::new((windows.len() * policies.len()) as u64).with_style(
        ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} windows, {eta} left")?,
    );
    let run = Run {
        args,
        model: &model,
        dataset: &dataset,
        backend: &backend,
        windows: &windows,
        settings: &settings,
    };
    let mut records = Vec::new();
    let mut reference: Option<Outcome> = None;
    for policy in &policies {
        bar.set_message(policy.name());
        let outcome =
            evaluate(&model, &**policy, &windows, &settings, reference.as_ref(), &mut || {
                bar.inc(1)
            })?;
        let is_baseline = baseline.as_deref() == Some(policy.name().as_str());
        records.push(run.record(&**policy, &outcome, baseline.as_deref(), is_baseline));
        if is_baseline {
            reference = Some(outcome);
        }
    }
    bar.finish_and_clear();

    let table = eval_table(&records);
    if let Some(folder) = folder {
        folder.write(&records, &config(args, &policies)?, &table.render(Format::Markdown))?;
    }
    output::print(args.format, &table, &records)
}

/// The policies in the order in which they run, the baseline first, and the baseline's name.
type Lineup = (Vec<Arc<dyn KvCachePolicy>>, Option<String>);

fn lineup(args: &EvalArgs, registry: &Registry) -> anyhow::Result<Lineup> {
    let mut policies = super::policies(&args.policies, registry)?;
    let baseline = match &args.baseline {
        Some(name) => Some(registry.policy(name)?),
        None => policies.iter().find(|p| p.name() == "fp16").cloned(),
    };
    let Some(baseline) = baseline else { return Ok((policies, None)) };
    policies.retain(|p| p.name() != baseline.name());
    policies.insert(0, baseline.clone());
    Ok((policies, Some(baseline.name())))
}

fn windows(args: &EvalArgs, model: &Model, dataset: &Dataset) -> anyhow::Result<Vec<Window>> {
    let spec = model.decoder.spec();
    let longest = spec.geometry.max_positions;
    if args.ctx > longest {
        return Err(Usage(format!(
            "--ctx {}: {} was made for at most {longest} tokens; give --ctx {longest} or less",
            args.ctx, model.name
        ))
        .into());
    }
    let tokens = match &model.tokenizer {
        Some(tokenizer) => tokenizer.encode(&dataset.text)?,
        // Random weights have no tokenizer; bytes stand for tokens, so that speed can be measured.
        None if model.sha256.is_none() => {
            dataset.text.bytes().map(|b| u32::from(b) % spec.vocab_size as u32).collect()
        }
        None => {
            return Err(Usage(format!(
                "{}: has no tokenizer.json: put the model's tokenizer beside its weights",
                model.name
            ))
            .into());
        }
    };
    Ok(llama_cpp::windows(&tokens, args.ctx, args.chunks, model.bos())?)
}

/// What all records of one command share.
struct Run<'a> {
    args: &'a EvalArgs,
    model: &'a Model,
    dataset: &'a Dataset,
    backend: &'a Backend,
    windows: &'a [Window],
    settings: &'a Settings,
}

impl Run<'_> {
    fn record(
        &self,
        policy: &dyn KvCachePolicy,
        outcome: &Outcome,
        baseline: Option<&str>,
        is_baseline: bool,
    ) -> Record {
        let perplexity = outcome.nll.mean.exp();
        // The baseline differs from itself by nothing, and that is certain.
        let delta = match is_baseline {
            true => Some(Estimate { mean: 0.0, stderr: Some(0.0) }),
            false => outcome.delta,
        };
        let geometry = &self.model.decoder.spec().geometry;
        let memory_ctx = self.settings.memory_ctx;
        let memory = &outcome.context_memory;
        let mut warnings = outcome.warnings.clone();
        if self.model.sha256.is_none() {
            warnings
                .push("random weights: perplexity means nothing, speed and memory do".to_owned());
        }
        Record {
            schema: SCHEMA,
            git_rev: provenance::GIT_REV.to_owned(),
            dirty: provenance::dirty(),
            date_utc: provenance::date_utc(),
            command: provenance::command(),
            device: self.backend.description.clone(),
            backend: self.backend.name.to_owned(),
            threads: self.backend.threads,
            burn_version: provenance::BURN_VERSION.to_owned(),
            dtype: "f32".to_owned(),
            model: self.model.name.clone(),
            model_sha256: self.model.sha256.clone(),
            dataset: self.dataset.name.clone(),
            dataset_sha256: self.dataset.sha256.clone(),
            policy: policy.name(),
            policy_config: policy.config(),
            protocol: llama_cpp::NAME.name.to_owned(),
            protocol_version: llama_cpp::NAME.version,
            mode: MODE.to_owned(),
            ctx: self.args.ctx,
            batch_tokens: self.args.batch,
            chunks: self.windows.len(),
            scored_tokens: outcome.losses.iter().map(Vec::len).sum(),
            seed: self.args.seed,
            nll: outcome.nll.mean,
            nll_stderr: outcome.nll.stderr,
            perplexity,
            perplexity_stderr: outcome.nll.stderr.map(|e| e * perplexity),
            baseline: baseline.map(str::to_owned),
            delta_nll: delta.map(|d| d.mean),
            delta_nll_stderr: delta.and_then(|d| d.stderr),
            perplexity_ratio: delta.map(|d| d.mean.exp()),
            perplexity_ratio_stderr: delta.and_then(|d| Some(d.stderr? * d.mean.exp())),
            memory_ctx,
            cache_bytes_held: memory.held(),
            cache_bytes_allocated: memory.allocated,
            cache_bytes_fp16: (2 * geometry.values_per_token() * memory_ctx) as u64,
            bytes_per_token: memory.held() as f64 / memory_ctx as f64,
            peak_process_bytes: peak_process_bytes(),
            prefill_s: outcome.prefill_s,
            prefill_tok_s: outcome.prefill_tok_s,
            decode_tok_s: outcome.decode_tok_s,
            warnings,
        }
    }
}

/// The settings of a run, as they go into config.toml.
#[derive(Serialize)]
struct Config<'a> {
    command: String,
    model: &'a str,
    dataset: &'a str,
    policies: Vec<String>,
    protocol: &'a str,
    mode: &'a str,
    ctx: usize,
    batch_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<usize>,
    seed: u64,
}

fn config(args: &EvalArgs, policies: &[Arc<dyn KvCachePolicy>]) -> anyhow::Result<String> {
    Ok(toml::to_string(&Config {
        command: provenance::command(),
        model: &args.model,
        dataset: &args.dataset,
        policies: policies.iter().map(|p| p.name()).collect(),
        protocol: llama_cpp::NAME.name,
        mode: MODE,
        ctx: args.ctx,
        batch_tokens: args.batch,
        chunks: args.chunks,
        seed: args.seed,
    })?)
}
