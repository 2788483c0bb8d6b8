//! Tokens per second of prefill and of decode, each against the first policy's.

use super::{common, distinct};
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::rows::Rows;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;
use crate::report::units;

pub(super) struct Speed;

impl Figure for Speed {
    fn name(&self) -> &'static str {
        "speed"
    }

    fn summary(&self) -> &'static str {
        "prefill and decode speed"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        let timed: Vec<&Record> = records
            .iter()
            .filter(|r| r.speed.as_ref().is_some_and(|s| s.prefill_tok_s.is_some()))
            .filter(|r| r.cell.mode == "cache-read" && r.retrieval.is_none())
            .collect();
        let contexts = distinct(timed.iter().map(|r| (r.cell.protocol.as_str(), r.cell.ctx)));
        if timed.len() < 2 || timed.len() > 24 {
            return Ok(None);
        }
        let first = |r: &Record| {
            let same =
                |t: &&&Record| t.cell.ctx == r.cell.ctx && t.cell.protocol == r.cell.protocol;
            timed.iter().find(same).and_then(|t| t.speed.clone())
        };
        let rows = timed.iter().filter_map(|r| {
            let (speed, base) = (r.speed.as_ref()?, first(r)?);
            let of = |ours: Option<f64>, base: Option<f64>, spread: Option<f64>| {
                let ratio = ours? / base?;
                Some((ratio, ratio * spread.unwrap_or(0.0)))
            };
            let rate = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), units::rate);
            let place =
                if contexts.len() > 1 { format!(" at {}", r.cell.ctx) } else { String::new() };
            let name = format!(
                "{}{place}: {} / {}",
                r.cell.policy,
                rate(speed.prefill_tok_s),
                rate(speed.decode_tok_s)
            );
            let prefill = of(speed.prefill_tok_s, base.prefill_tok_s, speed.prefill_spread);
            let decode = of(speed.decode_tok_s, base.decode_tok_s, speed.decode_spread);
            Some((name, vec![prefill, decode]))
        });
        let chart = Rows {
            title: "Speed: prefill / decode, tokens per second".to_owned(),
            subtitle: common(&timed),
            x: format!("times {} (higher is better)", timed[0].cell.policy),
            mark: Some(1.0),
            series: vec!["prefill".to_owned(), "decode".to_owned()],
            rows: rows.collect(),
        };
        chart.draw().map(Some)
    }
}
