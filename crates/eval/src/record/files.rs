//! Files that are written whole or not at all, and files of lines that only grow.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::EvalError;

/// The error of a file that can't be written.
pub(crate) fn unwritable(path: &Path, source: std::io::Error) -> EvalError {
    EvalError::File { path: path.to_owned(), verb: "written", source }
}

/// The folder of `path`.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What the names of unfinished files for `path` begin with.
fn part_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.part-", name.trim_start_matches('.'))
}

/// A temporary file in the folder of `path`, so that it can be renamed to it.
pub(crate) fn beside(path: &Path) -> Result<NamedTempFile, EvalError> {
    let file = tempfile::Builder::new().prefix(&part_prefix(path)).tempfile_in(folder(path));
    file.map_err(|e| unwritable(path, e))
}

/// Removes what killed processes left of `path`: unfinished files, and the file itself.
pub(crate) fn sweep_away(path: &Path) -> Result<(), EvalError> {
    clear_parts(path)?;
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, e)),
        _ => Ok(()),
    }
}

/// Removes unfinished files for `path` that killed processes left.
pub(crate) fn clear_parts(path: &Path) -> Result<(), EvalError> {
    let error = |source| unwritable(path, source);
    let prefix = part_prefix(path);
    for entry in std::fs::read_dir(folder(path)).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_file(entry.path()).map_err(error)?;
        }
    }
    Ok(())
}

/// Gives a complete temporary file its name.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<(), EvalError> {
    let error = |source| unwritable(path, source);
    file.as_file().sync_all().map_err(error)?;
    make_readable(file.as_file()).map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    Ok(())
}

/// Writes a file under another name in the same folder and renames it when it is complete.
///
/// # Errors
/// When the folder can't be written or the disk is full; an older file then stays as it was.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), EvalError> {
    let mut file = beside(path)?;
    file.write_all(content).map_err(|e| unwritable(path, e))?;
    persist(file, path)
}

/// Temporary files are private; results are as readable as any other file.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// A file of lines that only grows, by one process at a time: a line is in it whole and on disk, or
/// not at all.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
}

impl LineFile {
    /// Opens or makes a file, and cuts off a last line that a killed process left without its end.
    /// Returns the file, its lines, and whether a line was cut off.
    ///
    /// # Errors
    /// When it can't be read or written, is not UTF-8, or another process has it open.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>, bool), EvalError> {
        let error = |source| unwritable(path, source);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(error)?;
        // File systems without locks have to do without.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(EvalError::Setting(format!(
                "{}: another process is writing it: wait for it, or name another folder",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|source| EvalError::File {
            path: path.to_owned(),
            verb: "read",
            source,
        })?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(error)?;
        }
        let lines = text[..whole].lines().map(str::to_owned).collect();
        Ok((Self { path: path.to_owned(), file }, lines, whole < text.len()))
    }

    /// Adds a line, which has no line break in it.
    ///
    /// # Errors
    /// When the disk is full; the file is then as it was.
    pub fn push(&mut self, line: &str) -> Result<(), EvalError> {
        let mut append = || {
            let before = self.file.metadata()?.len();
            let written = self.file.write_all(format!("{line}\n").as_bytes());
            if let Err(error) = written.and_then(|()| self.file.sync_data()) {
                // Best effort: if this fails too, the next opening cuts the rest off.
                let _ = self.file.set_len(before);
                return Err(error);
            }
            Ok(())
        };
        append().map_err(|source| unwritable(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_whole_ones_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lines");
        let (mut file, lines, torn) = LineFile::open(&path).expect("made");
        assert!(lines.is_empty() && !torn);
        file.push("one").expect("a line");
        file.push("two").expect("a line");
        let error = LineFile::open(&path).expect_err("one writer at a time").to_string();
        assert!(error.contains("another process"), "{error}");
        drop(file);
        std::fs::write(&path, "one\ntwo\nthr").expect("writable");
        let (mut file, lines, torn) = LineFile::open(&path).expect("opened");
        assert_eq!(
            (lines.as_slice(), torn),
            (["one".to_owned(), "two".to_owned()].as_slice(), true)
        );
        file.push("three").expect("a line");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "one\ntwo\nthree\n");
    }
}
