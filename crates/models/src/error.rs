//! What can go wrong with a model's files, worded for the person who has to fix them.

use std::path::PathBuf;

use kvr_policy::PolicyError;
use thiserror::Error;

/// An error of loading or running a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error("{path}: {source}: check that the path exists and may be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is there, but its content can't be used.
    #[error("{file}: {problem}")]
    File {
        /// The file, or the name of an embedded one.
        file: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// No model of that name exists.
    #[error("{0}")]
    Unknown(String),
    /// The hub did not give what was asked for.
    #[error("hub: {0}")]
    Hub(String),
    /// A call does not fit the model.
    #[error("{0}")]
    Input(String),
    /// The policy refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl ModelError {
    pub(crate) fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::File { file: file.into(), problem: problem.into() }
    }
}
