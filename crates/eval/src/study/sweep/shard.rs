//! Which part of a sweep this process measures.

use std::ops::Range;
use std::str::FromStr;

use crate::EvalError;

/// Part `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    fn new(index: usize, count: usize, from: &str) -> Result<Self, EvalError> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(EvalError::Setting(format!(
            "{from}: shard {index} of {count}: shards are counted from 0, so give 0 to {}",
            count.saturating_sub(1)
        )))
    }

    /// The shard that a batch system names in its variables: an array of Slurm, or an indexed Job
    /// of Kubernetes (whose job file has to repeat `completions` as `JOB_COMPLETIONS`).
    ///
    /// # Errors
    /// When the variables contradict each other.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EvalError> {
        let number = |name: &str| -> Result<Option<usize>, EvalError> {
            let Some(text) = get(name) else { return Ok(None) };
            let number = text.trim().parse();
            number.map(Some).map_err(|_| {
                EvalError::Setting(format!(
                    "{name} is '{text}', not a whole number: unset it, or give --shard"
                ))
            })
        };
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let name = "SLURM_ARRAY_TASK_ID";
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let Some(count) = number("SLURM_ARRAY_TASK_COUNT")? else {
                return Err(EvalError::Setting(format!(
                    "{name} is set and SLURM_ARRAY_TASK_COUNT is not: give --shard i/n"
                )));
            };
            return Self::new(id.saturating_sub(first) / step, count, name).map(Some);
        }
        if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            let name = "JOB_COMPLETION_INDEX";
            let Some(count) = number("JOB_COMPLETIONS")? else {
                return Err(EvalError::Setting(format!(
                    "{name} is set and JOB_COMPLETIONS is not: set it to the job's completions, or \
                    give --shard i/n"
                )));
            };
            return Self::new(index, count, name).map(Some);
        }
        Ok(None)
    }

    /// Whether this is not all of it.
    pub fn is_part(self) -> bool {
        self.count > 1
    }

    /// The cells of `n` that are this shard's: neighbours, so that shards share few baselines.
    pub fn of(self, n: usize) -> Range<usize> {
        // In 128 bits: a shard's numbers come from a flag and may be large.
        let cut = |index: usize| (n as u128 * index as u128 / self.count as u128) as usize;
        cut(self.index)..cut(self.index + 1)
    }

    /// The file of records that this shard writes: shards may share a folder.
    pub fn records_file(self) -> String {
        if self.is_part() {
            format!("records-{}-of-{}.jsonl", self.index, self.count)
        } else {
            crate::record::RECORDS.to_owned()
        }
    }
}

impl FromStr for Shard {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let Some((index, count)) = parts else {
            return Err(EvalError::Setting(format!(
                "--shard {text}: give i/n, such as 0/4 for the first of four"
            )));
        };
        Self::new(index, count, "--shard")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_everything_once() {
        for (n, count) in [(24, 5), (3, 8), (0, 2), (7, 7)] {
            let mut cells = Vec::new();
            for index in 0..count {
                cells.extend(Shard { index, count }.of(n));
            }
            assert_eq!(cells, (0..n).collect::<Vec<_>>());
        }
        let last = Shard { index: usize::MAX - 1, count: usize::MAX };
        assert_eq!(last.of(24), 23..24, "large numbers don't overflow");
    }

    #[test]
    fn batch_systems_name_the_shard() {
        let from = |pairs: &[(&str, &str)]| {
            Shard::from_variables(|name| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(from(&[]).expect("nothing"), None);
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "5"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(from(&slurm).expect("Slurm"), Some(Shard { index: 2, count: 4 }));
        assert!(from(&slurm[..1]).expect_err("no count").to_string().contains("TASK_COUNT"));
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "3")];
        assert_eq!(from(&kubernetes).expect("Kubernetes"), Some(Shard { index: 0, count: 3 }));
        assert!(from(&kubernetes[..1]).is_err());
        assert!(from(&[("JOB_COMPLETION_INDEX", "x")]).is_err());
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!("1/4".parse::<Shard>().expect("a shard"), Shard { index: 1, count: 4 });
        for bad in ["4/4", "1", "a/b", "0/0", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
