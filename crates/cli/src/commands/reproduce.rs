//! `kvr reproduce`: a published table, and the same quantities measured here.

use std::path::PathBuf;

use kvr_eval::record::{Record, ResultFolder};
use kvr_eval::report::table::{Detail, Format, Table, records_table, signed, with_error};
use kvr_eval::run::dataset::Dataset;
use kvr_eval::run::runner::Reference;
use kvr_eval::study::experiment::{Experiment, Lineup};
use kvr_eval::study::reproduce::{self, Published, Quantity, Reproduced};
use kvr_models::{Hub, Model};
use kvr_policy::Registry;

use crate::shared::args::{DeviceArgs, OutputFormat};
use crate::shared::error::{all, split};
use crate::shared::{output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr reproduce                                 the tables that there are
  kvr reproduce kvsplit --model mini
  kvr reproduce llama-cpp-7412 --model tinyllama --format latex
  kvr reproduce kvsplit --dataset sample --chunks 8     a quick look";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of a table, or a .toml file; without one, the tables are listed.
    table: Option<String>,
    /// mini, tinyllama, a folder, or hub:owner/name[@revision].
    #[arg(long, default_value = "mini")]
    model: String,
    /// The text [default: the table's].
    #[arg(long, value_name = "DATASET")]
    dataset: Option<String>,
    /// Evaluate the first N windows only.
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Also write records.jsonl, config.toml, table.md and summary.md into this new folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let Some(name) = &args.table else { return list() };
    let table = reproduce::table(name)?;
    let policies = table.policies(registry)?;
    let hub = Hub::from_env();
    let dataset = match (&args.dataset, &table.run) {
        (Some(name), _) => Some(Dataset::load(name, &hub)?),
        (None, Some(run)) => Some(Dataset::load(&run.dataset, &hub)?),
        (None, None) => None,
    };
    let (backend, model) = workbench::load(&args.model, &args.device, &hub)?;
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    let folder = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    if let (Some(dataset), Some(settings)) = (&dataset, table.settings(args.chunks)) {
        let experiment = Experiment::new(&model, dataset, &settings)?;
        backend.announce();
        let bar = workbench::bar(experiment.windows() * policies.len())?;
        bar.set_message(experiment.to_string());
        let lineup = Lineup { policies: &policies, reference: Reference::First, save: None };
        let results = experiment.run(&lineup, &provenance::of(&backend), &mut || bar.inc(1))?;
        (records, failures) = split(results);
        bar.finish_and_clear();
    }
    let cells = table.compare(&policies, &records, &hub, &backend.context)?;
    let drawn = side_by_side(&cells);
    let words = words(&table, &model, &records);
    if let Some(folder) = folder {
        let page = format!("# {}\n\n{}\n{words}", table.title, drawn.render(Format::Markdown));
        let summary = records_table(&records, Detail::Brief).render(Format::Markdown);
        folder.write_file("summary.md", &summary)?;
        let config = provenance::config()?;
        folder.write(&records, &config, &page)?;
    }
    output::print(args.format, &drawn, &cells)?;
    if args.format.table().is_some() {
        output::write_out(&format!("\n{words}"))?;
        if !records.is_empty() {
            let summary = records_table(&records, Detail::Brief);
            output::write_out(&format!(
                "\nSummary of what was measured here\n\n{}",
                summary.render(args.format.table().unwrap_or(Format::Text))
            ))?;
        }
    }
    all(failures)
}

fn list() -> anyhow::Result<()> {
    let rows = reproduce::tables()?.into_iter().map(|(name, table)| {
        let here = table.rows.iter().filter(|row| row.policy.is_some()).count();
        vec![name.to_owned(), table.title, format!("{here} of {}", table.rows.len())]
    });
    let header = ["table", "what", "rows that can be measured"].map(str::to_owned).into();
    output::write_out(&Table { text_columns: 3, header, rows: rows.collect() }.render(Format::Text))
}

fn side_by_side(cells: &[Reproduced]) -> Table {
    let header = ["column", "row", "policy here", "theirs", "ours", "difference"];
    let rows = cells.iter().map(|cell| {
        let policy = match (&cell.policy, &cell.missing) {
            (Some(policy), _) => policy.clone(),
            (None, missing) => format!("not yet: {}", missing.as_deref().unwrap_or("no policy")),
        };
        vec![
            cell.column.clone(),
            cell.row.clone(),
            policy,
            theirs(cell),
            ours(cell),
            difference(cell),
        ]
    });
    Table { text_columns: 3, header: header.map(str::to_owned).into(), rows: rows.collect() }
}

/// Digits after the point that a quantity is worth.
fn digits(quantity: Quantity) -> usize {
    match quantity {
        Quantity::Perplexity | Quantity::PerplexityChangePercent => 3,
        Quantity::Kld => 6,
        Quantity::CacheMib => 2,
        Quantity::CachePercent => 1,
        Quantity::PrefillTokS | Quantity::DecodeTokS => 0,
    }
}

fn theirs(cell: &Reproduced) -> String {
    match (cell.theirs, cell.theirs_change_percent) {
        (None, _) => "–".to_owned(),
        (Some(value), Some(change)) => format!("{value} ({change:+.2} %)"),
        (Some(value), None) => value.to_string(),
    }
}

fn ours(cell: &Reproduced) -> String {
    let digits = digits(cell.quantity);
    let Some(value) = cell.ours else { return "–".to_owned() };
    let text = match cell.ours_stderr {
        Some(_) => with_error(value, cell.ours_stderr, digits),
        None => format!("{value:.digits$}"),
    };
    match cell.ours_change_percent {
        Some(change) => {
            format!("{text} ({} %)", signed(change, cell.ours_change_stderr_percent, 3))
        }
        None => text,
    }
}

fn difference(cell: &Reproduced) -> String {
    let digits = digits(cell.quantity);
    match (cell.difference, cell.quantity) {
        (None, _) => "–".to_owned(),
        (Some(d), Quantity::Perplexity) => format!("{d:+.2} points of change"),
        (Some(d), _) => format!("{d:+.digits$}"),
    }
}

/// What differs and what is wrong, in words.
fn words(table: &Published, model: &Model, records: &[Record]) -> String {
    let mut text = format!(
        "{}\nSource: {}\nTheirs: {}; {}\n",
        table.title, table.source, table.models, table.measured
    );
    if let Some(record) = records.first() {
        let cell = &record.cell;
        text.push_str(&format!(
            "Ours: {}; {}, protocol {} {}, mode {}, windows of {} tokens, {} of them\n",
            model.name,
            cell.dataset,
            cell.protocol,
            cell.protocol_version,
            cell.mode,
            cell.ctx,
            cell.chunks
        ));
    }
    let mut list = |title: &str, items: &[String]| {
        if !items.is_empty() {
            text.push_str(&format!("\n{title}:\n"));
            items.iter().for_each(|item| text.push_str(&format!("- {item}\n")));
        }
    };
    let mut differs = vec![format!("model: {} here, {} there", model.name, table.models)];
    differs.extend(table.differs.iter().cloned());
    list("What differs", &differs);
    list("What is wrong or unstated in the original", &table.wrong);
    let missing = table
        .rows
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row.label, row.missing.as_ref()?)));
    list("Rows whose policy does not exist here yet", &missing.collect::<Vec<_>>());
    text
}
