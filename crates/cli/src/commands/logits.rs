//! `kvr logits`: logits through a policy's cache, for checking against other programs.

use std::path::PathBuf;

use kvr_eval::record::files::write_whole;
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::modes::Mode;
use kvr_eval::run::session::Session;
use kvr_models::{Hub, Lengths, Model, ModelSource};
use kvr_policy::Registry;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use crate::shared::args::DeviceArgs;
use crate::shared::backend;
use crate::shared::error::Usage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// mini, tinyllama, a folder, hub:owner/name[@revision], or random:geometry[:seed].
    #[arg(long, default_value = "mini")]
    pub(crate) model: String,
    /// Token ids, comma-separated.
    #[arg(long, value_delimiter = ',', conflicts_with = "text", required_unless_present = "text")]
    pub(crate) tokens: Vec<u32>,
    /// A text file, tokenised as the model's tokenizer says.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Policy whose cache attention reads.
    #[arg(long, default_value = "fp32")]
    pub(crate) policy: String,
    /// Tokens appended in one step [default: all at once].
    #[arg(long, value_name = "N")]
    pub(crate) step: Option<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// File to write: tokens I32 [tokens], logits F32 [tokens, vocabulary].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let source: ModelSource = args.model.parse()?;
    let policy = kvr_eval::run::policies::find(registry, &args.policy)?;
    if args.step == Some(0) {
        return Err(Usage("--step 0: append at least one token a step".to_owned()).into());
    }
    let hub = Hub::from_env();
    let text = match &args.text {
        Some(path) => Some(Dataset::load(&path.to_string_lossy(), &hub)?.text),
        None => None,
    };
    let backend = backend::open(&args.device)?;
    let model = source.load(&hub, &backend.context)?;
    let tokens = tokens(args, text.as_deref(), &model)?;

    backend.announce();
    let vocabulary = model.decoder.spec().vocab_size;
    let mut session =
        Session::new(&model.decoder, &policy, Mode::CacheRead, Lengths::of(tokens.len()))?;
    let mut logits: Vec<u8> = Vec::with_capacity(4 * tokens.len() * vocabulary);
    for step in tokens.chunks(args.step.unwrap_or(tokens.len())) {
        let values = session.step(step, 0..step.len())?;
        logits.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    let ids: Vec<u8> = tokens.iter().flat_map(|t| (*t as i32).to_le_bytes()).collect();
    let tensors = [
        ("tokens", TensorView::new(Dtype::I32, vec![tokens.len()], &ids)?),
        ("logits", TensorView::new(Dtype::F32, vec![tokens.len(), vocabulary], &logits)?),
    ];
    write_whole(&args.out, &serialize(tensors, None)?)?;
    eprintln!("{}: logits of {} tokens under {}", args.out.display(), tokens.len(), policy.name());
    Ok(())
}

fn tokens(args: &Args, text: Option<&str>, model: &Model) -> anyhow::Result<Vec<u32>> {
    let tokens = match (text, &model.tokenizer) {
        (None, _) => args.tokens.clone(),
        (Some(text), Some(tokenizer)) => tokenizer.encode(text)?,
        (Some(_), None) => {
            return Err(Usage(format!("{}: has no tokenizer: give --tokens", model.name)).into());
        }
    };
    let longest = model.decoder.spec().geometry.max_positions;
    if tokens.is_empty() || tokens.len() > longest {
        return Err(Usage(format!(
            "{} tokens: {} takes 1 to {longest}; give a shorter text",
            tokens.len(),
            model.name
        ))
        .into());
    }
    if let Some(bad) = tokens.iter().find(|t| **t as usize >= model.decoder.spec().vocab_size) {
        return Err(Usage(format!(
            "token {bad}: {} has a vocabulary of {}",
            model.name,
            model.decoder.spec().vocab_size
        ))
        .into());
    }
    Ok(tokens)
}
