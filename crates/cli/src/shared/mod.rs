//! What commands share: flags, the device, loading, printing, provenance, errors.

pub(crate) mod args;
pub(crate) mod backend;
pub(crate) mod error;
pub(crate) mod output;
pub(crate) mod provenance;
pub(crate) mod quiet;
pub(crate) mod workbench;
