//! Tests of texts, protocols, modes and metrics, most against numbers of other programs.

mod dataset;
mod kvpress;
mod losses;
mod perplexity;
mod support;
