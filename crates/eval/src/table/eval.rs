//! The table of `kvr eval`.

use super::Table;
use crate::record::Record;
use crate::units;

/// One row per record.
pub fn eval_table(records: &[Record]) -> Table {
    let first = records.first();
    let ctx = first.map_or(0, |r| r.memory_ctx);
    let baseline = first.and_then(|r| r.baseline.clone());
    let header = [
        "policy".to_owned(),
        "perplexity ↓".to_owned(),
        match &baseline {
            Some(name) => format!("Δ against {name} (%)"),
            None => "Δ (%)".to_owned(),
        },
        "KV bytes/token ↓".to_owned(),
        format!("KV at {ctx} tokens ↓"),
        "% of fp16 ↓".to_owned(),
        "prefill tok/s ↑".to_owned(),
        "decode tok/s ↑".to_owned(),
    ];
    let rows = records.iter().map(|r| {
        vec![
            r.policy.clone(),
            with_error(r.perplexity, r.perplexity_stderr, 3),
            match (r.perplexity_ratio, &r.baseline) {
                (_, Some(name)) if *name == r.policy => "baseline".to_owned(),
                (Some(ratio), _) => {
                    signed(100.0 * (ratio - 1.0), r.perplexity_ratio_stderr.map(|e| 100.0 * e))
                }
                (None, _) => "–".to_owned(),
            },
            format!("{:.0}", r.bytes_per_token),
            units::bytes(r.cache_bytes_allocated),
            format!("{:.1}", 100.0 * r.cache_bytes_held as f64 / r.cache_bytes_fp16 as f64),
            units::rate(r.prefill_tok_s),
            units::rate(r.decode_tok_s),
        ]
    });
    Table { text_columns: 1, header: header.into(), rows: rows.collect() }
}

fn with_error(value: f64, error: Option<f64>, digits: usize) -> String {
    match error {
        Some(error) => format!("{value:.digits$} ± {error:.digits$}"),
        None => format!("{value:.digits$} ± ?"),
    }
}

fn signed(value: f64, error: Option<f64>) -> String {
    match error {
        Some(error) => format!("{value:+.3} ± {error:.3}"),
        None => format!("{value:+.3} ± ?"),
    }
}
