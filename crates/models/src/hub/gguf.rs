//! GGUF files on the hub: found by name or by quantisation, fetched with all their parts.

use std::path::{Path, PathBuf};

use hf_hub::{CacheRepo, Repo, RepoType};

use super::{Fetch, Hub};
use crate::ModelError;
use crate::loaders::gguf::split;

impl Hub {
    /// A GGUF of a repository, its first part if it has several, fetched where needed. `choice` is
    /// the file's path in the repository, or a quantisation such as `Q4_K_M` that exactly one of
    /// its models has.
    ///
    /// # Errors
    /// As [`model`](Self::model); also when no file or several fit.
    pub fn gguf(
        &self,
        name: &str,
        choice: &str,
        revision: Option<&str>,
    ) -> Result<PathBuf, ModelError> {
        let revision = revision.unwrap_or("main").to_owned();
        let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision);
        let fetch = Fetch::new(self, repo)?;
        let file = if choice.ends_with(".gguf") {
            choice.to_owned()
        } else {
            let files = match &fetch.listed {
                Some(listed) => listed.iter().cloned().collect(),
                None => cached(&fetch.cached),
            };
            select(&files, choice, name)?.to_owned()
        };
        let parts = split::names(&file);
        let mut paths = parts.iter().map(|part| fetch.required(part));
        let first = paths.next().unwrap_or_else(|| fetch.required(&file))?;
        paths.try_for_each(|path| path.map(|_| ()))?;
        Ok(first)
    }
}

/// The GGUFs of a repository's snapshot in the cache, by their paths in the repository: on top or
/// in a folder, as repositories have them.
pub(super) fn cached(cached: &CacheRepo) -> Vec<String> {
    fn list(folder: &Path, prefix: &str, deeper: bool, found: &mut Vec<String>) {
        let Ok(entries) = folder.read_dir() else { return };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            if entry.path().is_dir() && deeper {
                list(&entry.path(), &format!("{path}/"), false, found);
            } else if name.ends_with(".gguf") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    // The snapshot's folder itself.
    if let Some(folder) = cached.get("") {
        list(&folder, "", true, &mut found);
    }
    found.sort();
    found
}

/// The one model among `files` whose name ends with the quantisation.
fn select<'a>(
    files: &'a [String],
    quantisation: &str,
    repository: &str,
) -> Result<&'a str, ModelError> {
    // Projectors of images are GGUFs too, but no language models.
    let models = files.iter().filter(|file| !file.to_lowercase().contains("mmproj"));
    let models: Vec<(&str, &str)> =
        models.filter_map(|file| Some((file.as_str(), split::stem(file)?))).collect();
    let found: Vec<&str> =
        models.iter().filter(|(_, stem)| has(stem, quantisation)).map(|(file, _)| *file).collect();
    let list = |files: &[&str]| match files {
        [] => "none".to_owned(),
        files => files.join(", "),
    };
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(ModelError::Hub(format!(
            "{repository} has no GGUF whose name ends with {quantisation} (it has {}): choose one \
             of them as hub:{repository}/FILE.gguf",
            list(&models.iter().map(|(file, _)| *file).collect::<Vec<_>>())
        ))),
        several => Err(ModelError::Hub(format!(
            "{repository} has several GGUFs whose names end with {quantisation}: choose one of {} \
             as hub:{repository}/FILE.gguf",
            list(several)
        ))),
    }
}

/// Whether a name ends with a quantisation, as a word of its own, in any case.
fn has(stem: &str, quantisation: &str) -> bool {
    let Some(start) = stem.len().checked_sub(quantisation.len()) else { return false };
    let (Some(head), Some(end)) = (stem.get(..start), stem.get(start..)) else { return false };
    end.eq_ignore_ascii_case(quantisation)
        && (head.is_empty() || head.ends_with(['-', '.', '_', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantisation_names_one_file() {
        let files = [
            "README.md",
            "mmproj-model-f16.gguf",
            "model-iq4_xs.gguf",
            "model-q4_k_m.gguf",
            "model-q4_k.gguf",
            "F16/model-F16-00001-of-00002.gguf",
            "F16/model-F16-00002-of-00002.gguf",
            "tuned.Q8_0.gguf",
            "model.Q8_0.gguf",
        ]
        .map(str::to_owned);
        let choose = |quantisation| select(&files, quantisation, "o/n").map_err(|e| e.to_string());
        assert_eq!(choose("Q4_K_M"), Ok("model-q4_k_m.gguf"));
        assert_eq!(choose("q4_k"), Ok("model-q4_k.gguf"));
        assert_eq!(choose("f16"), Ok("F16/model-F16-00001-of-00002.gguf"));
        let several = choose("Q8_0").expect_err("two files");
        assert!(several.contains("tuned.Q8_0.gguf, model.Q8_0.gguf"), "{several}");
        let none = choose("Q3_K_S").expect_err("no quantisation of that name");
        assert!(none.contains("ends with Q3_K_S (it has model-iq4_xs.gguf"), "{none}");
    }
}
