//! Tests of models as other programs compute them, of damaged files, and of downloads.

mod gguf;
mod hub;
mod logits;
mod properties;
mod support;
