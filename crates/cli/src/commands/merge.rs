//! `kvr merge`: the records of several shards in one folder.

use std::path::{Path, PathBuf};

use kvr_eval::record::{self, RECORDS, ResultFolder};
use kvr_eval::report::table::{Detail, Format, records_table};

use crate::shared::args::OutputFormat;
use crate::shared::error::Usage;
use crate::shared::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folders with records-*.jsonl or records.jsonl, or such files.
    #[arg(required = true)]
    shards: Vec<PathBuf>,
    /// New folder for the joined records.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Join records even if revisions of kvr, weights or texts differ.
    #[arg(long)]
    allow_mixed: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut shards = Vec::new();
    let mut files = Vec::new();
    for path in &args.shards {
        for file in record_files(path)? {
            shards.push(record::read(&file)?);
            files.push(file.display().to_string());
        }
    }
    let records = record::merge(shards, args.allow_mixed)?;
    let table = records_table(&records, Detail::Brief);
    let config = toml::to_string(&toml::Table::from_iter([("merged".to_owned(), files.into())]))?;
    ResultFolder::claim(&args.out)?.write(&records, &config, &table.render(Format::Markdown))?;
    output::print(args.format, &table, &records)
}

/// The files of records in a folder, in the order of their shards; a file is itself.
fn record_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // records-3-of-8.jsonl
        let part = name
            .strip_prefix("records-")
            .and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
        if name == RECORDS || part.is_some() {
            files.push((part, path));
        }
    }
    if files.is_empty() {
        return Err(Usage(format!("{}: holds no records", path.display())).into());
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
