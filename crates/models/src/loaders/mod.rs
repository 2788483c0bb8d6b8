//! Formats of model files.

pub mod gguf;
