//! `kvr compare`: KVSplit's quick comparison, on one prompt under several policies.

use kvr_eval::record::Record;
use kvr_eval::report::table::{Table, signed, with_error};
use kvr_eval::report::units;
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::generate::{Generated, Sampling, generate};
use kvr_eval::run::modes::Mode;
use kvr_eval::run::protocols::Encoder;
use kvr_eval::run::runner::Reference;
use kvr_eval::run::session::Session;
use kvr_eval::study::experiment::{Experiment, Lineup, Settings};
use kvr_models::{Hub, Lengths, Model};
use kvr_policy::Registry;
use serde::Serialize;

use super::generate::{limits, text_of};
use crate::shared::args::{DeviceArgs, OutputFormat, PolicyArgs};
use crate::shared::error::{all, split};
use crate::shared::{output, provenance, workbench};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The prompt; several words are quoted, or joined with spaces.
    #[arg(required = true)]
    prompt: Vec<String>,
    /// Tokens to generate under each policy.
    #[arg(short = 'n', long, default_value_t = 64, value_name = "N")]
    tokens: usize,
    /// A text (or dataset) whose perplexity is shown as well.
    #[arg(long, default_value = "sample")]
    text: String,
    /// Windows of that text.
    #[arg(long, default_value_t = 4, value_name = "N")]
    chunks: usize,
    /// Policy that the others are compared with [default: fp16 where it is in the list].
    #[arg(long, value_name = "POLICY")]
    baseline: Option<String>,
    /// mini, tinyllama, a folder, or hub:owner/name[@revision].
    #[arg(long, default_value = "mini")]
    model: String,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

#[derive(Serialize)]
struct Row {
    policy: String,
    text: String,
    /// The first token, from 1, that is not the baseline's; absent where all are.
    departs_at_token: Option<usize>,
    kv_bytes_held: u64,
    first_token_s: f64,
    decode_tok_s: Option<f64>,
    perplexity: Option<f64>,
    perplexity_stderr: Option<f64>,
    perplexity_ratio: Option<f64>,
    perplexity_ratio_stderr: Option<f64>,
    #[serde(skip)]
    same: String,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policies = workbench::policies(&args.policies, registry)?;
    let (policies, compared) =
        workbench::with_baseline(policies, args.baseline.as_deref(), registry)?;
    let hub = Hub::from_env();
    let dataset = Dataset::load(&args.text, &hub)?;
    let (backend, model) = workbench::load(&args.model, &args.device, &hub)?;
    let limits = limits(&model, None, args.tokens)?;
    let prompt = args.prompt.join(" ");
    let ids = Encoder::new(&model)?.text(&prompt)?;
    let settings = Settings { chunks: Some(args.chunks), ..Settings::default() };
    let experiment = Experiment::new(&model, &dataset, &settings)?;
    backend.announce();

    let mut rows: Vec<Row> = Vec::new();
    let mut first: Option<Generated> = None;
    for policy in &policies {
        let mut session = Session::new(
            &model.decoder,
            policy,
            Mode::of_generation(&**policy),
            Lengths::of(ids.len()),
        )?;
        let done = generate(&mut session, &ids, &limits, Sampling::GREEDY, &mut |_| Ok(()))?;
        let base = first.as_ref().unwrap_or(&done);
        let same = done.tokens.iter().zip(&base.tokens).take_while(|(a, b)| a == b).count();
        let departs = same < done.tokens.len().max(base.tokens.len());
        rows.push(Row {
            policy: policy.name(),
            text: text_of(&model, &done.tokens)?,
            same: text_of(&model, &done.tokens[..same])?,
            departs_at_token: departs.then_some(same + 1),
            kv_bytes_held: session.footprint().held(),
            first_token_s: done.first_token_s,
            decode_tok_s: done.decode_tok_s,
            perplexity: None,
            perplexity_stderr: None,
            perplexity_ratio: None,
            perplexity_ratio_stderr: None,
        });
        first.get_or_insert(done);
    }
    let reference = if compared { Reference::First } else { Reference::None };
    let lineup = Lineup { policies: &policies, reference, save: None };
    let results = experiment.run(&lineup, &provenance::of(&backend), &mut || ())?;
    for (row, result) in rows.iter_mut().zip(&results) {
        let Ok(record) = result else { continue };
        row.perplexity = record.quality.as_ref().map(|q| q.perplexity);
        row.perplexity_stderr = record.quality.as_ref().and_then(|q| q.perplexity_stderr);
        row.perplexity_ratio = record.comparison.as_ref().map(|c| c.perplexity_ratio);
        row.perplexity_ratio_stderr =
            record.comparison.as_ref().and_then(|c| c.perplexity_ratio_stderr);
    }
    let (records, failures) = split(results);
    output::print(args.format, &table(&rows, &records, &args.text), &rows)?;
    if args.format.table().is_some() {
        output::write_out(&texts(&rows, &prompt, &model))?;
    }
    all(failures)
}

fn table(rows: &[Row], records: &[Record], text: &str) -> Table {
    let baseline = records.iter().find_map(|r| r.baseline()).unwrap_or("first");
    let header = [
        "policy".to_owned(),
        format!("departs from {} at token", rows.first().map_or(baseline, |r| &r.policy)),
        "KV held ↓".to_owned(),
        "first token (s) ↓".to_owned(),
        "decode tok/s ↑".to_owned(),
        format!("perplexity of {text} ↓"),
        "Δ (%)".to_owned(),
    ];
    let rows = rows.iter().map(|row| {
        let ratio = row.perplexity_ratio.map(|ratio| {
            signed(100.0 * (ratio - 1.0), row.perplexity_ratio_stderr.map(|e| 100.0 * e), 3)
        });
        vec![
            row.policy.clone(),
            row.departs_at_token.map_or_else(|| "never".to_owned(), |n| n.to_string()),
            units::bytes(row.kv_bytes_held),
            format!("{:.3}", row.first_token_s),
            row.decode_tok_s.map_or_else(|| "–".to_owned(), units::rate),
            row.perplexity.map_or_else(String::new, |p| with_error(p, row.perplexity_stderr, 3)),
            ratio.unwrap_or_else(|| "–".to_owned()),
        ]
    });
    Table { text_columns: 1, header: header.into(), rows: rows.collect() }
}

/// The texts under each other; `⟨` marks where one departs from the first.
fn texts(rows: &[Row], prompt: &str, model: &Model) -> String {
    let mut out = format!("\n{}: {prompt}\n", model.name);
    for row in rows {
        let rest = row.text.strip_prefix(row.same.as_str()).unwrap_or(&row.text);
        let mark = if row.departs_at_token.is_some() { "⟨" } else { "" };
        out.push_str(&format!("\n{}\n  {}{mark}{}\n", row.policy, row.same.trim_start(), rest));
    }
    out
}
