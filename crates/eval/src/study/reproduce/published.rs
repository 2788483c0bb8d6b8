//! A published table as its file says it.

use std::sync::Arc;

use kvr_policy::{KvCachePolicy, Registry};
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::run::policies::find;
use crate::study::experiment::Settings;

/// A published table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// What it is.
    pub title: String,
    /// Where it was published.
    pub source: String,
    /// The models that it was measured on.
    pub models: String,
    /// Protocol and mode as the authors say, or "unstated".
    pub measured: String,
    /// What differs here, besides the model.
    #[serde(default)]
    pub differs: Vec<String>,
    /// What is known to be wrong or unstated in the original.
    #[serde(default)]
    pub wrong: Vec<String>,
    /// How it is measured here; absent where only memory is.
    #[serde(default)]
    pub run: Option<Run>,
    /// Its rows.
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
    /// Its columns.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
}

/// How a table is measured here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the protocol.
    pub protocol: String,
    /// Name of the mode.
    pub mode: String,
    /// Tokens in a window; the protocol's own where absent.
    pub ctx: Option<usize>,
    /// The text.
    pub dataset: String,
    /// The policy that changes are relative to.
    pub baseline: String,
}

/// A row: a policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What the original calls it.
    pub label: String,
    /// The policy here that does the same.
    pub policy: Option<String>,
    /// What is missing where there is none.
    pub missing: Option<String>,
}

/// A column: a quantity, on one of their models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What the original calls it.
    pub name: String,
    /// What it counts.
    pub quantity: Quantity,
    /// Tokens held, for memory.
    pub tokens: Option<u64>,
    /// Geometry, for memory.
    pub geometry: Option<String>,
    /// What was printed, row by row; `nan` where nothing was.
    pub theirs: Vec<f64>,
}

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Perplexity; compared by its change against the first row.
    Perplexity,
    /// Change of perplexity against the baseline, in percent.
    PerplexityChangePercent,
    /// Mean KL divergence, in nats.
    Kld,
    /// Allocated bytes of the cache, in MiB.
    CacheMib,
    /// Held bytes against f16's, in percent.
    CachePercent,
    /// Tokens per second of prefill.
    PrefillTokS,
    /// Tokens per second of decode.
    DecodeTokS,
}

impl Quantity {
    /// Whether it comes from the geometry alone.
    pub fn is_memory(self) -> bool {
        matches!(self, Self::CacheMib | Self::CachePercent)
    }
}

/// Reads a table.
///
/// # Errors
/// When it is not a table, or rows and columns do not match.
pub(super) fn parse(text: &str, file: &str) -> Result<Published, EvalError> {
    let broken = |problem: String| {
        EvalError::Setting(format!("{file}: is not a published table: {problem}"))
    };
    let table: Published =
        toml::from_str(text).map_err(|e| broken(e.to_string().trim().to_owned()))?;
    for column in &table.columns {
        if column.theirs.len() != table.rows.len() {
            return Err(broken(format!(
                "column '{}' has {} numbers for {} rows",
                column.name,
                column.theirs.len(),
                table.rows.len()
            )));
        }
        if column.quantity.is_memory() && (column.tokens.is_none() || column.geometry.is_none()) {
            return Err(broken(format!("column '{}' needs tokens and geometry", column.name)));
        }
        if !column.quantity.is_memory() && table.run.is_none() {
            return Err(broken(format!("column '{}' needs a [run]", column.name)));
        }
    }
    for row in &table.rows {
        if row.policy.is_some() == row.missing.is_some() {
            return Err(broken(format!("row '{}' needs either policy or missing", row.label)));
        }
    }
    Ok(table)
}

impl Published {
    /// The policies that exist here, the baseline first.
    ///
    /// # Errors
    /// When the registry lacks one.
    pub fn policies(&self, registry: &Registry) -> Result<Vec<Arc<dyn KvCachePolicy>>, EvalError> {
        let baseline = self.run.iter().map(|run| run.baseline.as_str());
        let mut policies: Vec<Arc<dyn KvCachePolicy>> = Vec::new();
        for name in baseline.chain(self.rows.iter().filter_map(|row| row.policy.as_deref())) {
            if policies.iter().all(|p| p.name() != name) {
                policies.push(find(registry, name)?);
            }
        }
        Ok(policies)
    }

    /// The settings of the experiment, where there is one.
    pub fn settings(&self, chunks: Option<usize>) -> Option<Settings> {
        let run = self.run.as_ref()?;
        Some(Settings {
            protocol: run.protocol.clone(),
            mode: run.mode.clone(),
            ctx: run.ctx,
            chunks,
            ..Settings::default()
        })
    }
}
