//! What the families have in common: a decoder like Llama's, which each then changes where it
//! differs.

use kvr_kernels::ChannelOrder;
use kvr_kernels::layers::Activation;

use crate::ModelError;
use crate::config::{Config, Heads, RopeKeys, heads, rope};
use crate::spec::{AttentionSpec, Geometry, LayerSpec, MlpSpec, ModelSpec};

/// Far above any model, and a list of so many is small.
const MOST_LAYERS: usize = 10_000;

/// The key of a GGUF's config that says which channels rotate together: `halves` or `pairs`.
const CHANNEL_ORDER: &str = "kvr_channel_order";

/// The key of a GGUF's config that says that Gemma's norms hold `1 + w` and not `w`.
const NORMS_INCLUDE_ONE: &str = "kvr_norm_includes_one";

/// A config as a decoder like Llama's: one rotary embedding, norms before attention and before a
/// gated feed-forward network, attention to all tokens, no biases.
pub(super) fn decoder(config: &Config, keys: RopeKeys) -> Result<ModelSpec, ModelError> {
    let heads = heads(config)?;
    let layers = config.size("num_hidden_layers")?;
    if layers > MOST_LAYERS {
        return Err(config.wrong("num_hidden_layers", &format!("1 to {MOST_LAYERS}")));
    }
    let attention = AttentionSpec {
        rope: Some(0),
        window: None,
        scale: 1.0 / (heads.dim as f32).sqrt(),
        soft_cap: None,
        head_norms: false,
        qkv_bias: false,
        output_bias: false,
    };
    let mlp = MlpSpec {
        width: config.size("intermediate_size")?,
        activation: activation(config, "hidden_act", Activation::Silu)?,
        bias: false,
    };
    let rope = rope(config, None, heads, keys)?;
    let Heads { query: query_heads, kv: kv_heads, dim: head_dim } = heads;
    let max_positions = rope.longest(config.size("max_position_embeddings")?);
    let windows = vec![None; layers];
    Ok(ModelSpec {
        geometry: Geometry { layers, query_heads, kv_heads, head_dim, max_positions, windows },
        hidden_size: config.size("hidden_size")?,
        vocab_size: config.size("vocab_size")?,
        embedding_scale: 1.0,
        norm_eps: config.positive("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        norm_offset: 0.0,
        ropes: vec![rope],
        channel_order: channel_order(config)?,
        layers: vec![LayerSpec { attention, mlp, post_norms: false }; layers],
        tied_embeddings: config.flag("tie_word_embeddings", false)?,
        logit_cap: None,
    })
}

/// Gives layers their sliding windows.
pub(super) fn set_windows(spec: &mut ModelSpec, windows: Vec<Option<usize>>) {
    for (layer, window) in spec.layers.iter_mut().zip(&windows) {
        layer.attention.window = *window;
    }
    spec.geometry.windows = windows;
}

/// Gives attention's four projections biases, if the config says so.
pub(super) fn set_attention_bias(spec: &mut ModelSpec, config: &Config) -> Result<(), ModelError> {
    let bias = config.flag("attention_bias", false)?;
    for layer in &mut spec.layers {
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = bias;
    }
    Ok(())
}

/// What Gemma's versions share: scaled embeddings, norms of `1 + w` also behind attention and the
/// feed-forward network, GeGLU, a scale of their own for scores, capped logits.
pub(super) fn gemma(config: &Config, keys: RopeKeys) -> Result<ModelSpec, ModelError> {
    let mut spec = decoder(config, keys)?;
    set_attention_bias(&mut spec, config)?;
    spec.embedding_scale = (spec.hidden_size as f32).sqrt();
    spec.norm_offset = if config.flag(NORMS_INCLUDE_ONE, false)? { 0.0 } else { 1.0 };
    spec.logit_cap = config.positive("final_logit_softcapping")?.map(|cap| cap as f32);
    let scale = config.needs_positive("query_pre_attn_scalar")?.powf(-0.5) as f32;
    let activation = activation(config, "hidden_activation", Activation::GeluTanh)?;
    for layer in &mut spec.layers {
        layer.post_norms = true;
        layer.attention.scale = scale;
        layer.mlp.activation = activation;
    }
    Ok(spec)
}

fn activation(config: &Config, key: &str, default: Activation) -> Result<Activation, ModelError> {
    match config.text(key)? {
        None => Ok(default),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
        Some(other) => {
            let problem =
                format!("{key} '{other}' is not supported (silu and gelu_pytorch_tanh are)");
            Err(config.error(problem))
        }
    }
}

fn channel_order(config: &Config) -> Result<ChannelOrder, ModelError> {
    match config.text(CHANNEL_ORDER)? {
        None | Some("halves") => Ok(ChannelOrder::Halves),
        Some("pairs") => Ok(ChannelOrder::Pairs),
        Some(_) => Err(config.wrong(CHANNEL_ORDER, "halves or pairs")),
    }
}
