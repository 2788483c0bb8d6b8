//! `kvr diff`: two results, cell by cell, and what can't be compared.

use std::path::PathBuf;

use kvr_eval::record;
use kvr_eval::report::diff::{self, Pair};
use kvr_eval::report::table::{Table, of_any_size, signed};

use crate::shared::args::OutputFormat;
use crate::shared::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder of results, or a file of records.
    before: PathBuf,
    /// The one to compare it with.
    after: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (before, after) = (record::read(&args.before)?, record::read(&args.after)?);
    let pairs = diff::pairs(&before, &after);
    let header = [
        "policy",
        "ctx",
        "what differs",
        "perplexity before",
        "after",
        "change (%)",
        "KV bytes/token change (%)",
        "prefill change (%)",
        "decode change (%)",
    ];
    let table = Table {
        text_columns: 3,
        header: header.map(str::to_owned).into(),
        rows: pairs.iter().map(cells).collect(),
    };
    output::print(args.format, &table, &pairs)?;
    for pair in pairs.iter().filter(|pair| !pair.comparable) {
        let differs = pair.differs.join("; ");
        eprintln!("warning: {} at {}: can't be compared: {differs}", pair.policy, pair.ctx);
    }
    Ok(())
}

fn cells(pair: &Pair) -> Vec<String> {
    let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| of_any_size(x, 3));
    let percent = |x: Option<f64>| match x {
        Some(x) if pair.comparable => format!("{x:+.3}"),
        _ => "–".to_owned(),
    };
    let quality = match pair.perplexity_change_percent {
        Some(change) if pair.comparable => signed(change, pair.perplexity_change_stderr_percent, 3),
        _ => "–".to_owned(),
    };
    let differs =
        if pair.differs.is_empty() { "nothing".to_owned() } else { pair.differs.join("; ") };
    vec![
        pair.policy.clone(),
        pair.ctx.to_string(),
        differs,
        number(pair.perplexity_before),
        number(pair.perplexity_after),
        quality,
        percent(pair.bytes_change_percent),
        percent(pair.prefill_change_percent),
        percent(pair.decode_change_percent),
    ]
}
