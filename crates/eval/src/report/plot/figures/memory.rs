//! Memory of the cache by length and policy, as the measured bytes per token make it.

use super::distinct;
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::lines::Lines;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Memory;

/// Lengths that are drawn.
const LENGTHS: [usize; 8] = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768];

/// More lines than this can't be told apart.
const MOST_LINES: usize = 7;

impl Figure for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn summary(&self) -> &'static str {
        "KV memory by length and policy"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let Some(first) = records.first() else { return Ok(None) };
        let one_model = records.iter().filter(|r| r.cell.model == first.cell.model);
        let mut seen = Vec::new();
        for record in one_model {
            let bytes = record.memory.bytes_per_token;
            // Policies of one size share a line.
            match seen.iter_mut().find(|(_, b)| *b == bytes) {
                Some((names, _)) => push(names, &record.cell.policy),
                None => seen.push((vec![record.cell.policy.clone()], bytes)),
            }
        }
        if seen.len() > MOST_LINES {
            return Ok(None);
        }
        seen.sort_by(|a, b| b.1.total_cmp(&a.1));
        let line = |(names, bytes): (Vec<String>, f64)| {
            let name = if names.len() > 3 {
                format!("{} and {} more", names[0], names.len() - 1)
            } else {
                names.join(", ")
            };
            let points = LENGTHS.map(|n| (n as f64, bytes * n as f64 / 1024.0 / 1024.0));
            (format!("{name}: {bytes:.0} bytes/token"), points.to_vec())
        };
        let lines = Lines {
            title: "Memory of the key-value cache by context".to_owned(),
            subtitle: format!(
                "{}, one sequence, by the bytes per token that were counted",
                first.cell.model
            ),
            x: "tokens held".to_owned(),
            y: "MiB of one sequence (lower is better)".to_owned(),
            lines: seen.into_iter().map(line).collect(),
        };
        lines.draw().map(Some)
    }
}

fn push(names: &mut Vec<String>, name: &str) {
    let mut all = std::mem::take(names);
    all.push(name.to_owned());
    *names = distinct(all.into_iter());
}
