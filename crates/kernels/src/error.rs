//! What can go wrong in a storage format, a packed store or a kernel.

use thiserror::Error;

/// An error of a storage format, a packed store or a kernel.
///
/// Every variant names the thing, what was expected, and how to fix it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A format stores blocks of values along an axis whose size is no multiple of the block.
    #[error(
        "format {format} stores blocks of {block} values along {along}, and {along} {size} is no \
         multiple of {block}: choose another format for this model (f16 takes any even head_dim)"
    )]
    BlockSize {
        /// Name of the format.
        format: String,
        /// Values in one block.
        block: usize,
        /// The axis: `head_dim`, or the tokens of a page.
        along: &'static str,
        /// Its size.
        size: usize,
    },
    /// A tensor has another shape than its place in the cache asks for.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape that was expected, with its axes named.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A format can't run on a GPU.
    #[error("format {format} can't run on a GPU: {problem}: use --backend cpu, or fix its wgsl()")]
    Shader {
        /// Name of the format.
        format: String,
        /// What the shader compiler said.
        problem: String,
    },
    /// Tokens were appended at a position that is not the next one.
    #[error(
        "append at position {got}, but the cache has seen {expected} tokens: append tokens in \
         order, or reset the cache first"
    )]
    Position {
        /// The position that the cache expects next.
        expected: usize,
        /// The position that came.
        got: usize,
    },
    /// A store can't do what is asked of it.
    #[error("{what}: {fix}")]
    Unsupported {
        /// What can't be done.
        what: String,
        /// What to do instead.
        fix: String,
    },
    /// The device could not read back or hold a tensor.
    #[error("device: {0}")]
    Device(String),
}
