//! One JSON object per policy: everything needed to read, compare and repeat a number.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::EvalError;

/// The version of this layout; raised when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// One evaluated cell. Field names carry their units.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)] // The names are the documentation, and docs/records.md explains each.
pub struct Record {
    pub schema: u32,
    pub git_rev: String,
    pub dirty: bool,
    pub date_utc: String,
    pub command: String,
    pub device: String,
    pub backend: String,
    pub threads: usize,
    pub burn_version: String,
    pub dtype: String,
    pub model: String,
    pub model_sha256: Option<String>,
    pub dataset: String,
    pub dataset_sha256: String,
    pub policy: String,
    pub policy_config: String,
    pub protocol: String,
    pub protocol_version: u32,
    pub mode: String,
    pub ctx: usize,
    pub batch_tokens: usize,
    pub chunks: usize,
    pub scored_tokens: usize,
    pub seed: u64,
    pub nll: f64,
    pub nll_stderr: Option<f64>,
    pub perplexity: f64,
    pub perplexity_stderr: Option<f64>,
    pub baseline: Option<String>,
    pub delta_nll: Option<f64>,
    pub delta_nll_stderr: Option<f64>,
    pub perplexity_ratio: Option<f64>,
    pub perplexity_ratio_stderr: Option<f64>,
    pub memory_ctx: usize,
    pub cache_bytes_held: u64,
    pub cache_bytes_allocated: u64,
    pub cache_bytes_fp16: u64,
    pub bytes_per_token: f64,
    pub peak_process_bytes: Option<u64>,
    pub prefill_s: f64,
    pub prefill_tok_s: f64,
    pub decode_tok_s: f64,
    pub warnings: Vec<String>,
}

/// A folder of results that is being made: nothing appears under its name until it is whole.
#[derive(Debug)]
pub struct ResultFolder {
    target: PathBuf,
}

const RECORDS: &str = "records.jsonl";

impl ResultFolder {
    /// Checks, before hours of work, that the folder can be written and holds no results yet.
    ///
    /// # Errors
    /// When it can't be made or written, or holds records already.
    pub fn claim(target: &Path) -> Result<Self, EvalError> {
        let error = |source| EvalError::File { path: target.to_owned(), verb: "written", source };
        std::fs::create_dir_all(target).map_err(error)?;
        if target.join(RECORDS).exists() {
            return Err(EvalError::Setting(format!(
                "--out {}: holds {RECORDS} already, and results are never overwritten: name a new folder",
                target.display()
            )));
        }
        tempfile::tempfile_in(target).map_err(error)?;
        Ok(Self { target: target.to_owned() })
    }

    /// Writes records, the configuration and the table, each file whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, records: &[Record], config: &str, table: &str) -> Result<(), EvalError> {
        let mut lines = String::new();
        for record in records {
            lines.push_str(
                &serde_json::to_string(record).map_err(|e| EvalError::Setting(e.to_string()))?,
            );
            lines.push('\n');
        }
        for (name, content) in [("config.toml", config), ("table.md", table), (RECORDS, &lines)] {
            write_whole(&self.target.join(name), content.as_bytes())?;
        }
        Ok(())
    }
}

/// Writes a file under another name in the same folder and renames it when it is complete.
///
/// # Errors
/// When the folder can't be written or the disk is full; an older file then stays as it was.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), EvalError> {
    let error = |source| EvalError::File { path: path.to_owned(), verb: "written", source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    file.write_all(content).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    make_readable(file.as_file()).map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    Ok(())
}

/// Temporary files are private; results are as readable as any other file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
