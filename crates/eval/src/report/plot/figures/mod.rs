//! What pictures show: one figure a file.

mod change;
mod grid;
mod memory;
mod pareto;
mod passkey;
mod sensitivity;
mod speed;
mod summary;

use crate::record::Record;
use crate::report::plot::figure::Figure;
use crate::report::table::caption;

/// Every figure.
pub const ALL: [&dyn Figure; 8] = [
    &memory::Memory,
    &pareto::Pareto,
    &change::Change,
    &grid::Grid,
    &sensitivity::Sensitivity,
    &passkey::Passkey,
    &speed::Speed,
    &summary::Summary,
];

/// What the records have in common, without what only a record needs to say.
fn common(records: &[&Record]) -> String {
    let records: Vec<Record> = records.iter().map(|r| (*r).clone()).collect();
    let parts = caption(&records);
    let kept = parts.split(", ").filter(|part| {
        ["model ", "dataset ", "protocol ", "mode ", "ctx "].iter().any(|p| part.starts_with(p))
    });
    kept.collect::<Vec<_>>().join(", ")
}

/// Distinct values in the order in which they come.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// Records of perplexity over ordinary text, with a comparison to a baseline.
fn compared(records: &[Record]) -> Vec<&Record> {
    let perplexity =
        |r: &&Record| r.quality.is_some() && r.retrieval.is_none() && r.comparison.is_some();
    records.iter().filter(perplexity).collect()
}

/// Change of perplexity against the baseline in percent, and its error; none where it is beyond
/// what an axis can show.
fn change_percent(record: &Record) -> Option<(f64, f64)> {
    let comparison = record.comparison.as_ref()?;
    let error = comparison.perplexity_ratio_stderr.unwrap_or(0.0);
    let change = (100.0 * (comparison.perplexity_ratio - 1.0), 100.0 * error);
    (change.0.is_finite() && change.1.is_finite()).then_some(change)
}

/// The settings that tell records of one policy apart.
fn setting(record: &Record) -> String {
    let cell = &record.cell;
    format!("{} {}, ctx {}, {}", cell.protocol, cell.protocol_version, cell.ctx, cell.mode)
}
