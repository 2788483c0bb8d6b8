//! Memory against quality, and the front of the policies that nothing beats.

use super::{change_percent, common, compared, setting};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::points::{Point, Points};
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Pareto;

impl Figure for Pareto {
    fn name(&self) -> &'static str {
        "pareto"
    }

    fn summary(&self) -> &'static str {
        "memory against divergence (or perplexity), with the Pareto front"
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
        let baseline = first.baseline().unwrap_or("the baseline");
        // Divergence tells policies apart that perplexity does not, and is above 0.
        let divergences = one.iter().all(|r| r.is_baseline() || r.divergence.is_some());
        let point = |r: &&Record| {
            let (y, error) = match &r.divergence {
                Some(d) if divergences => (1e3 * d.kld_mean, 1e3 * d.kld_stderr.unwrap_or(0.0)),
                _ if divergences => return None,
                _ => change_percent(r)?,
            };
            let x = r.memory.bytes_per_token;
            Some(Point { name: r.cell.policy.clone(), x, y, error })
        };
        let whole = one.iter().find(|r| r.is_baseline()).map_or(String::new(), |r| {
            format!(", {baseline} takes {:.0} bytes", r.memory.bytes_per_token)
        });
        let points = Points {
            title: "Memory against quality".to_owned(),
            subtitle: format!("{}{whole}", common(&one)),
            x: "KV cache, bytes per token (lower is better)".to_owned(),
            y: match divergences {
                true => format!("KL divergence from {baseline}, 10⁻³ nats (lower is better)"),
                false => format!("perplexity against {baseline}, % (lower is better)"),
            },
            log: divergences,
            points: one.iter().filter_map(point).filter(|p| !divergences || p.y > 0.0).collect(),
        };
        points.draw().map(Some)
    }
}
