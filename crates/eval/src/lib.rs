//! Protocols, statistics, records and tables: what a key-value cache policy costs and saves.
//!
//! Every number here says how it was made: protocol and version, mode, standard error, provenance.
//! This crate names no policy and no model. Its folders depend on each other in one direction:
//! `record ← run ← bench ← study`, and `report` reads records alone.

pub mod bench;
mod error;
pub mod record;
pub mod report;
pub mod run;
pub mod study;

pub use error::EvalError;
