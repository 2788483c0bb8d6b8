//! What a method that is calibrated gets to see of a model on a text.

/// Keys and values of one layer, token by token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerRows {
    /// `Hkv`.
    pub kv_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// Keys before RoPE, `[S, Hkv, D]`.
    pub keys: Vec<f32>,
    /// Values, `[S, Hkv, D]`.
    pub values: Vec<f32>,
}
