//! The flags that several commands share.

use clap::{Args as ClapArgs, ValueEnum};
use kvr_eval::report::table::Format;
use kvr_policy::spec::split_names;

/// What KVSplit compares.
const DEFAULT_POLICIES: &str = "fp16,k8v8,k8v4,k4v8,k4v4";

#[derive(Debug, ClapArgs)]
pub(crate) struct PolicyArgs {
    /// Policies, comma-separated: names (`kvr policies`), <key format>:<value format>,
    /// method(setting=value;…), FILE.toml, or base[selector=policy;…] for single layers and heads;
    /// each may stand in the others.
    #[arg(long, default_value = DEFAULT_POLICIES)]
    #[arg(conflicts_with_all = ["kvq", "kvq_key", "kvq_val"])]
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
    /// Run the attention of prompts on the GPU's matrix units: faster, but operands are rounded to
    /// f16.
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
