//! Reading `config.json`, in its older and its newer spelling.

use serde::Deserialize;

use crate::ModelError;
use crate::decoder::rope::RopeScaling;
use crate::spec::Geometry;

/// The keys that decoder configs have in common. Older files say `rope_theta`, `rope_scaling` and
/// `torch_dtype`; transformers 5 says `rope_parameters` and `dtype`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawConfig {
    pub(crate) model_type: Option<String>,
    #[serde(default)]
    pub(crate) architectures: Vec<String>,
    pub(crate) hidden_size: Option<usize>,
    pub(crate) intermediate_size: Option<usize>,
    pub(crate) num_hidden_layers: Option<usize>,
    pub(crate) num_attention_heads: Option<usize>,
    pub(crate) num_key_value_heads: Option<usize>,
    pub(crate) head_dim: Option<usize>,
    pub(crate) vocab_size: Option<usize>,
    pub(crate) max_position_embeddings: Option<usize>,
    pub(crate) rms_norm_eps: Option<f64>,
    pub(crate) hidden_act: Option<String>,
    pub(crate) tie_word_embeddings: Option<bool>,
    pub(crate) attention_bias: Option<bool>,
    pub(crate) mlp_bias: Option<bool>,
    pub(crate) bos_token_id: Option<serde_json::Value>,
    pub(crate) eos_token_id: Option<serde_json::Value>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
}

#[derive(Debug, Clone, Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The largest number that a size in a config may be: far above any model, far below overflow.
const LARGEST: usize = 1 << 24;

impl RawConfig {
    /// Parses the text of a config; `file` is for messages.
    pub(crate) fn parse(text: &[u8], file: &str) -> Result<Self, ModelError> {
        serde_json::from_slice(text).map_err(|e| {
            ModelError::file(file, format!("is no valid model config ({e}): fetch the file again"))
        })
    }

    /// A size that has to be there, at least 1.
    pub(crate) fn size(
        &self,
        key: &str,
        value: Option<usize>,
        file: &str,
    ) -> Result<usize, ModelError> {
        match value {
            Some(n) if (1..=LARGEST).contains(&n) => Ok(n),
            Some(n) => {
                Err(ModelError::file(file, format!("{key} is {n}, expected 1 to {LARGEST}")))
            }
            None => Err(ModelError::file(
                file,
                format!("{key} is missing: this config describes no decoder that kvr knows"),
            )),
        }
    }

    /// The sizes that caches depend on.
    pub(crate) fn geometry(&self, file: &str) -> Result<Geometry, ModelError> {
        let query_heads = self.size("num_attention_heads", self.num_attention_heads, file)?;
        let kv_heads =
            self.size("num_key_value_heads", self.num_key_value_heads.or(Some(query_heads)), file)?;
        if !query_heads.is_multiple_of(kv_heads) {
            return Err(ModelError::file(
                file,
                format!(
                    "num_attention_heads {query_heads} is no multiple of num_key_value_heads {kv_heads}"
                ),
            ));
        }
        let head_dim = match self.head_dim {
            Some(d) => d,
            None => {
                let hidden = self.size("hidden_size", self.hidden_size, file)?;
                if !hidden.is_multiple_of(query_heads) {
                    return Err(ModelError::file(
                        file,
                        format!(
                            "head_dim is not given, and hidden_size {hidden} is no multiple of num_attention_heads {query_heads}"
                        ),
                    ));
                }
                hidden / query_heads
            }
        };
        let head_dim = self.size("head_dim", Some(head_dim), file)?;
        if !head_dim.is_multiple_of(2) {
            return Err(ModelError::file(
                file,
                format!("head_dim {head_dim} is odd, and RoPE turns pairs"),
            ));
        }
        Ok(Geometry {
            layers: self.size("num_hidden_layers", self.num_hidden_layers, file)?,
            query_heads,
            kv_heads,
            head_dim,
            max_positions: self.size(
                "max_position_embeddings",
                self.max_position_embeddings,
                file,
            )?,
        })
    }

    /// The rotary embedding's base and scaling.
    pub(crate) fn rope(&self, file: &str) -> Result<(f64, RopeScaling), ModelError> {
        let raw = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = raw.and_then(|r| r.rope_theta).or(self.rope_theta).unwrap_or(10_000.0);
        if !(theta.is_finite() && theta > 1.0) {
            return Err(ModelError::file(
                file,
                format!("rope_theta is {theta}, expected a number above 1"),
            ));
        }
        let Some(raw) = raw else { return Ok((theta, RopeScaling::None)) };
        let number = |key: &str, value: Option<f64>| match value {
            Some(v) if v.is_finite() && v > 0.0 => Ok(v),
            _ => Err(ModelError::file(file, format!("rope scaling needs a positive {key}"))),
        };
        let scaling = match raw.rope_type.as_deref() {
            None | Some("default") => RopeScaling::None,
            Some("linear") => RopeScaling::Linear { factor: number("factor", raw.factor)? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: number("factor", raw.factor)?,
                low_freq_factor: number("low_freq_factor", raw.low_freq_factor)?,
                high_freq_factor: number("high_freq_factor", raw.high_freq_factor)?,
                original_context: number(
                    "original_max_position_embeddings",
                    raw.original_max_position_embeddings,
                )?,
            },
            Some(other) => {
                return Err(ModelError::file(
                    file,
                    format!(
                        "rope type '{other}' is not supported (default, linear and llama3 are)"
                    ),
                ));
            }
        };
        Ok((theta, scaling))
    }
}
