//! Measuring a sweep, cell by cell.
//!
//! A cell is a policy in a group. Its record is appended and on disk before the next one begins, so
//! a killed sweep loses the running cell only; what is there already is skipped by content key. The
//! baseline's hidden states lie in a file next to the records while their group is measured.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kvr_models::{Hub, Model, ModelSource};
use kvr_policy::{KvCachePolicy, Registry};

use super::{Grid, Group, Shard};
use crate::EvalError;
use crate::record::files::{self, LineFile};
use crate::record::{Provenance, Record, ResultFolder, read_lines};
use crate::run::baseline::BaselineFile;
use crate::run::dataset::Dataset;
use crate::run::policies::{distinct, find};
use crate::run::runner::Reference;
use crate::study::experiment::{Experiment, Lineup};

/// What a sweep tells its caller while it runs.
pub trait Reporter: Sync {
    /// A cell begins, of so many windows.
    fn begin(&self, cell: &str, windows: usize);
    /// A window is done.
    fn window(&self);
    /// A cell was measured before.
    fn skip(&self, cell: &str);
    /// Something worth a line.
    fn note(&self, text: &str);
}

/// A sweep that is ready to run.
pub struct Sweep<'a> {
    /// What to measure.
    pub grid: &'a Grid,
    /// Which part of it.
    pub shard: Shard,
    /// Cells measured at a time.
    pub jobs: usize,
    /// Whether records of another revision of the program may stand in the same file.
    pub allow_mixed: bool,
    /// Where policies come from.
    pub registry: &'a Registry,
    /// Where models and texts come from.
    pub hub: &'a Hub,
    /// Loads a model.
    pub load: &'a (dyn Fn(&ModelSource) -> Result<Model, EvalError> + Sync + 'a),
    /// Who measures, now.
    pub provenance: &'a (dyn Fn() -> Provenance + Sync),
}

/// What came of a sweep.
#[derive(Debug)]
pub struct Swept {
    /// The records of this shard, old and new, in the order of the grid.
    pub records: Vec<Record>,
    /// Cells that have no record, and why: they are tried again when the sweep is resumed.
    pub failures: Vec<EvalError>,
}

/// The records of a sweep on disk.
struct Ledger {
    file: LineFile,
    keys: BTreeSet<String>,
    records: Vec<Record>,
    /// The keys of the cells in the order of the grid.
    order: Vec<String>,
    failures: Vec<EvalError>,
}

impl Sweep<'_> {
    /// Measures what is missing in `folder`. A cell that fails does not stop the others; where it
    /// is the baseline of a group, the group has nothing to be compared with and is left out.
    ///
    /// # Errors
    /// When something in the grid is unknown, records on disk are damaged or of another revision,
    /// or the disk refuses.
    pub fn run(&self, folder: &ResultFolder, reporter: &dyn Reporter) -> Result<Swept, EvalError> {
        let names = self.grid.policies();
        let policies = names.iter().map(|name| find(self.registry, name));
        let policies = distinct(policies.collect::<Result<_, _>>()?)?;
        let groups = self.grid.groups();
        let sources = groups.iter().map(|group| group.model.parse::<ModelSource>());
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        // A text that is missing is said now, not after hours.
        for name in &self.grid.datasets {
            Dataset::load(name, self.hub)?;
        }
        let ledger = Mutex::new(self.open(folder, reporter)?);
        let mine = self.shard.of(groups.len() * policies.len());
        let mut model: Option<(String, Model)> = None;
        let mut dataset: Option<(String, Dataset)> = None;
        for (g, (group, source)) in groups.iter().zip(&sources).enumerate() {
            let cells = g * policies.len()..(g + 1) * policies.len();
            let cells = mine.start.max(cells.start)..mine.end.min(cells.end);
            if cells.is_empty() {
                continue;
            }
            let picked: Vec<_> = cells.map(|i| policies[i % policies.len()].clone()).collect();
            let model = cached(&mut model, &group.model, || (self.load)(source))?;
            let dataset =
                cached(&mut dataset, &group.dataset, || Dataset::load(&group.dataset, self.hub))?;
            self.group(folder, &ledger, (group, model, dataset), &policies, &picked, reporter)?;
        }
        // A run that was killed at its very end may have left them.
        files::sweep_away(&self.baseline_path(folder))?;
        let Ledger { records, order, failures, .. } =
            ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The file is in the order in which cells were measured; people want the grid's.
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            let key = record.key()?;
            placed
                .push((order.iter().position(|known| *known == key).unwrap_or(usize::MAX), record));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Swept { records: placed.into_iter().map(|(_, record)| record).collect(), failures })
    }

    fn open(&self, folder: &ResultFolder, reporter: &dyn Reporter) -> Result<Ledger, EvalError> {
        let path = folder.path(&self.shard.records_file());
        let (file, lines, torn) = LineFile::open(&path)?;
        if torn {
            reporter.note(&format!(
                "{}: the last line was cut short and is measured again",
                path.display()
            ));
        }
        files::clear_parts(&self.baseline_path(folder))?;
        let records = read_lines(lines.iter().map(String::as_str), &path)?;
        let now = (self.provenance)();
        if let Some(other) = records.iter().find(|r| r.provenance.git_rev != now.git_rev)
            && !self.allow_mixed
        {
            return Err(EvalError::Setting(format!(
                "{}: holds records of revision {}, and this is {}: name a new --out, or allow it \
                with --allow-mixed",
                path.display(),
                other.provenance.git_rev,
                now.git_rev
            )));
        }
        let keys = records.iter().map(Record::key).collect::<Result<_, _>>()?;
        Ok(Ledger { file, keys, records, order: Vec::new(), failures: Vec::new() })
    }

    fn group(
        &self,
        folder: &ResultFolder,
        ledger: &Mutex<Ledger>,
        (group, model, dataset): (&Group, &Model, &Dataset),
        policies: &[Arc<dyn KvCachePolicy>],
        picked: &[Arc<dyn KvCachePolicy>],
        reporter: &dyn Reporter,
    ) -> Result<(), EvalError> {
        let experiment = Experiment::new(model, dataset, &group.settings)?;
        for policy in picked {
            experiment.check(&**policy)?;
        }
        let baseline = self.grid.baseline.as_ref().map(|_| &policies[0]);
        let baseline_config = baseline.map(|b| b.config());
        let lock = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut todo = Vec::new();
        for policy in picked {
            let key = experiment.cell(&**policy).key(baseline_config.as_deref())?;
            lock().order.push(key.clone());
            if lock().keys.contains(&key) {
                reporter.skip(&label(group, &policy.name()));
            } else {
                todo.push((policy, key));
            }
        }
        if todo.is_empty() {
            return Ok(());
        }
        let measure = |policy: &Arc<dyn KvCachePolicy>, reference, save: Option<&PathBuf>| {
            reporter.begin(&label(group, &policy.name()), experiment.windows());
            let lineup = Lineup {
                policies: std::slice::from_ref(policy),
                reference,
                save: save.map(PathBuf::as_path),
            };
            let mut results =
                experiment.run(&lineup, &(self.provenance)(), &mut || reporter.window())?;
            // Cells that run at the same time say nothing about speed.
            Ok::<_, EvalError>(results.remove(0).map(|record| {
                let speed = record.speed.clone().filter(|_| self.jobs == 1);
                Record { speed, ..record }
            }))
        };
        let fail = |error: EvalError| {
            reporter.note(&format!("not measured: {error}"));
            lock().failures.push(error);
        };
        let record = |record: Record, key: &str| -> Result<(), EvalError> {
            let mut ledger = lock();
            ledger.file.push(&record.line()?)?;
            ledger.keys.insert(key.to_owned());
            ledger.records.push(record);
            Ok(())
        };

        let mut saved = None;
        if let Some(baseline) = baseline {
            let path = self.baseline_path(folder);
            let owned = todo.iter().position(|(policy, _)| policy.config() == baseline.config());
            if owned.is_some() || !usable(&path, &experiment, &baseline.config()) {
                match (measure(baseline, Reference::First, Some(&path))?, owned) {
                    (Ok(measured), Some(i)) => record(measured, &todo.remove(i).1)?,
                    (Ok(_), None) => {}
                    (Err(error), _) => {
                        fail(error);
                        reporter.note(&format!(
                            "{} cells have nothing to be compared with: name another baseline",
                            todo.len() - usize::from(owned.is_some())
                        ));
                        return Ok(());
                    }
                }
            }
            saved = Some(BaselineFile::open(&path)?);
        }
        let reference = saved.as_ref().map_or(Reference::None, Reference::File);
        let queue = Mutex::new(todo.into_iter());
        let queued = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || -> Result<(), EvalError> {
            loop {
                let Some((policy, key)) = queued().next() else { return Ok(()) };
                let done = measure(policy, reference, None).and_then(|result| match result {
                    Ok(measured) => record(measured, &key),
                    Err(error) => {
                        fail(error);
                        Ok(())
                    }
                });
                if done.is_err() {
                    // What fails once fails again: the others finish their cell and stop.
                    *queued() = Vec::new().into_iter();
                    return done;
                }
            }
        };
        self.workers(work)?;
        files::sweep_away(&self.baseline_path(folder))
    }
}

impl Sweep<'_> {
    /// Where the baseline's hidden states of the group at hand lie.
    fn baseline_path(&self, folder: &ResultFolder) -> PathBuf {
        let name = self.shard.records_file().replace(".jsonl", ".safetensors");
        folder.path(&format!(".baseline-{name}"))
    }

    /// Runs `work` once for each of the jobs at a time, each with its share of the threads.
    fn workers(&self, work: impl Fn() -> Result<(), EvalError> + Sync) -> Result<(), EvalError> {
        if self.jobs == 1 {
            return work();
        }
        let threads = (rayon::current_num_threads() / self.jobs).max(1);
        let worker = || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|e| EvalError::Device(format!("--jobs {}: {e}", self.jobs)))?;
            pool.install(&work)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(worker)).collect();
            let results = workers.into_iter().map(|worker| {
                let panicked = |_| Err(EvalError::Device("a worker of --jobs panicked".to_owned()));
                worker.join().unwrap_or_else(panicked)
            });
            // Every worker has ended before the first error is returned.
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }
}

/// Whether an interrupted run left the hidden states that are needed.
fn usable(path: &Path, experiment: &Experiment<'_>, config: &str) -> bool {
    BaselineFile::open(path).is_ok_and(|file| {
        file.policy_config() == Some(config) && experiment.check_file(&file).is_ok()
    })
}

/// The value that was loaded under `name`, loaded if it was another.
fn cached<'a, T>(
    slot: &'a mut Option<(String, T)>,
    name: &str,
    load: impl FnOnce() -> Result<T, EvalError>,
) -> Result<&'a T, EvalError> {
    if slot.as_ref().is_none_or(|(known, _)| known != name) {
        // The old one goes first: two models may not fit.
        *slot = None;
        *slot = Some((name.to_owned(), load()?));
    }
    Ok(&slot.as_ref().expect("it was just filled").1)
}

fn label(group: &Group, policy: &str) -> String {
    let Group { model, settings, .. } = group;
    let ctx = settings.ctx.map_or(String::new(), |ctx| format!(" {ctx}"));
    let depth = settings.depth.map_or(String::new(), |depth| format!(" at {depth} %"));
    format!("{model} {}{ctx}{depth} {policy}", settings.protocol)
}
