//! The commands, and the flags that several of them share.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use kvr_eval::table::Format;
use kvr_policy::spec::split_names;

use crate::commands::{
    bench, calibrate, compare, diff, eval, generate, logits, memory, merge, new, plan, plot,
    policies, report, reproduce, search, show, sweep,
};

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
  kvr eval --policy fp16,q8_0:q4_1 --mode cache-read,decode,post-prefill
  kvr plan --model llama-3-8b --budget 2GiB            longest context under each policy
  kvr sweep configs/sweeps/grid-mini.toml --out results/grid
  kvr reproduce kvsplit --model mini
  kvr compare 'The tower is' --policy fp16,k4v4
  kvr doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Perplexity, divergence, memory and speed of policies on a text.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Many evaluations from one file; goes on where it was stopped.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(sweep::Args),
    /// Joins the records of several shards.
    Merge(merge::Args),
    /// A published table beside its own measurement here.
    #[command(after_help = reproduce::EXAMPLES)]
    Reproduce(reproduce::Args),
    /// Bytes of caches, counted over live buffers; needs no weights.
    Memory(memory::Args),
    /// The longest context that fits a budget of memory; needs no weights.
    Plan(plan::Args),
    /// Measures time.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Goes on with a text under one policy.
    Generate(generate::Args),
    /// Goes on with one prompt under several policies, side by side.
    Compare(compare::Args),
    /// The table of a folder or file of records.
    Show(show::Args),
    /// Two results, cell by cell, and what can't be compared.
    Diff(diff::Args),
    /// Pictures of records, as SVG and PNG.
    Plot(plot::Args),
    /// One self-contained HTML page of tables, pictures, provenance and warnings.
    Report(report::Args),
    /// Logits through a policy's cache, as safetensors.
    Logits(logits::Args),
    /// A policy for each layer, within a budget of bits.
    #[command(after_help = search::EXAMPLES)]
    Search(search::Args),
    /// Fits a method's settings to a model on a text.
    #[command(after_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::Args),
    /// A crate for a policy of one's own.
    #[command(after_help = new::EXAMPLES)]
    New(new::Args),
    /// The models that have a name.
    Models,
    /// The policies, methods and storage formats, or one of them explained.
    Policies(policies::Args),
    /// The protocols and modes.
    Protocols,
    /// The texts that have a name.
    Datasets,
    /// Devices, versions and caches, for a report or a riddle.
    Doctor,
}

/// What KVSplit compares.
const DEFAULT_POLICIES: &str = "fp16,k8v8,k8v4,k4v8,k4v4";

#[derive(Debug, ClapArgs)]
pub(crate) struct PolicyArgs {
    /// Policies, comma-separated: names (`kvr policies`), <key format>:<value format>,
    /// method(setting=value;…), FILE.toml, or base[selector=policy;…] for single layers and heads;
    /// each may stand in the others.
    #[arg(long, default_value = DEFAULT_POLICIES, conflicts_with_all = ["kvq", "kvq_key", "kvq_val"])]
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

#[derive(Debug, ClapArgs)]
pub(crate) struct MatrixArgs {
    /// Attention of prompts on the GPU's matrix units: faster, but what is multiplied is rounded to f16.
    #[arg(long)]
    pub(crate) matrices: bool,
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
    Latex,
    Csv,
    Json,
}

impl OutputFormat {
    /// How a table is drawn in this format; `None` where the rows behind it are printed instead.
    pub(crate) fn table(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Text),
            Self::Markdown => Some(Format::Markdown),
            Self::Latex => Some(Format::Latex),
            Self::Csv | Self::Json => None,
        }
    }
}

impl PolicyArgs {
    /// Whether no flag chose a policy.
    pub(crate) fn is_default(&self) -> bool {
        self.policy.join(",") == DEFAULT_POLICIES
    }

    /// The names that --policy lists: commas in brackets belong to a name.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.policy.iter().flat_map(|list| split_names(list)).collect()
    }
}
