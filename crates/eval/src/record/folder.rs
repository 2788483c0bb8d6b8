//! Folders of results: claimed before the work, written whole, never overwritten.

use std::path::{Path, PathBuf};

use super::Record;
use crate::EvalError;
use crate::record::files::{unwritable, write_whole};

/// The file of a result folder that holds its records.
pub const RECORDS: &str = "records.jsonl";

/// A folder of results that is being made: nothing appears under its name until it is whole.
#[derive(Debug)]
pub struct ResultFolder {
    target: PathBuf,
}

impl ResultFolder {
    /// Checks, before hours of work, that the folder can be written and holds no results yet.
    ///
    /// # Errors
    /// When it can't be made or written, or holds records already.
    pub fn claim(target: &Path) -> Result<Self, EvalError> {
        let folder = Self::open(target)?;
        if target.join(RECORDS).exists() {
            return Err(EvalError::Setting(format!(
                "--out {}: holds {RECORDS} already, and results are never overwritten: name a new \
                folder",
                target.display()
            )));
        }
        Ok(folder)
    }

    /// Makes sure that the folder is there and can be written, whatever it holds.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub fn open(target: &Path) -> Result<Self, EvalError> {
        let error = |source| unwritable(target, source);
        std::fs::create_dir_all(target).map_err(error)?;
        tempfile::tempfile_in(target).map_err(error)?;
        Ok(Self { target: target.to_owned() })
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_file(&self, name: &str, content: &str) -> Result<(), EvalError> {
        write_whole(&self.path(name), content.as_bytes())
    }

    /// Writes records, the configuration and the table; the records last, so that a folder with
    /// records is complete.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, records: &[Record], config: &str, table: &str) -> Result<(), EvalError> {
        let lines = records.iter().map(|r| Ok(r.line()? + "\n"));
        let lines = lines.collect::<Result<String, EvalError>>()?;
        self.write_file("config.toml", config)?;
        self.write_file("table.md", table)?;
        self.write_file(RECORDS, &lines)
    }
}

/// The records of a folder of results, or of a file of records.
///
/// # Errors
/// When there are none, or a line is not a record; the message names it.
pub fn read(path: &Path) -> Result<Vec<Record>, EvalError> {
    let file = if path.is_dir() { path.join(RECORDS) } else { path.to_owned() };
    let text = std::fs::read_to_string(&file).map_err(|source| EvalError::File {
        path: file.clone(),
        verb: "read",
        source,
    })?;
    let records = read_lines(text.lines(), &file)?;
    if records.is_empty() {
        return Err(EvalError::Setting(format!("{}: holds no records", file.display())));
    }
    Ok(records)
}

/// Records from lines; `file` is for messages.
///
/// # Errors
/// When a line is not a record.
pub fn read_lines<'a>(
    lines: impl Iterator<Item = &'a str>,
    file: &Path,
) -> Result<Vec<Record>, EvalError> {
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str::<Record>(line).map_err(|e| {
            EvalError::Setting(format!(
                "{}:{}: is not a record ({e}): fix or delete the line; its cell is then measured \
                again",
                file.display(),
                i + 1
            ))
        })
    };
    lines.enumerate().map(parse).collect()
}
