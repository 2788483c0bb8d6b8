//! Joining the records of several shards.

use std::collections::BTreeMap;

use super::Record;
use crate::EvalError;

/// Joins records in the order given; of several with one content key the first stays.
///
/// # Errors
/// When records come from different revisions of the program, or one name stands for different
/// weights or texts, unless `mixed` allows it.
pub fn merge(shards: Vec<Vec<Record>>, mixed: bool) -> Result<Vec<Record>, EvalError> {
    let mut seen = BTreeMap::new();
    let mut joined: Vec<Record> = Vec::new();
    for record in shards.into_iter().flatten() {
        if seen.insert(record.key()?, ()).is_none() {
            joined.push(record);
        }
    }
    if !mixed {
        check(&joined)?;
    }
    Ok(joined)
}

/// Refuses records that do not belong in one table.
fn check(records: &[Record]) -> Result<(), EvalError> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for record in records {
        let (of, cell) = (&record.provenance, &record.cell);
        let revision = format!("{}{}", of.git_rev, if of.dirty { " (dirty)" } else { "" });
        let weights = cell.model_sha256.clone().unwrap_or_else(|| "random".to_owned());
        let facts = [
            ("revision".to_owned(), revision),
            ("schema of records".to_owned(), of.schema.to_string()),
            (format!("weights of {}", cell.model), weights),
            (format!("text of {}", cell.dataset), cell.dataset_sha256.clone()),
            (format!("version of {}", cell.protocol), cell.protocol_version.to_string()),
        ];
        for (what, value) in facts {
            let first = names.entry(what.clone()).or_insert_with(|| value.clone());
            if *first != value {
                return Err(EvalError::Setting(format!(
                    "the {what} differs between records: {first} and {value}: they can't be \
                    compared; --allow-mixed joins them all the same"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn doubles_go_and_mixtures_are_refused() {
        let (a, mut b) = (record("fp16"), record("k8v4"));
        let joined =
            merge(vec![vec![a.clone()], vec![a.clone(), b.clone()]], false).expect("alike");
        assert_eq!(joined, [a.clone(), b.clone()]);
        b.provenance.git_rev = "other".to_owned();
        let shards = || vec![vec![a.clone()], vec![b.clone()]];
        let error = merge(shards(), false).expect_err("two revisions").to_string();
        assert!(error.contains("revision") && error.contains("other"), "{error}");
        assert_eq!(merge(shards(), true).expect("allowed").len(), 2);
        b.provenance.git_rev = a.provenance.git_rev.clone();
        b.cell.model_sha256 = Some("ff".to_owned());
        let error = merge(vec![vec![a], vec![b]], false).expect_err("two models").to_string();
        assert!(error.contains("weights of mini"), "{error}");
    }
}
