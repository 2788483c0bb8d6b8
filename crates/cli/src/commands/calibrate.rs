//! `kvr calibrate`: fits a method's settings to a model on a text.

use std::path::PathBuf;

use kvr_eval::record::files::write_whole;
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::policies::find;
use kvr_eval::study::calibration;
use kvr_eval::study::experiment::{Experiment, Settings};
use kvr_models::Hub;
use kvr_policy::Registry;

use crate::shared::args::DeviceArgs;
use crate::shared::{output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr calibrate 'kvquant(key_bits=3;value_bits=3;outliers=1)' --out kvquant-3.toml
  kvr eval --policy fp16,kvquant-3.toml
Calibrate on another text than the one that is evaluated.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The method and its settings, as `--policy` takes them.
    method: String,
    /// mini, tinyllama, a folder, hub:owner/name[@revision].
    #[arg(long, default_value = "mini")]
    model: String,
    /// The calibration text: sample, wikitext-2, or a text file.
    #[arg(long, default_value = "sample")]
    dataset: String,
    /// Windows of the text.
    #[arg(long, default_value_t = 16, value_name = "N")]
    chunks: usize,
    /// Tokens in one window [default: the protocol's].
    #[arg(long, value_name = "TOKENS")]
    ctx: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// The policy file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let (method, settings) = registry.method_and_settings(&args.method)?;
    // Whether there is anything to fit, before a model is loaded.
    method.calibrated(settings.clone(), &[])?;
    let hub = Hub::from_env();
    let dataset = Dataset::load(&args.dataset, &hub)?;
    let (backend, model) = workbench::load(&args.model, &args.device, &hub)?;
    let settings_of_run =
        Settings { ctx: args.ctx, chunks: Some(args.chunks), ..Settings::default() };
    let experiment = Experiment::new(&model, &dataset, &settings_of_run)?;
    backend.announce();
    let bar = workbench::bar(experiment.windows())?;
    bar.set_message("calibrating");
    let rows = calibration::rows(&experiment, find(registry, "fp32")?, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let mut table = method.calibrated(settings, &rows)?;
    table.insert(
        "about".to_owned(),
        format!("{} on {} of {}", args.method, dataset.name, model.name).into(),
    );
    let text = format!("# {}\n{}", provenance::command(), toml::to_string(&table)?);
    // What was fitted must be a policy that serves this model.
    let policy = registry.policy_of_toml("calibrated", &text)?;
    experiment.check(&*policy)?;
    write_whole(&args.out, text.as_bytes())?;
    output::write_out(&format!("{}: written\n", args.out.display()))
}
