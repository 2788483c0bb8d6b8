//! Right answers by depth and length, for the policy that loses most and the baseline alike.

use super::{common, distinct};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::map::Map;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Passkey;

impl Figure for Passkey {
    fn name(&self) -> &'static str {
        "passkey"
    }

    fn summary(&self) -> &'static str {
        "right answers by depth and length"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let hidden: Vec<&Record> = records
            .iter()
            .filter(|r| r.retrieval.is_some() && r.cell.depth_percent.is_some())
            .collect();
        let lengths = distinct(hidden.iter().map(|r| r.cell.ctx));
        let rows = distinct(hidden.iter().map(|r| (r.cell.policy.as_str(), depth(r))));
        if rows.is_empty() {
            return Ok(None);
        }
        let cell = |policy: &str, percent: f64, ctx: usize| {
            let same =
                |r: &&&Record| r.cell.policy == policy && depth(r) == percent && r.cell.ctx == ctx;
            let found = hidden.iter().find(same)?.retrieval.as_ref()?;
            let error = found
                .exact_match_stderr
                .map_or_else(|| "?".to_owned(), |e| format!("{:.0}", 100.0 * e));
            let lines = vec![
                format!("{:.0} ± {error}", 100.0 * found.exact_match),
                format!("({:.0})", 100.0 * found.token_accuracy),
            ];
            Some((found.exact_match, lines))
        };
        let map = Map {
            title: format!("Pass keys found ({})", common(&hidden)),
            legend:
                "exact match, % ± standard error, and (tokens right, %); higher and lighter is \
            better"
                    .to_owned(),
            x: "context, tokens".to_owned(),
            y: "policy, depth of the key in % of the text before the question".to_owned(),
            columns: lengths.iter().map(ToString::to_string).collect(),
            rows: rows
                .iter()
                .map(|(policy, percent)| {
                    let cells = lengths.iter().map(|ctx| cell(policy, *percent, *ctx));
                    (format!("{policy}, {percent} %"), cells.collect())
                })
                .collect(),
            scale: (0.0, 1.0),
        };
        map.draw().map(Some)
    }
}

fn depth(record: &Record) -> f64 {
    record.cell.depth_percent.unwrap_or_default()
}
