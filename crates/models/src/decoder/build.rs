//! A decoder from weights, wherever these come from.

use burn::tensor::Device;
use kvr_kernels::Context;

use super::Decoder;
use super::block::Block;
use super::linear::Linear;
use super::rope::Rope;
use crate::ModelError;
use crate::families::WeightNames;
use crate::spec::ModelSpec;
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
    let g = &spec.geometry;
    let (hidden, inner, d) = (spec.hidden_size, spec.intermediate_size, g.head_dim);
    let (q, kv) = (g.query_heads * d, g.kv_heads * d);
    let device = &context.device;
    let mut source = Source { weights, device };
    let embedding =
        source.weights.matrix(&format!("{}.weight", names.embedding), [spec.vocab_size, hidden])?;
    let blocks = (0..g.layers).map(|layer| {
        let name = |pattern: &str| pattern.replace("{}", &layer.to_string());
        let projections = [(name(names.query), q), (name(names.key), kv), (name(names.value), kv)];
        Ok(Block {
            attention_norm: source.norm(&name(names.attention_norm), hidden)?,
            qkv: source.linear(&projections, hidden, spec.attention_bias)?,
            output: source.linear(&[(name(names.output), hidden)], q, spec.attention_bias)?,
            mlp_norm: source.norm(&name(names.mlp_norm), hidden)?,
            gate_up: source.linear(
                &[(name(names.gate), inner), (name(names.up), inner)],
                hidden,
                spec.mlp_bias,
            )?,
            down: source.linear(&[(name(names.down), hidden)], inner, spec.mlp_bias)?,
            norm_eps: spec.norm_eps,
        })
    });
    let blocks = blocks.collect::<Result<Vec<_>, ModelError>>()?;
    let final_norm = source.norm(names.final_norm, hidden)?;
    let head = if spec.tied_embeddings {
        Linear { pieces: embedding.clone().pieces(PIECE_BYTES, device), bias: None }
    } else {
        source.linear(&[(names.head.to_owned(), spec.vocab_size)], hidden, false)?
    };
    source.weights.finish(names.ignored, spec.tied_embeddings.then_some(names.head))?;
    Ok(Decoder {
        embedding: embedding.tensor(&Device::flex()),
        rope: Rope::new(d, spec.rope_theta, spec.rope_scaling),
        spec: spec.clone(),
        context: context.clone(),
        blocks,
        final_norm,
        head,
    })
}

struct Source<'a> {
    weights: &'a mut dyn Weights,
    device: &'a Device,
}

impl Source<'_> {
    fn norm(&mut self, name: &str, width: usize) -> Result<burn::Tensor<1>, ModelError> {
        Ok(self.weights.vector(&format!("{name}.weight"), width)?.vector(self.device))
    }

    /// Projections of the same input as one matrix, in order.
    fn linear(
        &mut self,
        parts: &[(String, usize)],
        input: usize,
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weights = parts
            .iter()
            .map(|(name, out)| self.weights.matrix(&format!("{name}.weight"), [*out, input]))
            .collect::<Result<Vec<_>, _>>()?;
        let bias = bias
            .then(|| {
                let parts = parts
                    .iter()
                    .map(|(name, out)| self.weights.vector(&format!("{name}.bias"), *out))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok::<_, ModelError>(Matrix::stack(parts).vector(self.device))
            })
            .transpose()?;
        Ok(Linear { pieces: Matrix::stack(weights).pieces(PIECE_BYTES, self.device), bias })
    }
}
