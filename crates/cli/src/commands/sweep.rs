//! `kvr sweep`: many evaluations from one file, resumable and in shards.

use std::path::PathBuf;

use indicatif::ProgressBar;
use kvr_eval::record::ResultFolder;
use kvr_eval::report::table::{Detail, Format, records_table};
use kvr_eval::study::sweep::{Grid, Reporter, Shard, Sweep, Swept};
use kvr_models::Hub;
use kvr_policy::Registry;

use crate::shared::args::{DeviceArgs, OutputFormat};
use crate::shared::error::Usage;
use crate::shared::{backend, output, provenance, workbench};

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr sweep configs/sweeps/smoke.toml --out results/smoke
  kvr sweep configs/sweeps/smoke.toml --out results/smoke     again: resumes where it was stopped
  kvr sweep grid.toml --out grid --shard 0/4                  one of four machines; then:
  kvr merge grid --out grid-joined
In an array job of Slurm or an indexed Job of Kubernetes the shard is taken from its variables
(configs/cluster/).";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that describes the sweep.
    file: PathBuf,
    /// Folder of the records: created if it does not exist, resumed if it does.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Evaluate on this text instead of the file's: wikitext-2:PATH where the hub is out of reach.
    #[arg(long, value_name = "DATASET")]
    dataset: Option<String>,
    /// Evaluate this model instead of the file's.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Cells measured at a time. Above 1, speeds are not recorded: the machine is shared.
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// Measure part i of n, counted from 0 [default: what Slurm or Kubernetes says, or all].
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Resume with records that another revision of kvr wrote.
    #[arg(long)]
    allow_mixed: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    let file = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|e| Usage(format!("{file}: {e}: give the file that describes the sweep")))?;
    let mut grid = Grid::parse(&text, &file)?;
    grid.datasets = args.dataset.clone().map_or(grid.datasets, |dataset| vec![dataset]);
    grid.models = args.model.clone().map_or(grid.models, |model| vec![model]);
    if args.jobs == 0 {
        return Err(Usage("--jobs 0: measure at least one cell at a time".to_owned()).into());
    }
    let shard = match args.shard {
        Some(shard) => shard,
        None => Shard::from_variables(|name| std::env::var(name).ok())?.unwrap_or(Shard::WHOLE),
    };
    let hub = Hub::from_env();
    let backend = backend::open(&args.device)?;
    let folder = ResultFolder::open(&args.out)?;
    backend.announce();
    let progress = Progress { bar: workbench::bar(0)? };
    let sweep = Sweep {
        grid: &grid,
        shard,
        jobs: args.jobs,
        allow_mixed: args.allow_mixed,
        registry,
        hub: &hub,
        load: &|source| Ok(source.load(&hub, &backend.context)?),
        provenance: &|| provenance::of(&backend),
    };
    let Swept { records, failures } = sweep.run(&folder, &progress)?;
    progress.bar.finish_and_clear();
    let table = records_table(&records, Detail::Brief);
    if !shard.is_part() {
        folder.write_file("config.toml", &text)?;
        folder.write_file("table.md", &table.render(Format::Markdown))?;
    }
    output::print(args.format, &table, &records)?;
    match failures.len() {
        0 => Ok(()),
        // Each was said when it happened.
        count => Err(anyhow::anyhow!(
            "{count} cells or groups of them failed, as said above; what was measured is in {}",
            args.out.display()
        )),
    }
}

/// Cells and windows on stderr.
struct Progress {
    bar: ProgressBar,
}

impl Reporter for Progress {
    fn begin(&self, cell: &str, windows: usize) {
        self.bar.inc_length(windows as u64);
        self.bar.set_message(cell.to_owned());
        // Without a terminal the bar is silent; a log should still say how far it went.
        if self.bar.is_hidden() {
            eprintln!("{cell}: {windows} windows");
        }
    }

    fn window(&self) {
        self.bar.inc(1);
    }

    fn skip(&self, cell: &str) {
        self.note(&format!("{cell}: measured before"));
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}
