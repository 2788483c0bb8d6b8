//! What was measured here, compared with what was printed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use kvr_kernels::Context;
use kvr_models::{Geometry, Hub};
use kvr_policy::KvCachePolicy;
use serde::Serialize;

use super::published::{Column, Published, Quantity};
use crate::EvalError;
use crate::bench::capacity;
use crate::record::Record;

/// One number of a table, and ours.
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

impl Published {
    /// Compares what was measured with what was printed.
    ///
    /// # Errors
    /// When a geometry is unknown or a policy can't serve it.
    pub fn compare(
        &self,
        policies: &[Arc<dyn KvCachePolicy>],
        records: &[Record],
        hub: &Hub,
        context: &Context,
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
                            .map(|p| memory(column, &**p, hub, context, &mut measured))
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
    context: &Context,
    measured: &mut Measured,
) -> Result<f64, EvalError> {
    let name = column.geometry.clone().unwrap_or_default();
    let (capacity, values) = match measured.entry((name, policy.name())) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let geometry: Geometry = kvr_models::geometry(&new.key().0, hub)?;
            let capacity = capacity::measure(&geometry, policy, context)?;
            new.insert((capacity, geometry.values_per_token()))
        }
    };
    Ok(match column.quantity {
        Quantity::CacheMib => {
            capacity.bytes(column.tokens.unwrap_or_default())? as f64 / 1024.0 / 1024.0
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
