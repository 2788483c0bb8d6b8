//! `kvr report`: one self-contained page.

use std::path::PathBuf;

use kvr_eval::record::files::write_whole;
use kvr_eval::{record, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder of results, or a file of records.
    records: PathBuf,
    /// The page [default: report.html in the folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let records = record::read(&args.records)?;
    let beside =
        if args.records.is_dir() { Some(args.records.as_path()) } else { args.records.parent() };
    let folder = beside.unwrap_or(std::path::Path::new("."));
    let out = args.out.clone().unwrap_or_else(|| folder.join("report.html"));
    let title = folder.canonicalize().ok();
    let title =
        title.as_deref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    write_whole(
        &out,
        report::page(&title.unwrap_or_else(|| "kvr".to_owned()), &records)?.as_bytes(),
    )?;
    eprintln!("{}", out.display());
    Ok(())
}
