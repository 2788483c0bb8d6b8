//! `kvr generate`: continues a prompt under one policy and prints tokens as they are sampled.

use std::path::PathBuf;

use kvr_eval::EvalError;
use kvr_eval::report::units;
use kvr_eval::run::generate::{Limits, Sampling, generate};
use kvr_eval::run::modes::Mode;
use kvr_eval::run::protocols::Encoder;
use kvr_eval::run::session::Session;
use kvr_models::{Hub, Lengths, Model};
use kvr_policy::Registry;

use crate::shared::args::{DeviceArgs, PolicyArgs};
use crate::shared::error::Usage;
use crate::shared::{output, workbench};

/// The policy where none is named: `--policy` lists several by default, and one is used here.
const DEFAULT: &str = "fp16";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The prompt.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    prompt: Option<String>,
    /// A file that holds the prompt.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Tokens to generate at most.
    #[arg(short = 'n', long, default_value_t = 128, value_name = "N")]
    tokens: usize,
    /// Tokens of prompt and text together at most [default: the model's context length].
    #[arg(short = 'c', long, value_name = "TOKENS")]
    ctx: Option<usize>,
    /// Temperature of sampling: 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    temp: f64,
    /// Sample from the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// mini, tinyllama, a folder, or hub:owner/name[@revision].
    #[arg(long, default_value = "mini")]
    model: String,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let policy = match workbench::policies(&args.policies, registry)?.as_slice() {
        [one] => one.clone(),
        _ if args.policies.is_default() => registry.policy(DEFAULT)?,
        several => {
            return Err(Usage(format!(
                "--policy: generate takes one policy, got {}: use `kvr compare` for \
                several",
                several.len()
            ))
            .into());
        }
    };
    let sampling =
        Sampling { temperature: args.temp, top_p: args.top_p, seed: args.seed }.check()?;
    let prompt = match (&args.prompt, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|e| Usage(format!("{}: {e}: give a text file", path.display())))?,
        (None, None) => return Err(Usage("give --prompt or --file".to_owned()).into()),
    };
    let (backend, model) = workbench::load(&args.model, &args.device, &Hub::from_env())?;
    let limits = limits(&model, args.ctx, args.tokens)?;
    let ids = Encoder::new(&model)?.text(&prompt)?;
    let mut session = Session::new(
        &model.decoder,
        &policy,
        Mode::of_generation(&*policy),
        Lengths::of(ids.len()),
    )?;
    backend.announce();

    let mut write = text_writer(&model);
    let done = generate(&mut session, &ids, &limits, sampling, &mut |token| write(token))?;
    output::write_out("\n")?;
    let footprint = session.footprint();
    let decode = done.decode_tok_s.map_or_else(|| "–".to_owned(), units::rate);
    eprintln!(
        "{}: {} prompt + {} new tokens; KV {} held, {} allocated; first token {:.3} s, decode \
        {decode} tok/s",
        policy.name(),
        ids.len(),
        done.tokens.len(),
        units::bytes(footprint.held()),
        units::bytes(footprint.allocated),
        done.first_token_s,
    );
    Ok(())
}

/// How much may be generated.
pub(crate) fn limits(model: &Model, ctx: Option<usize>, tokens: usize) -> anyhow::Result<Limits> {
    let longest = model.decoder.spec().geometry.max_positions;
    let ctx = ctx.unwrap_or(longest);
    if ctx > longest || tokens == 0 {
        return Err(Usage(format!(
            "-c {ctx} -n {tokens}: {} takes 1 to {longest} tokens of context, and -n at least 1",
            model.name
        ))
        .into());
    }
    Ok(Limits { tokens, ctx, eos: model.eos().to_vec(), batch: 512 })
}

/// Writes tokens to stdout as text, as soon as their characters are complete.
fn text_writer(model: &Model) -> impl FnMut(u32) -> Result<(), EvalError> + '_ {
    let mut pending: Vec<u32> = Vec::new();
    let mut shown = String::new();
    move |token| {
        pending.push(token);
        let text = text_of(model, &pending)?;
        // A character may need bytes of the next token: U+FFFD stands for it until then.
        if text.ends_with('\u{fffd}') && pending.len() < 8 {
            return Ok(());
        }
        let new = text.strip_prefix(shown.as_str()).unwrap_or(&text);
        output::write_out(new).map_err(|e| EvalError::Setting(format!("stdout: {e}")))?;
        // The last token stays as context: some tokenizers write a word's space with what precedes.
        pending.drain(..pending.len() - 1);
        shown = text_of(model, &pending)?;
        Ok(())
    }
}

/// Tokens as text; as numbers where there is no tokenizer.
pub(crate) fn text_of(model: &Model, tokens: &[u32]) -> Result<String, EvalError> {
    match &model.tokenizer {
        Some(tokenizer) => Ok(tokenizer.decode(tokens)?),
        None => Ok(tokens.iter().map(|t| format!(" {t}")).collect()),
    }
}
