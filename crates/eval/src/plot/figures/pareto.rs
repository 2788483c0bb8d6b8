//! Memory against quality, and the front of the policies that nothing beats.

use super::{change_percent, common, compared, setting};
use crate::EvalError;
use crate::plot::charts::points::{Point, Points};
use crate::plot::{Figure, Picture};
use crate::record::Record;

pub(super) struct Pareto;

impl Figure for Pareto {
    fn name(&self) -> &'static str {
        "pareto"
    }

    fn summary(&self) -> &'static str {
        "memory against perplexity, with the Pareto front"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let records = compared(records);
        let Some(first) = records.first() else { return Ok(None) };
        // One setting: points of several would not be comparable.
        let one: Vec<&Record> =
            records.iter().copied().filter(|r| setting(r) == setting(first)).collect();
        if one.len() < 3 {
            return Ok(None);
        }
        let points = one.iter().filter_map(|r| {
            let (y, error) = change_percent(r)?;
            let x = r.memory.bytes_per_token;
            Some(Point { name: r.cell.policy.clone(), x, y, error })
        });
        let baseline = first.baseline().unwrap_or("the baseline");
        let points = Points {
            title: "Memory against quality".to_owned(),
            subtitle: common(&one),
            x: "KV cache, bytes per token (lower is better)".to_owned(),
            y: format!("perplexity against {baseline}, % (lower is better)"),
            points: points.collect(),
        };
        points.draw().map(Some)
    }
}
