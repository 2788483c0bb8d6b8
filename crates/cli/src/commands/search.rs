//! `kvr search`: a policy for each layer, within a budget of bits.

use std::path::PathBuf;
use std::sync::Arc;

use kvr_eval::bench::memory;
use kvr_eval::record::{Record, ResultFolder};
use kvr_eval::report::plot::Front;
use kvr_eval::report::table::{Detail, Format, records_table, signed};
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::policies::{find, spec};
use kvr_eval::run::runner::Reference;
use kvr_eval::study::experiment::{Experiment, Lineup, Settings};
use kvr_eval::study::search::front::{Choice, front, within};
use kvr_eval::study::search::{Measured, Search};
use kvr_models::{Hub, Model};
use kvr_policy::spec::split_names;
use kvr_policy::{KvCachePolicy, Registry};

use crate::shared::args::{DeviceArgs, OutputFormat};
use crate::shared::backend::Backend;
use crate::shared::error::Usage;
use crate::shared::{output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr search --budget 6.5bpv --held-out wikitext-2 --out found
  kvr search --budget 4.5bpv --dataset wiki.valid.raw --held-out wikitext-2 --per-head \\
    --candidates k8v4,k5v4,k4v4,k4v4-rotated,a3g64 --out found
Then: kvr eval --policy fp16,found/policy.toml";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Average bits per value of keys and values, scales included: 6.5bpv.
    #[arg(long, value_name = "BITS")]
    budget: String,
    /// Policies that a layer may get, comma-separated, as `--policy` of `kvr eval` takes them.
    #[arg(long, default_value = "k8v8,k8v5,k8v4,k5v8,k5v5,k5v4,k4v8,k4v5,k4v4")]
    candidates: String,
    /// Let each key-value head choose, not only each layer.
    #[arg(long)]
    per_head: bool,
    /// Policy that losses are measured against.
    #[arg(long, default_value = "fp16", value_name = "POLICY")]
    baseline: String,
    /// mini, tinyllama, a folder, hub:owner/name[@revision].
    #[arg(long, default_value = "mini")]
    model: String,
    /// The text that sensitivities are measured on.
    #[arg(long, default_value = "sample")]
    dataset: String,
    /// Windows of that text.
    #[arg(long, default_value_t = 16, value_name = "N")]
    chunks: usize,
    /// Another text, on which the result is compared with the best uniform policy: results on the
    /// calibration text are biased in favour of the search.
    #[arg(long, value_name = "DATASET")]
    held_out: String,
    /// Windows of that text [default: all].
    #[arg(long, value_name = "N")]
    held_out_chunks: Option<usize>,
    /// Tokens in one window [default: the protocol's].
    #[arg(long, value_name = "TOKENS")]
    ctx: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// New folder for policy.toml, front.csv, front.svg and the records.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let bits = bits(&args.budget)?;
    if args.held_out == args.dataset {
        return Err(Usage(format!(
            "--held-out {}: is the text that the search runs on: name another",
            args.held_out
        ))
        .into());
    }
    let hub = Hub::from_env();
    let texts = [Dataset::load(&args.dataset, &hub)?, Dataset::load(&args.held_out, &hub)?];
    let (backend, model) = workbench::load(&args.model, &args.device, &hub)?;
    let geometry = &model.decoder.spec().geometry;
    let search = Search {
        baseline: spec(&args.baseline)?,
        candidates: split_names(&args.candidates)
            .into_iter()
            .map(spec)
            .collect::<Result<_, _>>()?,
        layers: geometry.layers,
        heads: if args.per_head { geometry.kv_heads } else { 1 },
    };
    let policies = search.policies(registry)?;
    let per_token = geometry.values_per_token() as f64 / 8.0;
    affordable(&policies[1..=search.candidates.len()], &model, bits)?;
    let settings = |chunks| Settings { ctx: args.ctx, chunks, ..Settings::default() };
    let calibration = Experiment::new(&model, &texts[0], &settings(Some(args.chunks)))?;
    let judging = Experiment::new(&model, &texts[1], &settings(args.held_out_chunks))?;
    policies.iter().try_for_each(|policy| calibration.check(&**policy))?;
    let folder = ResultFolder::claim(&args.out)?;
    backend.announce();

    let sensitivity = measure(&calibration, &policies, &backend, "sensitivities")?;
    let measured = search.measured(&sensitivity)?;
    let front = front(&measured.losses, &measured.bytes);
    let Some(choice) = within(&front, bits * per_token) else {
        return Err(Usage(format!("--budget {bits}bpv: no candidate is small enough")).into());
    };
    let name = args.out.file_name().map_or("found".into(), |name| name.to_string_lossy());
    let about = format!("{} bits per value for {}, found on {}", bits, model.name, texts[0].name);
    let file = search.policy_file(&name, &about, choice)?;
    let found = registry.policy_of_toml(&name, &file)?;
    let rivals = rivals(&search, &measured, bits * per_token, registry)?;
    judging.check(&*found)?;
    let judged = judge(&judging, &backend, find(registry, &args.baseline)?, &rivals, &found)?;

    let table = records_table(&judged.records, Detail::Brief);
    let text = words(&search.notation(choice)?.to_string(), &judged);
    folder.write_file("policy.toml", &format!("# {}\n{file}", provenance::command()))?;
    folder.write_file("front.csv", &csv(&search, &front, per_token)?)?;
    let uniform_points = search.candidates.iter().zip(&measured.bytes).zip(&measured.uniform);
    let parts = measured.losses.len() as f64;
    let picture = Front {
        subtitle: format!("model {}, calibrated on {}", model.name, texts[0].name),
        found: front.iter().map(|c| (c.bytes / per_token, 1e3 * c.loss)).collect(),
        uniform: uniform_points
            .map(|((name, bytes), kld)| (name.to_string(), bytes * parts / per_token, 1e3 * kld))
            .collect(),
    };
    folder.write_file("front.svg", &picture.draw()?.svg())?;
    let lines = sensitivity.iter().map(|r| Ok(r.line()? + "\n"));
    folder.write_file("sensitivity.jsonl", &lines.collect::<anyhow::Result<String>>()?)?;
    let page = format!("{}\n{text}", table.render(Format::Markdown));
    folder.write(&judged.records, &provenance::config()?, &page)?;
    output::print(args.format, &table, &judged.records)?;
    if args.format.table().is_some() {
        output::write_out(&format!("\n{text}"))?;
    }
    Ok(())
}

fn bits(text: &str) -> anyhow::Result<f64> {
    let number = text.strip_suffix("bpv").unwrap_or(text).trim().parse::<f64>();
    number.ok().filter(|bits| bits.is_finite() && *bits > 0.0).ok_or_else(|| {
        Usage(format!("--budget {text}: write bits per value, such as 6.5bpv")).into()
    })
}

/// Refuses, before anything is measured, a budget that no candidate keeps.
fn affordable(
    candidates: &[Arc<dyn KvCachePolicy>],
    model: &Model,
    bits: f64,
) -> anyhow::Result<()> {
    let geometry = &model.decoder.spec().geometry;
    let tokens = geometry.max_positions;
    let mut least = f64::INFINITY;
    for policy in candidates {
        let bytes = memory::measure(geometry, &**policy, tokens, model.decoder.context())?.held();
        let values = geometry.values(tokens as u64);
        least = least.min(8.0 * bytes as f64 / values as f64);
    }
    if least <= bits {
        return Ok(());
    }
    let need = format!("the smallest candidate needs {least:.3} bits per value");
    Err(Usage(format!("--budget {bits}bpv: {need}: raise it, or add a candidate")).into())
}

fn measure(
    experiment: &Experiment<'_>,
    policies: &[Arc<dyn KvCachePolicy>],
    backend: &Backend,
    what: &'static str,
) -> anyhow::Result<Vec<Record>> {
    let bar = workbench::bar(experiment.windows() * policies.len())?;
    bar.set_message(what);
    let lineup = Lineup { policies, reference: Reference::First, save: None };
    let results = experiment.run(&lineup, &provenance::of(backend), &mut || bar.inc(1))?;
    bar.finish_and_clear();
    // A search can't do without one of them.
    Ok(results.into_iter().collect::<Result<_, _>>()?)
}

/// The uniform policies to beat: the best within the budget, and the best of those that use most
/// of it.
fn rivals(
    search: &Search,
    measured: &Measured,
    budget: f64,
    registry: &Registry,
) -> anyhow::Result<Vec<Arc<dyn KvCachePolicy>>> {
    let bytes = |i: usize| measured.bytes[i] * measured.losses.len() as f64;
    let fits = (0..search.candidates.len()).filter(|i| bytes(*i) <= budget * (1.0 + 1e-9));
    let loss = |a: &usize, b: &usize| measured.uniform[*a].total_cmp(&measured.uniform[*b]);
    let largest = fits.clone().max_by(|a, b| bytes(*a).total_cmp(&bytes(*b)).then(loss(b, a)));
    let (Some(best), Some(largest)) = (fits.min_by(loss), largest) else {
        return Err(Usage("no candidate is within the budget everywhere: add one".into()).into());
    };
    let mut rivals = vec![best];
    rivals.extend((largest != best).then_some(largest));
    Ok(rivals
        .into_iter()
        .map(|i| registry.build(&search.candidates[i]))
        .collect::<Result<_, _>>()?)
}

/// The held-out evaluation.
struct Judged {
    /// Baseline, rivals, found.
    records: Vec<Record>,
    /// The found policy against each rival, paired.
    paired: Vec<Record>,
}

fn judge(
    experiment: &Experiment<'_>,
    backend: &Backend,
    baseline: Arc<dyn KvCachePolicy>,
    rivals: &[Arc<dyn KvCachePolicy>],
    found: &Arc<dyn KvCachePolicy>,
) -> anyhow::Result<Judged> {
    let all: Vec<_> =
        [baseline].into_iter().chain(rivals.iter().cloned()).chain([found.clone()]).collect();
    let records = measure(experiment, &all, backend, "held-out text")?;
    let paired = rivals.iter().map(|rival| {
        let mut records = measure(experiment, &[rival.clone(), found.clone()], backend, "paired")?;
        Ok(records.remove(1))
    });
    Ok(Judged { records, paired: paired.collect::<anyhow::Result<_>>()? })
}

fn words(notation: &str, judged: &Judged) -> String {
    let mut text = format!("Found: `{notation}`. On the held-out text:\n\n");
    let kld = |r: &Record| r.divergence.as_ref().map(|d| (1e3 * d.kld_mean, d.kld_stderr));
    let Some((found, rivals)) = judged.records[1..].split_last() else { return text };
    for (rival, paired) in rivals.iter().zip(&judged.paired) {
        let (Some((a, ea)), Some((b, eb)), Some(change)) =
            (kld(rival), kld(found), &paired.comparison)
        else {
            continue;
        };
        // Both ran on the same text, so this error, as of independent numbers, is the larger one.
        let error = ea.zip(eb).map(|(ea, eb)| 1e3 * ea.hypot(eb));
        let perplexity = signed(
            100.0 * (change.perplexity_ratio - 1.0),
            change.perplexity_ratio_stderr.map(|error| 100.0 * error),
            3,
        );
        text.push_str(&format!(
            "- against {} ({:.0} bytes per token, here {:.0}): KL divergence {} 10⁻³ nats ({:+.1} \
            %), perplexity {perplexity} % (paired)\n",
            rival.cell.policy,
            rival.memory.bytes_per_token,
            found.memory.bytes_per_token,
            signed(b - a, error, 3),
            100.0 * (b / a - 1.0),
        ));
    }
    text
}

fn csv(search: &Search, front: &[Choice], per_token: f64) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["bits_per_value", "bytes_per_token", "predicted_kld", "policy"])?;
    for choice in front {
        let numbers = [choice.bytes / per_token, choice.bytes, choice.loss];
        let numbers = numbers.map(|x| x.to_string());
        let name = search.notation(choice)?.to_string();
        writer.write_record(numbers.iter().cloned().chain([name]))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
