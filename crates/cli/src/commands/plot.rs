//! `kvr plot`: pictures of records.

use std::path::PathBuf;

use kvr_eval::record::files::write_whole;
use kvr_eval::record::{self, Record, ResultFolder};
use kvr_eval::report::plot;

use crate::shared::error::Usage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folders of results, or files of records.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// Figures, comma-separated: memory, pareto, change, grid, sensitivity, passkey, speed, summary
    /// [default: all that the records have data for].
    #[arg(long, value_delimiter = ',', value_name = "FIGURES")]
    figure: Vec<String>,
    /// Folder of the pictures [default: the first one of the results].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let records: Vec<Record> =
        args.records.iter().map(|path| record::read(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let figures = match args.figure.as_slice() {
        [] => plot::ALL.to_vec(),
        names => names.iter().map(|name| plot::by_name(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let first = &args.records[0];
    let beside = if first.is_dir() { Some(first.as_path()) } else { first.parent() };
    let folder = match (&args.out, beside) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.to_owned(),
        (None, None) => PathBuf::from("."),
    };
    let mut pictures = Vec::new();
    for figure in figures {
        match figure.draw(&records)? {
            Some(picture) => pictures.push((figure.name(), picture)),
            None if args.figure.is_empty() => {}
            None => {
                return Err(Usage(format!(
                    "--figure {}: the records have no data for it ({})",
                    figure.name(),
                    figure.summary()
                ))
                .into());
            }
        }
    }
    let target = ResultFolder::open(&folder)?;
    for (name, picture) in pictures {
        for (ending, bytes) in [("svg", picture.svg().into_bytes()), ("png", picture.png()?)] {
            let path = target.path(&format!("{name}.{ending}"));
            write_whole(&path, &bytes)?;
            eprintln!("{}", path.display());
        }
    }
    Ok(())
}
