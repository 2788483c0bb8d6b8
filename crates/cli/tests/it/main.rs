//! Tests of the whole program. They are one binary, because each that links Burn costs minutes.

mod bad_input;
mod commands;
mod gpu;
mod hub;
mod logits;
mod perplexity;
mod policies;
mod properties;
mod support;
mod sweep;
mod tools;
