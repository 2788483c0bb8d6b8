//! Change of perplexity against the baseline, with paired error bars.

use super::{change_percent, common, compared, distinct, setting};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::rows::Rows;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Change;

/// More rows than this are a grid, not a list.
const MOST_ROWS: usize = 24;

/// More series than colours would repeat them.
const MOST_SERIES: usize = 6;

impl Figure for Change {
    fn name(&self) -> &'static str {
        "change"
    }

    fn summary(&self) -> &'static str {
        "perplexity change against the baseline"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let records = compared(records);
        let others: Vec<&Record> = records.into_iter().filter(|r| !r.is_baseline()).collect();
        let policies = distinct(others.iter().map(|r| r.cell.policy.as_str()));
        let series = distinct(others.iter().map(|r| setting(r)));
        if policies.is_empty() || policies.len() > MOST_ROWS || series.len() > MOST_SERIES {
            return Ok(None);
        }
        let value = |policy: &str, series: &String| {
            let record = others.iter().find(|r| r.cell.policy == policy && setting(r) == *series);
            record.and_then(|r| change_percent(r))
        };
        let rows = policies
            .iter()
            .map(|p| ((*p).to_owned(), series.iter().map(|s| value(p, s)).collect()));
        let baseline = others[0].baseline().unwrap_or("the baseline");
        let chart = Rows {
            title: "Change of perplexity".to_owned(),
            subtitle: common(&others),
            x: format!("against {baseline}, % ± paired standard error (lower is better)"),
            mark: Some(0.0),
            rows: rows.collect(),
            series,
        };
        chart.draw().map(Some)
    }
}
