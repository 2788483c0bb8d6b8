//! Key formats by value formats: which side is more sensitive?

use super::{change_percent, common, compared, distinct, setting};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::map::Map;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Grid;

/// The formats of keys and of values of a policy, from its settings: `q8_0:q4_0`, or in records of
/// earlier versions `keys q8_0, values q4_0`.
fn formats(record: &Record) -> Option<(&str, &str)> {
    let config = record.cell.policy_config.as_str();
    let (keys, values) = match config.strip_prefix("keys ") {
        Some(earlier) => earlier.split_once(", values ")?,
        None => config.split_once(':')?,
    };
    let plain = |format: &str| !format.contains(['(', '[', ';', ',', ' ']);
    (plain(keys) && plain(values)).then_some((keys, values))
}

impl Figure for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn summary(&self) -> &'static str {
        "key formats by value formats"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let records = compared(records);
        let Some(first) = records.first() else { return Ok(None) };
        let one: Vec<&Record> = records
            .iter()
            .copied()
            .filter(|r| setting(r) == setting(first) && formats(r).is_some())
            .collect();
        let bytes = |r: &&Record| r.memory.bytes_per_token;
        let mut by_size = one.clone();
        by_size.sort_by(|a, b| bytes(b).total_cmp(&bytes(a)));
        let keys = distinct(by_size.iter().filter_map(|r| formats(r)).map(|(k, _)| k));
        let values = distinct(by_size.iter().filter_map(|r| formats(r)).map(|(_, v)| v));
        if keys.len() < 2 || values.len() < 2 || one.len() < 4 {
            return Ok(None);
        }
        let cell = |k: &str, v: &str| {
            let (change, error) = change_percent(one.iter().find(|r| formats(r) == Some((k, v)))?)?;
            Some((change, vec![format!("{change:+.3}"), format!("± {error:.3}")]))
        };
        let rows: Vec<_> = keys
            .iter()
            .map(|k| ((*k).to_owned(), values.iter().map(|v| cell(k, v)).collect::<Vec<_>>()))
            .collect();
        let all = || rows.iter().flat_map(|(_, cells)| cells.iter().flatten()).map(|(v, _)| *v);
        let map = Map {
            title: format!("Key against value formats ({})", common(&one)),
            legend: format!(
                "perplexity against {}, % ± paired standard error (lower and darker is better)",
                first.baseline().unwrap_or("the baseline")
            ),
            x: "values".to_owned(),
            y: "keys".to_owned(),
            columns: values.iter().map(|v| (*v).to_owned()).collect(),
            scale: (all().fold(0.0, f64::min), all().fold(0.0, f64::max)),
            rows,
        };
        map.draw().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn pairs_are_read_in_both_forms_and_nothing_else_is() {
        let mut record = record("k8v4");
        for (config, pair) in [
            ("q8_0:q4_0", Some(("q8_0", "q4_0"))),
            ("keys q8_0, values a4g64", Some(("q8_0", "a4g64"))),
            ("q8_0:q4_0[0=f16:f16]", None),
            ("rotate(keys=true;policy=q4_0:q4_0)", None),
            ("keys f16, values f16; 0: keys f16, values q4_0", None),
        ] {
            record.cell.policy_config = config.to_owned();
            assert_eq!(formats(&record), pair, "{config}");
        }
    }
}
