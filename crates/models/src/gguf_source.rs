//! What a user may write for a GGUF: a file, or one on the hub by name or by quantisation.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::loaders::gguf::{Gguf, open};
use crate::{Hub, ModelError};

/// Where a GGUF comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GgufSource {
    /// `PATH.gguf`: a file, or any part of a model in several files.
    File(PathBuf),
    /// `hub:owner/name/FILE.gguf[@revision]` or `hub:owner/name:Q4_K_M[@revision]`.
    Hub {
        /// `owner/name`.
        name: String,
        /// The file's path in the repository, or the quantisation that its name ends with.
        choice: String,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
}

const HUB: &str = "hub:";

impl GgufSource {
    /// Reads what a user wrote; none if that is no GGUF but another kind of model.
    ///
    /// # Errors
    /// When it begins like a GGUF on the hub, but is none.
    pub fn parse(text: &str) -> Result<Option<Self>, ModelError> {
        let Some(rest) = text.strip_prefix(HUB) else {
            let file = text.ends_with(".gguf") && !Path::new(text).is_dir();
            return Ok(file.then(|| Self::File(PathBuf::from(text))));
        };
        let (rest, revision) = match rest.split_once('@') {
            Some((rest, revision)) => (rest, Some(revision.to_owned())),
            None => (rest, None),
        };
        let (name, choice) = if let Some((name, quantisation)) = rest.split_once(':') {
            (name, quantisation)
        } else if let Some((at, _)) = rest.match_indices('/').nth(1) {
            (&rest[..at], &rest[at + 1..])
        } else {
            return Ok(None);
        };
        let repository = name.split('/').filter(|part| !part.is_empty()).count() == 2;
        let file = choice.ends_with(".gguf")
            && Path::new(choice).components().all(|part| matches!(part, Component::Normal(_)));
        let quantisation = rest.contains(':') && !choice.is_empty() && !choice.contains('/');
        if !repository || !(file || quantisation) {
            return Err(ModelError::Unknown(format!(
                "'{text}': a GGUF on the hub is written hub:owner/name/FILE.gguf[@revision] or \
                 hub:owner/name:Q4_K_M[@revision]"
            )));
        }
        let (name, choice) = (name.to_owned(), choice.to_owned());
        Ok(Some(Self::Hub { name, choice, revision }))
    }

    /// The file on this machine, fetched from the hub where needed.
    ///
    /// # Errors
    /// When the hub has no such file, or several, or can't be reached.
    pub fn path(&self, hub: &Hub) -> Result<PathBuf, ModelError> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Hub { name, choice, revision } => hub.gguf(name, choice, revision.as_deref()),
        }
    }

    /// Opens the model, fetched from the hub where needed.
    ///
    /// # Errors
    /// As [`path`](Self::path) and [`open`].
    pub fn open(&self, hub: &Hub) -> Result<Gguf, ModelError> {
        open(&self.path(hub)?)
    }
}

impl fmt::Display for GgufSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Hub { name, choice, revision } => {
                let separator = if choice.ends_with(".gguf") { '/' } else { ':' };
                write!(f, "{HUB}{name}{separator}{choice}")?;
                revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_print_as_they_are_read() {
        for text in [
            "models/m.gguf",
            "hub:o/n/m-q8_0.gguf",
            "hub:o/n/folder/m-00001-of-00002.gguf@main",
            "hub:o/n:Q4_K_M",
            "hub:o/n:Q4_K_M@v1",
        ] {
            let source = GgufSource::parse(text).expect("well written").expect("a GGUF");
            assert_eq!(source.to_string(), text);
        }
        for other in ["mini", "hub:o/n", "hub:o/n@main", "random:tinyllama:3", "folder/"] {
            assert_eq!(GgufSource::parse(other).expect("another kind"), None, "{other}");
        }
        for wrong in ["hub:o/n/m.bin", "hub:o/n:", "hub:o:Q4_0", "hub:o/n/../m.gguf", "hub:o/n:a/b"]
        {
            let error = GgufSource::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("is written hub:owner/name/FILE.gguf"), "{error}");
        }
    }
}
