//! Published tables, and the same quantities measured here.
//!
//! A table is a file in configs/tables/: what was printed, how it was measured as far as the authors
//! say, and what is known to be wrong with it. The same policies are measured on the model at hand,
//! under the nearest protocol, and set beside it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use burn::tensor::Device;
use kvr_models::{Geometry, Hub};
use kvr_policy::{KvCachePolicy, Registry};
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::bench::capacity;
use crate::record::Record;
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

/// One number of a table beside ours.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // Flat and named like the records' fields.
pub struct Reproduced {
    pub row: String,
    pub column: String,
    pub quantity: Quantity,
    pub policy: Option<String>,
    /// What is missing here, where there is no such policy yet.
    pub missing: Option<String>,
    pub theirs: Option<f64>,
    pub theirs_change_percent: Option<f64>,
    pub ours: Option<f64>,
    pub ours_stderr: Option<f64>,
    pub ours_change_percent: Option<f64>,
    pub ours_change_stderr_percent: Option<f64>,
    /// Ours less theirs: of changes in percent points for perplexity, else in the quantity's unit.
    pub difference: Option<f64>,
}

/// A table of this repository: name and text.
macro_rules! published {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../configs/tables/",
                $name,
                ".toml"
            )),
        )
    };
}

/// The tables that come with the program: name and text.
const TABLES: [(&str, &str); 7] = [
    published!("kvsplit"),
    published!("quarot"),
    published!("flatquant"),
    published!("kvquant"),
    published!("xquant"),
    published!("llama-cpp-7412"),
    published!("rotation-1034"),
];

/// The names and titles of the tables that come with the program.
///
/// # Errors
/// When one of them is broken.
pub fn tables() -> Result<Vec<(&'static str, Published)>, EvalError> {
    TABLES.iter().map(|(name, text)| Ok((*name, parse(text, name)?))).collect()
}

/// The table of that name, or of that file.
///
/// # Errors
/// When there is none, or the file is no table.
pub fn table(name: &str) -> Result<Published, EvalError> {
    if let Some((_, text)) = TABLES.iter().find(|(known, _)| *known == name) {
        return parse(text, name);
    }
    if name.ends_with(".toml") {
        let text = std::fs::read_to_string(name).map_err(|source| EvalError::File {
            path: name.into(),
            verb: "read",
            source,
        })?;
        return parse(&text, name);
    }
    Err(EvalError::unknown("table (a name or a .toml file)", name, TABLES.iter().map(|t| t.0)))
}

fn parse(text: &str, file: &str) -> Result<Published, EvalError> {
    let broken =
        |problem: String| EvalError::Setting(format!("{file}: is no published table: {problem}"));
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

    /// Sets what was measured beside what was printed.
    ///
    /// # Errors
    /// When a geometry is unknown or a policy can't serve it.
    pub fn compare(
        &self,
        policies: &[Arc<dyn KvCachePolicy>],
        records: &[Record],
        hub: &Hub,
        device: &Device,
    ) -> Result<Vec<Reproduced>, EvalError> {
        let mut all = Vec::new();
        let mut measured = BTreeMap::new();
        for column in &self.columns {
            for (row, theirs) in self.rows.iter().zip(&column.theirs) {
                let theirs = Some(*theirs).filter(|x| x.is_finite());
                let first = column.theirs[0];
                let change = |x: f64| 100.0 * (x / first - 1.0);
                let is_perplexity = column.quantity == Quantity::Perplexity;
                let mut out = Reproduced {
                    row: row.label.clone(),
                    column: column.name.clone(),
                    quantity: column.quantity,
                    policy: row.policy.clone(),
                    missing: row.missing.clone(),
                    theirs,
                    theirs_change_percent: theirs.filter(|_| is_perplexity).map(change),
                    ours: None,
                    ours_stderr: None,
                    ours_change_percent: None,
                    ours_change_stderr_percent: None,
                    difference: None,
                };
                if let Some(name) = &row.policy {
                    if column.quantity.is_memory() {
                        let policy = policies.iter().find(|p| p.name() == *name);
                        out.ours = policy
                            .map(|p| memory(column, &**p, hub, device, &mut measured))
                            .transpose()?;
                    } else if let Some(record) = records.iter().find(|r| r.cell.policy == *name) {
                        fill(&mut out, record);
                    }
                }
                let pair = if is_perplexity {
                    (out.ours_change_percent, out.theirs_change_percent)
                } else {
                    (out.ours, out.theirs)
                };
                out.difference = pair.0.zip(pair.1).map(|(ours, theirs)| ours - theirs);
                all.push(out);
            }
        }
        Ok(all)
    }
}

/// What is measured once and serves several columns: by geometry and policy, the growth of the
/// cache and the values that a token adds.
type Measured = BTreeMap<(String, String), (capacity::Capacity, usize)>;

/// Our number of a memory column.
fn memory(
    column: &Column,
    policy: &dyn KvCachePolicy,
    hub: &Hub,
    device: &Device,
    measured: &mut Measured,
) -> Result<f64, EvalError> {
    let name = column.geometry.clone().unwrap_or_default();
    let (capacity, values) = match measured.entry((name, policy.name())) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let geometry: Geometry = kvr_models::geometry(&new.key().0, hub)?;
            let capacity = capacity::measure(&geometry, policy, device)?;
            new.insert((capacity, geometry.values_per_token()))
        }
    };
    Ok(match column.quantity {
        Quantity::CacheMib => {
            capacity.bytes(column.tokens.unwrap_or_default()) as f64 / 1024.0 / 1024.0
        }
        _ => 100.0 * capacity.bytes_per_token() / (2 * *values) as f64,
    })
}

/// Our number of any other column.
fn fill(out: &mut Reproduced, record: &Record) {
    let comparison = record.comparison.as_ref();
    let change = comparison.map(|c| 100.0 * (c.perplexity_ratio - 1.0));
    let change_stderr = comparison.and_then(|c| c.perplexity_ratio_stderr).map(|e| 100.0 * e);
    let speed = record.speed.as_ref();
    let (ours, stderr) = match out.quantity {
        Quantity::Perplexity => {
            out.ours_change_percent = change;
            out.ours_change_stderr_percent = change_stderr;
            let quality = record.quality.as_ref();
            (quality.map(|q| q.perplexity), quality.and_then(|q| q.perplexity_stderr))
        }
        Quantity::PerplexityChangePercent => (change, change_stderr),
        Quantity::Kld => match &record.divergence {
            Some(d) => (Some(d.kld_mean), d.kld_stderr),
            None => (record.is_baseline().then_some(0.0), None),
        },
        Quantity::PrefillTokS => (speed.and_then(|s| s.prefill_tok_s), None),
        Quantity::DecodeTokS => (speed.and_then(|s| s.decode_tok_s), None),
        Quantity::CacheMib | Quantity::CachePercent => (None, None),
    };
    (out.ours, out.ours_stderr) = (ours, stderr);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_whole_and_its_policies_exist() {
        let tables = tables().expect("tables that parse");
        assert_eq!(tables.len(), 7);
        let registry = Registry::builtin();
        for (name, table) in tables {
            table.policies(&registry).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!table.source.is_empty() && !table.measured.is_empty(), "{name}");
            if let Some(settings) = table.settings(None) {
                crate::run::protocols::by_name(&settings.protocol).expect(name);
            }
        }
        assert!(table("quarrot").expect_err("misspelled").to_string().contains("quarot"));
    }

    #[test]
    fn kvsplit_memory_is_reproduced_to_the_byte() {
        let table = table("kvsplit").expect("a table");
        let policies = table.policies(&Registry::builtin()).expect("policies");
        let hub = Hub { offline: true, ..Hub::from_env() };
        let cells = table.compare(&policies, &[], &hub, &Device::flex()).expect("measured");
        let memory: Vec<_> = cells.iter().filter(|c| c.quantity == Quantity::CacheMib).collect();
        assert_eq!(memory.len(), 20);
        for cell in memory {
            // They round to two digits.
            let difference = cell.difference.expect("both numbers");
            assert!(difference.abs() <= 0.005001, "{} {}: {difference}", cell.row, cell.column);
        }
    }
}
