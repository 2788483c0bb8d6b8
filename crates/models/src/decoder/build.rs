//! A decoder from weights, wherever these come from.

use burn::tensor::Device;
use kvr_kernels::Context;
use kvr_kernels::layers::Norm;

use super::Decoder;
use super::attention::Attention;
use super::block::{Block, Mlp};
use super::embedding::Embedding;
use super::linear::Linear;
use crate::ModelError;
use crate::families::WeightNames;
use crate::spec::{LayerSpec, ModelSpec};
use crate::weights::{Matrix, Weights};

/// Bytes that one buffer of a GPU may hold: below the 128 MiB that WebGPU guarantees.
const PIECE_BYTES: usize = 96 << 20;

/// Reads every weight of `spec` from `weights`.
pub(crate) fn decoder(
    spec: &ModelSpec,
    names: &WeightNames,
    weights: &mut dyn Weights,
    context: &Context,
) -> Result<Decoder, ModelError> {
    let embedding_name = |prefix: &str| format!("{prefix}{}.weight", names.embedding);
    let prefixes = names.prefixes;
    let prefix = prefixes.iter().find(|prefix| weights.contains(&embedding_name(prefix)));
    // Where none is there, the first makes the error.
    let prefix = prefix.unwrap_or(&prefixes[0]);
    let device = &context.device;
    let mut source = Source { weights, names, spec, device };
    let (vocabulary, hidden) = (spec.vocab_size, spec.hidden_size);
    let embedding = source.weights.matrix(&embedding_name(prefix), [vocabulary, hidden])?;
    let blocks = spec.layers.iter().enumerate().map(|(index, layer)| {
        let path = names.layer.replace("{}", &index.to_string());
        source.block(layer, &format!("{prefix}{path}"))
    });
    let blocks = blocks.collect::<Result<Vec<_>, ModelError>>()?;
    let final_norm = source.norm(format!("{prefix}{}", names.final_norm), hidden)?;
    // Tied, the embedding serves twice; on the CPU it is one tensor.
    let cpu = Device::flex();
    let copy = (spec.tied_embeddings && *device != cpu).then(|| embedding.clone());
    let rows = embedding.weight(&cpu);
    let head = match (spec.tied_embeddings, copy) {
        (false, _) => source.linear("", &[names.head], &[vocabulary], hidden, false)?,
        (true, Some(copy)) => Linear { pieces: copy.pieces(PIECE_BYTES, device), bias: None },
        (true, None) => Linear { pieces: vec![rows.clone()], bias: None },
    };
    let unused = spec.tied_embeddings.then_some(names.head);
    let beginnings: Vec<&str> = names.ignored_beginnings.iter().copied().chain(unused).collect();
    source.weights.finish(names.ignored_endings, &beginnings)?;
    Ok(Decoder {
        embedding: Embedding { rows, scale: spec.embedding_scale },
        spec: spec.clone(),
        context: context.clone(),
        blocks,
        final_norm,
        head,
    })
}

struct Source<'a> {
    weights: &'a mut dyn Weights,
    names: &'a WeightNames,
    spec: &'a ModelSpec,
    device: &'a Device,
}

impl Source<'_> {
    /// The layer whose weights' names begin with `path`.
    fn block(&mut self, layer: &LayerSpec, path: &str) -> Result<Block, ModelError> {
        let (names, spec) = (self.names, self.spec);
        let g = &spec.geometry;
        let (hidden, d) = (spec.hidden_size, g.head_dim);
        let (q, kv) = (g.query_heads * d, g.kv_heads * d);
        let LayerSpec { attention, mlp, post_norms } = *layer;
        let at = |name: &str| format!("{path}{name}");
        let head_norms = match attention.head_norms {
            true => Some([self.norm(at(names.query_norm), d)?, self.norm(at(names.key_norm), d)?]),
            false => None,
        };
        let post = |source: &mut Self, name: &str| {
            post_norms.then(|| source.norm(at(name), hidden)).transpose()
        };
        Ok(Block {
            attention_norm: self.norm(at(names.attention_norm), hidden)?,
            attention: Attention {
                spec: attention,
                qkv: self.linear(path, names.qkv, &[q, kv, kv], hidden, attention.qkv_bias)?,
                head_norms,
                output: self.linear(path, &[names.output], &[hidden], q, attention.output_bias)?,
            },
            post_attention_norm: post(self, names.post_attention_norm)?,
            mlp_norm: self.norm(at(names.mlp_norm), hidden)?,
            mlp: Mlp {
                gate_up: self.linear(path, names.gate_up, &[mlp.width; 2], hidden, mlp.bias)?,
                activation: mlp.activation,
                down: self.linear(path, &[names.down], &[hidden], mlp.width, mlp.bias)?,
            },
            post_mlp_norm: post(self, names.post_mlp_norm)?,
        })
    }

    fn norm(&mut self, name: String, width: usize) -> Result<Norm, ModelError> {
        let weight = self.weights.vector(&format!("{name}.weight"), width)?.vector(self.device);
        let ModelSpec { norm_eps: eps, norm_offset, .. } = *self.spec;
        let weight = if norm_offset == 0.0 { weight } else { weight + norm_offset };
        Ok(Norm { weight, eps })
    }

    /// Projections of the same input as one matrix: the rows of `parts` in order, each under a name
    /// of its own, or all under one.
    fn linear(
        &mut self,
        path: &str,
        names: &[&str],
        parts: &[usize],
        input: usize,
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let whole = [parts.iter().sum()];
        let parts = if names.len() == 1 { &whole[..] } else { parts };
        let named = || names.iter().map(|name| format!("{path}{name}")).zip(parts);
        let weights = named()
            .map(|(name, rows)| self.weights.matrix(&format!("{name}.weight"), [*rows, input]))
            .collect::<Result<Vec<_>, _>>()?;
        let bias = match bias {
            true => {
                let parts = named()
                    .map(|(name, rows)| self.weights.vector(&format!("{name}.bias"), *rows))
                    .collect::<Result<Vec<_>, _>>()?;
                Some(Matrix::stack(parts).vector(self.device))
            }
            false => None,
        };
        let pieces = Matrix::stack(weights).pieces(PIECE_BYTES, self.device);
        Ok(Linear { pieces, bias })
    }
}
