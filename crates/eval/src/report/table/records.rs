//! The table of records: a row each, and a column for whatever any of them has.
//!
//! Settings that are the same in every row are not repeated: [`caption`] says them once.

use super::{Table, signed, with_error};
use crate::record::{Divergence, Quality, Record};
use crate::report::units;

/// How much of a record a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// What fits a terminal.
    #[default]
    Brief,
    /// Every quantity.
    Full,
}

/// What a record has in a column.
type CellText = Box<dyn Fn(&Record) -> Option<String>>;

struct Column {
    title: String,
    text: bool,
    /// Shown only where rows differ.
    setting: bool,
    detail: Detail,
    cell: CellText,
}

fn text(title: &str, setting: bool, cell: impl Fn(&Record) -> Option<String> + 'static) -> Column {
    Column {
        title: title.to_owned(),
        text: true,
        setting,
        detail: Detail::Brief,
        cell: Box::new(cell),
    }
}

fn number(
    title: impl Into<String>,
    detail: Detail,
    cell: impl Fn(&Record) -> Option<String> + 'static,
) -> Column {
    Column { title: title.into(), text: false, setting: false, detail, cell: Box::new(cell) }
}

fn settings() -> Vec<Column> {
    vec![
        text("policy", false, |r| Some(r.cell.policy.clone())),
        text("model", true, |r| Some(r.cell.model.clone())),
        text("dataset", true, |r| Some(r.cell.dataset.clone())),
        text("protocol", true, |r| {
            Some(format!("{} {}", r.cell.protocol, r.cell.protocol_version))
        }),
        text("mode", true, |r| Some(r.cell.mode.clone())),
        text("ctx", true, |r| Some(r.cell.ctx.to_string())),
        text("stride", true, |r| r.cell.stride.map(|s| s.to_string())),
        text("depth (%)", true, |r| r.cell.depth_percent.map(|d| d.to_string())),
        text("windows", true, |r| Some(r.cell.chunks.to_string())),
        text("seed", true, |r| Some(r.cell.seed.to_string())),
        text("device", true, |r| {
            Some(format!("{}, {} threads", r.provenance.device, r.provenance.threads))
        }),
        text("revision", true, |r| Some(r.provenance.git_rev.clone())),
    ]
}

fn quality(title: &str, detail: Detail, cell: fn(&Quality) -> String) -> Column {
    // Where answers are counted, a perplexity over them says little.
    number(title, detail, move |r| r.quality.as_ref().filter(|_| r.retrieval.is_none()).map(cell))
}

fn divergence(title: &str, detail: Detail, cell: fn(&Divergence) -> String) -> Column {
    number(title, detail, move |r| match &r.divergence {
        Some(divergence) => Some(cell(divergence)),
        None => r.is_baseline().then(|| "–".to_owned()),
    })
}

fn quantities(records: &[Record]) -> Vec<Column> {
    use Detail::{Brief, Full};
    let baseline = records.iter().find_map(|r| r.baseline()).unwrap_or("the baseline");
    // Losses tell apart what perplexities beyond f64 do not.
    let beyond = |r: &Record| r.quality.as_ref().is_some_and(|q| q.perplexity.is_infinite());
    let losses = if records.iter().any(beyond) { Brief } else { Full };
    vec![
        quality("NLL (nats) ↓", losses, |q| with_error(q.nll, q.nll_stderr, 4)),
        quality("perplexity ↓", Brief, |q| with_error(q.perplexity, q.perplexity_stderr, 3)),
        number("word perplexity ↓", Brief, |r| {
            r.text.as_ref().map(|t| with_error(t.word_perplexity, t.word_perplexity_stderr, 3))
        }),
        number("byte perplexity ↓", Full, |r| {
            r.text.as_ref().map(|t| with_error(t.byte_perplexity, t.byte_perplexity_stderr, 5))
        }),
        number("bits/byte ↓", Brief, |r| {
            r.text.as_ref().map(|t| with_error(t.bits_per_byte, t.bits_per_byte_stderr, 5))
        }),
        number("exact match (%) ↑", Brief, |r| {
            r.retrieval.as_ref().map(|t| percent(t.exact_match, t.exact_match_stderr, 1))
        }),
        number("tokens right (%) ↑", Brief, |r| {
            r.retrieval.as_ref().map(|t| percent(t.token_accuracy, t.token_accuracy_stderr, 1))
        }),
        number("answer NLL (nats) ↓", Brief, |r| {
            let quality = r.quality.as_ref().filter(|_| r.retrieval.is_some())?;
            Some(with_error(quality.nll, quality.nll_stderr, 3))
        }),
        number(format!("Δ against {baseline} (%)"), Brief, |r| {
            let c = r.comparison.as_ref()?;
            if r.is_baseline() {
                return Some("baseline".to_owned());
            }
            let error = c.perplexity_ratio_stderr.map(|e| 100.0 * e);
            Some(signed(100.0 * (c.perplexity_ratio - 1.0), error, 3))
        }),
        number("ΔNLL (10⁻³ nats)", Full, |r| {
            let c = r.comparison.as_ref()?;
            Some(signed(1e3 * c.delta_nll, c.delta_nll_stderr.map(|e| 1e3 * e), 3))
        }),
        divergence("KLD (10⁻³ nats) ↓", Brief, |d| {
            with_error(1e3 * d.kld_mean, d.kld_stderr.map(|e| 1e3 * e), 3)
        }),
        divergence("KLD median (10⁻³) ↓", Full, |d| milli(d.kld_median)),
        divergence("KLD p99 (10⁻³) ↓", Full, |d| milli(d.kld_p99)),
        divergence("KLD p99.9 (10⁻³) ↓", Full, |d| milli(d.kld_p999)),
        divergence("KLD max (10⁻³) ↓", Full, |d| milli(d.kld_max)),
        divergence("same top (%) ↑", Brief, |d| percent(d.same_top, d.same_top_stderr, 2)),
        divergence("RMS Δp (%) ↓", Brief, |d| percent(d.rms_dp, d.rms_dp_stderr, 3)),
        number("KV bytes/token ↓", Brief, |r| Some(format!("{:.0}", r.memory.bytes_per_token))),
        number("% of fp16 ↓", Brief, |r| {
            let share = r.memory.cache_bytes_held as f64 / r.memory.cache_bytes_fp16 as f64;
            Some(format!("{:.1}", 100.0 * share))
        }),
        number("KV held ↓", Full, |r| Some(units::bytes(r.memory.cache_bytes_held))),
        number("KV allocated ↓", Full, |r| Some(units::bytes(r.memory.cache_bytes_allocated))),
        number("first token (s) ↓", Brief, |r| {
            Some(format!("{:.3}", r.speed.as_ref()?.first_token_s?))
        }),
        number("prefill tok/s ↑", Brief, |r| {
            let speed = r.speed.as_ref()?;
            Some(rate(speed.prefill_tok_s?, speed.prefill_spread))
        }),
        number("decode tok/s ↑", Brief, |r| {
            let speed = r.speed.as_ref()?;
            Some(rate(speed.decode_tok_s?, speed.decode_spread))
        }),
    ]
}

fn percent(share: f64, error: Option<f64>, digits: usize) -> String {
    with_error(100.0 * share, error.map(|e| 100.0 * e), digits)
}

fn milli(value: f64) -> String {
    format!("{:.3}", 1e3 * value)
}

/// A rate with its spread in percent, where that was measured.
fn rate(rate: f64, spread: Option<f64>) -> String {
    match spread {
        Some(spread) => format!("{} ± {:.0} %", units::rate(rate), 100.0 * spread),
        None => units::rate(rate),
    }
}

/// One row per record.
pub fn records_table(records: &[Record], detail: Detail) -> Table {
    let mut columns = Vec::new();
    for column in settings().into_iter().chain(quantities(records)) {
        let cells: Vec<Option<String>> = records.iter().map(|r| (column.cell)(r)).collect();
        let shown = match column.setting {
            true => cells.windows(2).any(|pair| pair[0] != pair[1]),
            false => cells.iter().any(Option::is_some),
        };
        if shown && (column.detail == Detail::Brief || detail == Detail::Full) {
            columns.push((column, cells));
        }
    }
    let rows = (0..records.len()).map(|i| {
        columns
            .iter()
            .map(|(_, cells)| cells[i].clone().unwrap_or_else(|| "–".to_owned()))
            .collect()
    });
    Table {
        text_columns: columns.iter().filter(|(column, _)| column.text).count(),
        rows: rows.collect(),
        header: columns.iter().map(|(column, _)| column.title.clone()).collect(),
    }
}

/// What all rows have in common, in a line: `model mini, dataset sample, …`.
pub fn caption(records: &[Record]) -> String {
    let common = settings().into_iter().filter(|column| column.setting).filter_map(|column| {
        let mut values = records.iter().map(|r| (column.cell)(r));
        let first = values.next().flatten()?;
        values.all(|v| v.as_ref() == Some(&first)).then(|| format!("{} {first}", column.title))
    });
    common.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn settings_appear_where_they_differ() {
        let mut records = vec![record("fp16"), record("k8v4")];
        let titles = |records: &[Record]| records_table(records, Detail::Brief).header;
        assert!(!titles(&records).contains(&"ctx".to_owned()));
        assert!(caption(&records).contains("ctx 512"));
        records[1].cell.ctx = 2048;
        assert!(titles(&records).contains(&"ctx".to_owned()));
        assert!(!caption(&records).contains("ctx"));
    }

    #[test]
    fn perplexities_beyond_f64_keep_their_column_and_show_the_loss() {
        let mut records = vec![record("fp16"), record("a2g32:a2g32")];
        records.iter_mut().for_each(|record| record.retrieval = None);
        let column = |records: &[Record], title: &str| {
            let table = records_table(records, Detail::Brief);
            let at = table.header.iter().position(|h| h == title)?;
            Some(table.rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>())
        };
        assert_eq!(column(&records, "NLL (nats) ↓"), None);
        let quality = records[1].quality.as_mut().expect("a perplexity");
        (quality.nll, quality.nll_stderr) = (812.5, Some(2.0));
        (quality.perplexity, quality.perplexity_stderr) = (f64::INFINITY, None);
        assert_eq!(column(&records, "perplexity ↓").expect("shown")[1], "> 1e300");
        assert_eq!(column(&records, "NLL (nats) ↓").expect("shown")[1], "812.5000 ± 2.0000");
    }

    #[test]
    fn the_baseline_is_called_so_and_what_is_missing_is_a_dash() {
        let mut records = vec![record("fp16"), record("k8v4")];
        for record in &mut records {
            record.retrieval = None;
        }
        records[0].divergence = None;
        let table = records_table(&records, Detail::Full);
        let at = |title: &str| table.header.iter().position(|h| h == title).expect(title);
        assert_eq!(table.rows[0][at("Δ against fp16 (%)")], "baseline");
        assert_eq!(table.rows[0][at("KLD (10⁻³ nats) ↓")], "–");
        assert_eq!(table.rows[1][at("KLD (10⁻³ nats) ↓")], "0.900 ± 0.010");
        assert_eq!(table.rows[1][at("Δ against fp16 (%)")], "+0.100 ± 0.020");
        assert_eq!(table.rows[1][at("KLD max (10⁻³) ↓")], "40.000");
    }
}
