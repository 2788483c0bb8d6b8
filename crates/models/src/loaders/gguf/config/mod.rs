//! The metadata of a GGUF as the `config.json` of the same model on the Hugging Face hub.
//!
//! Source: llama.cpp's converter (which key of `config.json` becomes which key of the GGUF) and its
//! loader (what holds where a key is absent). One path then serves both kinds of files.

mod attention;
mod rope;

use serde_json::{Map, Value as Json, json};

use super::names;
use super::value::Value;
use super::{Gguf, Metadata};
use crate::ModelError;

/// One value of `general.architecture`, and what the file does not say about it.
#[derive(Debug)]
struct Architecture {
    name: &'static str,
    /// Hugging Face's `model_type` and class.
    model_type: &'static str,
    class: &'static str,
    /// Whether the converter reorders query and key channels so that RoPE rotates neighbours.
    pairs: bool,
    /// Names of tensors that only some families have, or call differently.
    names: &'static [(&'static str, &'static str)],
}

const ARCHITECTURES: [Architecture; 7] = [
    architecture("llama", "llama", "LlamaForCausalLM", true, names::TWO_NORMS),
    architecture("qwen2", "qwen2", "Qwen2ForCausalLM", false, names::TWO_NORMS),
    architecture("qwen3", "qwen3", "Qwen3ForCausalLM", false, names::TWO_NORMS),
    architecture("phi3", "phi3", "Phi3ForCausalLM", false, names::FUSED_GATE),
    architecture("gemma2", "gemma2", "Gemma2ForCausalLM", false, names::FOUR_NORMS),
    architecture("gemma3", "gemma3_text", "Gemma3ForCausalLM", false, names::FOUR_NORMS),
    architecture("smollm3", "smollm3", "SmolLM3ForCausalLM", true, names::TWO_NORMS),
];

const fn architecture(
    name: &'static str,
    model_type: &'static str,
    class: &'static str,
    pairs: bool,
    names: &'static [(&'static str, &'static str)],
) -> Architecture {
    Architecture { name, model_type, class, pairs, names }
}

const KEY: &str = "general.architecture";

impl Architecture {
    /// The architecture that a file names.
    fn of(metadata: &Metadata<'_>) -> Result<&'static Self, ModelError> {
        let name = metadata.required(KEY, metadata.text(KEY)?)?;
        ARCHITECTURES.iter().find(|known| known.name == name).ok_or_else(|| {
            let known: Vec<_> = ARCHITECTURES.iter().map(|known| known.name).collect();
            metadata.error(
                KEY,
                format!("is {name:?}, which kvr can't run (it runs {})", known.join(", ")),
            )
        })
    }

    fn is_gemma(&self) -> bool {
        matches!(self.name, "gemma2" | "gemma3")
    }
}

/// A file and its architecture: keys begin with the architecture's name.
struct Source<'a> {
    gguf: &'a Gguf,
    metadata: Metadata<'a>,
    architecture: &'static Architecture,
}

impl Source<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture.name)
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.metadata.size(&self.key(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.metadata.number(&self.key(key))
    }

    fn required_size(&self, key: &str) -> Result<usize, ModelError> {
        self.metadata.required(&self.key(key), self.size(key)?)
    }

    /// A size that some writers give for each layer: it has to be the same in all.
    fn size_of_layers(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let key = self.key(key);
        let Some(Value::Array(array)) = self.metadata.get(&key) else {
            return self.metadata.size(&key);
        };
        let mut sizes = array.values().map(|value| value.size());
        match sizes.next().flatten() {
            Some(first) if sizes.all(|size| size == Some(first)) => Ok(Some(first)),
            _ => Err(self.metadata.error(
                &key,
                "differs between layers, which is not supported: choose another model",
            )),
        }
    }

    /// The number of layers, all of which have tensors: without that check, a damaged number could
    /// make lists of any length.
    fn layers(&self) -> Result<usize, ModelError> {
        let layers = self.required_size("block_count")?;
        let last = format!("blk.{}.attn_norm.weight", layers.saturating_sub(1));
        if layers == 0 || layers > self.gguf.tensors.len() || !self.has_tensor(&last) {
            return Err(self.metadata.error(
                &self.key("block_count"),
                format!("is {layers}, but there is no tensor {last}: fetch the file again"),
            ));
        }
        Ok(layers)
    }

    fn has_tensor(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }
}

impl Gguf {
    /// What Hugging Face calls the tensor with GGUF's name `name` in this model's family, such as
    /// `model.layers.0.self_attn.q_proj.weight`. None for tensors that are part of the config
    /// (RoPE's factors) and for names that the family does not know.
    ///
    /// # Errors
    /// When the architecture is unknown.
    pub fn hugging_face_name(&self, name: &str) -> Result<Option<String>, ModelError> {
        let architecture = Architecture::of(&self.metadata())?;
        Ok(names::hugging_face(architecture.names, name))
    }

    /// The metadata as the `config.json` that a model of this family has on the Hugging Face hub,
    /// in the spelling of transformers 5 (`rope_parameters`, `layer_types`), with two keys more:
    ///
    /// - `kvr_channel_order`: `"pairs"` where RoPE rotates channel 2j with 2j + 1, as the weights
    ///   of GGUF's architectures `llama` and `smollm3` are stored; `"halves"` where it rotates j
    ///   with j + D/2, as in all others and in Hugging Face's files.
    /// - `kvr_norm_includes_one`: true where the family's norms multiply by 1 + weight and the
    ///   file's weights have the 1 added already (Gemma); false otherwise.
    ///
    /// Llama 3's factors of wavelengths, which a GGUF has as numbers (`rope_freqs.weight`), come
    /// as `rope_type` `longrope` with equal short and long factors and an attention factor of 1:
    /// the same frequencies.
    ///
    /// # Errors
    /// When the architecture is unknown, or a key is missing or can't be used.
    pub fn config(&self) -> Result<Json, ModelError> {
        hugging_face(self)
    }
}

fn hugging_face(gguf: &Gguf) -> Result<Json, ModelError> {
    let metadata = gguf.metadata();
    let architecture = Architecture::of(&metadata)?;
    let source = Source { gguf, metadata, architecture };
    if source.size("expert_count")?.unwrap_or(0) > 0 {
        return Err(metadata.error(
            &source.key("expert_count"),
            "says that this is a mixture of experts, which is not supported: choose a dense model",
        ));
    }
    let mut config = Map::new();
    // Mistral's files call themselves llama; only they have a window.
    let window = source.size("attention.sliding_window")?.filter(|window| *window > 0);
    let (model_type, class) = match (architecture.name, window) {
        ("llama", Some(_)) => ("mistral", "MistralForCausalLM"),
        _ => (architecture.model_type, architecture.class),
    };
    config.insert("model_type".into(), json!(model_type));
    config.insert("architectures".into(), json!([class]));
    sizes(&source, &mut config)?;
    attention::describe(&source, window, &mut config)?;
    rope::describe(&source, &mut config)?;
    tokens(&metadata, &mut config)?;
    config.insert(
        "kvr_channel_order".into(),
        json!(if architecture.pairs { "pairs" } else { "halves" }),
    );
    config.insert("kvr_norm_includes_one".into(), json!(architecture.is_gemma()));
    Ok(Json::Object(config))
}

fn sizes(source: &Source<'_>, config: &mut Map<String, Json>) -> Result<(), ModelError> {
    let hidden = source.required_size("embedding_length")?;
    let inner = source.key("feed_forward_length");
    let inner = source.metadata.required(&inner, source.size_of_layers("feed_forward_length")?)?;
    // The tensor is what counts: vocabularies are padded, and few files have a key for it.
    const EMBEDDING: &str = "token_embd.weight";
    let embedding = source.gguf.tensor(EMBEDDING).ok_or_else(|| {
        ModelError::file(source.gguf.file(), format!("has no tensor {EMBEDDING}: fetch it again"))
    })?;
    let &[rows, width] = embedding.shape else {
        return Err(ModelError::file(
            source.gguf.file(),
            format!("tensor {EMBEDDING} has shape {:?}, expected two dimensions", embedding.shape),
        ));
    };
    if width != hidden {
        return Err(source.metadata.error(
            &source.key("embedding_length"),
            format!("is {hidden}, but {EMBEDDING} is {width} wide: fetch the file again"),
        ));
    }
    let eps = source.key("attention.layer_norm_rms_epsilon");
    let eps = source.metadata.required(&eps, source.metadata.number(&eps)?)?;
    let act = if source.architecture.is_gemma() {
        ("hidden_activation", "gelu_pytorch_tanh")
    } else {
        ("hidden_act", "silu")
    };
    let entries = [
        ("hidden_size", json!(hidden)),
        ("intermediate_size", json!(inner)),
        ("num_hidden_layers", json!(source.layers()?)),
        ("vocab_size", json!(rows)),
        ("max_position_embeddings", json!(source.required_size("context_length")?)),
        ("rms_norm_eps", json!(eps)),
        (act.0, json!(act.1)),
        ("tie_word_embeddings", json!(!source.has_tensor("output.weight"))),
        ("mlp_bias", json!(source.has_tensor("blk.0.ffn_down.bias"))),
    ];
    config.extend(entries.map(|(key, value)| (key.to_owned(), value)));
    Ok(())
}

/// Ids of the tokens that a config names. The tokenizer checks them.
fn tokens(metadata: &Metadata<'_>, config: &mut Map<String, Json>) -> Result<(), ModelError> {
    for (name, key) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        config.insert(name.into(), json!(metadata.size(key)?));
    }
    Ok(())
}
