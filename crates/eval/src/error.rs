//! What can go wrong in an evaluation, worded for the person who has to fix it.

use std::path::PathBuf;

use kvr_models::ModelError;
use kvr_policy::{PolicyError, nearest_names};
use thiserror::Error;

/// An error of an evaluation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file could not be read or written.
    #[error("{path}: {source}: check that the path exists and may be {verb}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: "read" or "written".
        verb: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text can't be used.
    #[error("{0}")]
    Dataset(String),
    /// A setting can't be used.
    #[error("{0}")]
    Setting(String),
    /// The model or its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The policy refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A policy's numbers are none, so there is no result of it.
    #[error("{policy}: {what} is {got}: {cause}")]
    NotANumber {
        /// The policy.
        policy: String,
        /// What is no number.
        what: &'static str,
        /// What it is instead.
        got: f64,
        /// Why, as far as is known, and what to do.
        cause: String,
    },
    /// The device failed.
    #[error("device: {0}")]
    Device(String),
}

impl EvalError {
    /// Nothing is called `name`; says what is, and what is spelled much like it.
    pub(crate) fn unknown<'a>(
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        let nearest = nearest_names(name, known.clone());
        let hint = match nearest.as_slice() {
            [] => String::new(),
            nearest => format!(" (nearest: {})", nearest.join(", ")),
        };
        let all = known.collect::<Vec<_>>().join(", ");
        Self::Setting(format!("unknown {kind} '{name}'{hint}: there are {all}"))
    }
}
