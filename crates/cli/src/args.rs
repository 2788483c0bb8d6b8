//! The flags.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// What does a key-value cache policy cost in quality, and what does it save in memory and time?
#[derive(Debug, Parser)]
#[command(name = "kvr", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kvr eval                                             five policies on the built-in model and text
  kvr eval --policy k8v4 --model tinyllama --dataset wikitext-2
  kvr eval --policy fp16,q8_0:q4_1 --ctx 1024 --format markdown
  kvr memory --model llama-3-8b --tokens 2048,8192 --policy fp16,k8v4
  kvr logits --model mini --tokens 1,5,9 --policy k4v4 --out logits.safetensors
  kvr doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Perplexity, memory and speed of policies on a text.
    #[command(after_help = EVAL_EXAMPLES)]
    Eval(EvalArgs),
    /// Bytes of caches, counted over live buffers; needs no weights.
    Memory(MemoryArgs),
    /// Logits through a policy's cache, as safetensors.
    Logits(LogitsArgs),
    /// The models that have a name.
    Models,
    /// The policies and storage formats.
    Policies,
    /// The texts that have a name.
    Datasets,
    /// Devices, versions and caches, for a report or a riddle.
    Doctor,
}

const EVAL_EXAMPLES: &str = "\
Examples:
  kvr eval
  kvr eval --policy fp16,k8v4,q5_1:q4_0 --chunks 20
  kvr eval --policy k8v4 --model tinyllama --dataset wikitext-2 --out results/tinyllama
  kvr eval --model ./my-llama --dataset notes.txt --format csv
  kvr eval --kvq-key 8 --kvq-val 4                     as in KVSplit: the policy k8v4";

#[derive(Debug, ClapArgs)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) policies: PolicyArgs,
    /// mini, tinyllama, a folder, hub:owner/name[@revision], or random:geometry[:seed].
    #[arg(long, default_value = "mini")]
    pub(crate) model: String,
    /// sample, wikitext-2, wikitext-2:PATH, or a text file.
    #[arg(long, default_value = "sample")]
    pub(crate) dataset: String,
    /// Tokens in one window.
    #[arg(long, default_value_t = kvr_eval::protocols::llama_cpp::DEFAULT_CTX)]
    pub(crate) ctx: usize,
    /// Tokens appended in one step.
    #[arg(long, default_value_t = 512)]
    pub(crate) batch: usize,
    /// Evaluate the first N windows only.
    #[arg(long, value_name = "N")]
    pub(crate) chunks: Option<usize>,
    /// Policy that the others are compared with [default: fp16 where it is in the list].
    #[arg(long, value_name = "POLICY")]
    pub(crate) baseline: Option<String>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
    /// Also write records.jsonl, config.toml and table.md into this new folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Seed of whatever is random; goes into the records.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MemoryArgs {
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

#[derive(Debug, ClapArgs)]
pub(crate) struct LogitsArgs {
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

#[derive(Debug, ClapArgs)]
pub(crate) struct PolicyArgs {
    /// Policies, comma-separated: names (`kvr policies`) or <key format>:<value format>.
    #[arg(long, value_delimiter = ',', default_value = "fp16,k8v8,k8v4,k4v8,k4v4", conflicts_with_all = ["kvq", "kvq_key", "kvq_val"])]
    pub(crate) policy: Vec<String>,
    /// Bits of keys and values, as in KVSplit.
    #[arg(long, value_name = "BITS", conflicts_with_all = ["kvq_key", "kvq_val"])]
    pub(crate) kvq: Option<u32>,
    /// Bits of keys, as in KVSplit; values stay at 16 unless given.
    #[arg(long, value_name = "BITS")]
    pub(crate) kvq_key: Option<u32>,
    /// Bits of values, as in KVSplit; keys stay at 16 unless given.
    #[arg(long, value_name = "BITS")]
    pub(crate) kvq_val: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeviceArgs {
    /// Where to compute: a GPU where there is one, the CPU, or wgpu in any case.
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub(crate) backend: BackendChoice,
    /// Threads of the CPU back end [default: all cores].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    Auto,
    Cpu,
    Wgpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Markdown,
    Csv,
    Json,
}
