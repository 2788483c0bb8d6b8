//! Protocols: which tokens a model sees, and which of its predictions count. One file each.

pub mod llama_cpp;

/// A stretch of text that is evaluated from an empty cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The tokens that the model sees.
    pub tokens: Vec<u32>,
    /// Positions whose prediction of the next token is scored; the last is below `tokens.len() - 1`.
    pub scored: std::ops::Range<usize>,
}

/// What a protocol calls itself in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolName {
    /// The name.
    pub name: &'static str,
    /// Raised whenever a change of the rule changes numbers.
    pub version: u32,
}
