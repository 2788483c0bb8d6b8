//! `mini`, the model inside the program: a Llama with 6 layers, 4 query and 2 key-value heads,
//! trained for this project on WikiText-2's training text.

/// Its `config.json`.
pub(crate) const CONFIG: &[u8] = include_bytes!("../mini/config.json");
/// Its `tokenizer.json`.
pub(crate) const TOKENIZER: &[u8] = include_bytes!("../mini/tokenizer.json");
/// Its weights, in f16.
pub(crate) const WEIGHTS: &[u8] = include_bytes!("../mini/model.safetensors");
