//! Protocols, statistics, records and tables: what a key-value cache policy costs and saves.
//!
//! Every number here says how it was made: protocol and version, mode, standard error, provenance.
//! This crate names no policy and no model.

pub mod attention;
pub mod baseline;
pub mod calibration;
pub mod capacity;
pub mod dataset;
pub mod diff;
mod error;
pub mod experiment;
pub mod files;
pub mod generate;
pub mod memory;
pub mod metrics;
pub mod plot;
pub mod policies;
pub mod protocols;
pub mod record;
pub mod report;
pub mod reproduce;
pub mod runner;
pub mod search;
pub mod session;
pub mod speed;
mod summary;
pub mod sweep;
pub mod table;
pub mod units;

pub use error::EvalError;
