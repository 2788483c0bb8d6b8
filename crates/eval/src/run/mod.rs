//! Running a model under a policy: texts cut into windows, windows through caches, losses out.

pub mod baseline;
pub mod dataset;
pub mod generate;
pub mod metrics;
pub mod modes;
pub mod policies;
pub mod protocols;
pub mod runner;
pub mod session;
pub(crate) mod summary;
