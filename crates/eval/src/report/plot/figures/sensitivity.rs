//! One layer, or one head of it, under a policy and everything else as the baseline: which is
//! sensitive, and to what?
//!
//! Reads records whose policies are written `base[layer=policy]` or `base[layer.head=policy]`.

use super::{common, compared, distinct};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::rows::Rows;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;

pub(super) struct Sensitivity;

/// What a policy changes, and to what: `fp16[3.1=k4v16]` is (`3.1`, `k4v16`).
fn part(record: &Record) -> Option<(&str, &str)> {
    let inner = record.cell.policy.split_once('[')?.1.strip_suffix(']')?;
    let (selector, policy) = inner.split_once('=')?;
    let plain = selector.chars().all(|c| c.is_ascii_digit() || c == '.');
    (plain && !policy.contains(';')).then_some((selector, policy))
}

impl Figure for Sensitivity {
    fn name(&self) -> &'static str {
        "sensitivity"
    }

    fn summary(&self) -> &'static str {
        "divergence when one layer or head changes"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let parts: Vec<(&Record, &str, &str)> = compared(records)
            .into_iter()
            .filter_map(|r| part(r).map(|(selector, policy)| (r, selector, policy)))
            .collect();
        let selectors = distinct(parts.iter().map(|(_, selector, _)| *selector));
        let policies = distinct(parts.iter().map(|(.., policy)| *policy));
        if selectors.len() < 2 || policies.len() > 6 {
            return Ok(None);
        }
        let value = |selector: &str, policy: &str| {
            let found = parts.iter().find(|(_, s, p)| *s == selector && *p == policy)?;
            let divergence = found.0.divergence.as_ref()?;
            Some((1e3 * divergence.kld_mean, 1e3 * divergence.kld_stderr.unwrap_or(0.0)))
        };
        let name = |selector: &str| match selector.split_once('.') {
            Some((layer, head)) => format!("layer {layer}, head {head}"),
            None => format!("layer {selector}"),
        };
        let rows =
            selectors.iter().map(|s| (name(s), policies.iter().map(|p| value(s, p)).collect()));
        let all: Vec<&Record> = parts.iter().map(|(r, ..)| *r).collect();
        let chart = Rows {
            title: "One part of the cache changed, everything else as the baseline".to_owned(),
            subtitle: common(&all),
            x: "KL divergence, 10⁻³ nats per token ± standard error (lower is better)".to_owned(),
            mark: Some(0.0),
            rows: rows.collect(),
            series: policies.iter().map(|p| format!("that part under {p}")).collect(),
        };
        chart.draw().map(Some)
    }
}
