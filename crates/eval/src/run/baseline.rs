//! The baseline's final hidden states in a file: its logits can be made from them again, and they
//! are smaller than logits by vocabulary over hidden size (16 times for Llama-2-7B).
//!
//! The file is safetensors with one tensor `hidden`, f32 `[scored, hidden]`, in the order of the
//! windows, and says in its metadata what it belongs to. It appears under its name
//! when it is complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::EvalError;
use crate::record::files;

/// What a file of hidden states belongs to: model, text, protocol and policy, by name.
pub type Identity = BTreeMap<String, String>;

/// The longest header that is read: far above any that is written.
const LONGEST_HEADER: u64 = 1 << 20;

/// A file that is being written.
pub struct BaselineWriter {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
    missing: usize,
}

impl BaselineWriter {
    /// Begins a file for `rows` rows of `hidden` values.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(
        path: &Path,
        identity: &Identity,
        [rows, hidden]: [usize; 2],
    ) -> Result<Self, EvalError> {
        let header = json!({
            "__metadata__": identity,
            "hidden": {
                "dtype": "F32",
                "shape": [rows, hidden],
                "data_offsets": [0, 4 * rows * hidden],
            },
        });
        let mut header = header.to_string();
        // Readers want the data aligned.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(files::beside(path)?),
            missing: rows * hidden,
        };
        writer.write(&(header.len() as u64).to_le_bytes())?;
        writer.write(header.as_bytes())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EvalError> {
        self.file.write_all(bytes).map_err(|e| files::unwritable(&self.path, e))
    }

    /// Adds the rows of the next window.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, rows: &[f32]) -> Result<(), EvalError> {
        self.missing = self.missing.saturating_sub(rows.len());
        self.write(bytemuck::cast_slice(rows))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When rows are missing or the disk is full.
    pub fn finish(self) -> Result<(), EvalError> {
        if self.missing > 0 {
            return Err(EvalError::Setting(format!(
                "{}: {} values were never written",
                self.path.display(),
                self.missing
            )));
        }
        let file =
            self.file.into_inner().map_err(|e| files::unwritable(&self.path, e.into_error()))?;
        files::persist(file, &self.path)
    }
}

/// A file that is read, window by window.
#[derive(Debug)]
pub struct BaselineFile {
    path: PathBuf,
    file: Mutex<File>,
    data_start: u64,
    rows: usize,
    hidden: usize,
    identity: Identity,
}

impl BaselineFile {
    /// Opens a file and checks its header and length.
    ///
    /// # Errors
    /// When [`BaselineWriter`] did not write it, or it is truncated.
    pub fn open(path: &Path) -> Result<Self, EvalError> {
        let read = |source| EvalError::File { path: path.to_owned(), verb: "read", source };
        let broken = |what: &str| {
            EvalError::Setting(format!(
                "{}: {what}: write it again with --save-logits",
                path.display()
            ))
        };
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|_| broken("is not a file of hidden states"))?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST_HEADER || size + 8 > length {
            return Err(broken("is not a file of hidden states"));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(read)?;
        let header: Value =
            serde_json::from_slice(&header).map_err(|_| broken("has a broken header"))?;
        let shape: Option<[usize; 2]> =
            serde_json::from_value(header["hidden"]["shape"].clone()).ok();
        let identity: Option<Identity> =
            serde_json::from_value(header["__metadata__"].clone()).ok();
        let (Some([rows, hidden]), Some(identity)) = (shape, identity) else {
            return Err(broken("is not a file of hidden states"));
        };
        let bytes = rows.checked_mul(hidden).and_then(|n| n.checked_mul(4));
        if bytes.and_then(|n| (n as u64).checked_add(8 + size)) != Some(length) {
            return Err(broken("is cut short"));
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            data_start: 8 + size,
            rows,
            hidden,
            identity,
        })
    }

    /// The policy whose hidden states these are.
    pub fn policy(&self) -> &str {
        self.identity.get("policy").map_or("unknown", String::as_str)
    }

    /// The settings of that policy; files of earlier versions do not say them.
    pub fn policy_config(&self) -> Option<&str> {
        self.identity.get("policy_config").map(String::as_str)
    }

    /// Refuses a file that belongs to something else than `wanted`.
    ///
    /// # Errors
    /// With the first thing that differs.
    pub fn check(&self, wanted: &Identity, [rows, hidden]: [usize; 2]) -> Result<(), EvalError> {
        let differs = wanted.iter().find(|(key, value)| self.identity.get(*key) != Some(value));
        let problem = match differs {
            Some((key, value)) => {
                let theirs = self.identity.get(key).map_or("nothing", String::as_str);
                format!("{key} is {theirs} there, and {value} here")
            }
            None if [self.rows, self.hidden] == [rows, hidden] => return Ok(()),
            None => format!(
                "it has {} rows of {}, and {rows} of {hidden} are needed",
                self.rows, self.hidden
            ),
        };
        Err(EvalError::Setting(format!(
            "--logits {}: belongs to another evaluation: {problem}: write one with --save-logits \
            and these settings",
            self.path.display()
        )))
    }

    /// Rows `from..from + count`, `[count, hidden]` row-major.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn rows(&self, from: usize, count: usize) -> Result<Vec<f32>, EvalError> {
        let mut values = vec![0.0f32; count * self.hidden];
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = self.data_start + (4 * from * self.hidden) as u64;
        let mut read = || {
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut values))
        };
        read().map_err(|source| EvalError::File {
            path: self.path.clone(),
            verb: "read",
            source,
        })?;
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(policy: &str) -> Identity {
        Identity::from([("policy".to_owned(), policy.to_owned())])
    }

    #[test]
    fn rows_come_back_and_other_evaluations_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("base.safetensors");
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut writer = BaselineWriter::create(&path, &identity("fp16"), [4, 3]).expect("begins");
        writer.push(&values[..3]).expect("a row");
        assert!(!path.exists(), "not whole yet");
        writer.push(&values[3..]).expect("three rows");
        writer.finish().expect("whole");
        let file = BaselineFile::open(&path).expect("whole");
        assert_eq!(file.policy(), "fp16");
        assert_eq!(file.rows(1, 2).expect("two rows"), values[3..9]);
        file.check(&identity("fp16"), [4, 3]).expect("its own");
        let error = file.check(&identity("fp32"), [4, 3]).expect_err("another policy").to_string();
        assert!(error.contains("policy is fp16 there, and fp32 here"), "{error}");
        assert!(file.check(&identity("fp16"), [5, 3]).is_err());

        let bytes = std::fs::read(&path).expect("bytes");
        safetensors_reads(&bytes);
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..7], b"not a file at all"] {
            std::fs::write(&path, damaged).expect("writable");
            assert!(BaselineFile::open(&path).is_err());
        }
    }

    /// Another reader of the format agrees.
    fn safetensors_reads(bytes: &[u8]) {
        let file = safetensors::SafeTensors::deserialize(bytes).expect("valid safetensors");
        assert_eq!(file.tensor("hidden").expect("the tensor").shape(), [4, 3]);
    }

    #[test]
    fn a_file_that_lacks_rows_never_appears() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("base.safetensors");
        let writer = BaselineWriter::create(&path, &identity("fp16"), [1, 3]).expect("begins");
        assert!(writer.finish().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
