//! Attention in plain tensor operations, on any device and over any view.

use std::ops::Range;

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};

use super::{LN_ZERO, PartialAttention};
use crate::error::KernelError;
use crate::tokens::Queries;
use crate::view::CacheView;

/// Softmax attention of queries over any view, in plain tensor operations.
///
/// # Errors
/// When heads do not group evenly, or the device fails.
pub fn attend(queries: &Queries, view: &dyn CacheView) -> Result<PartialAttention, KernelError> {
    let [b, hq, s, d] = queries.queries.dims();
    let device = queries.queries.device();
    let mut state: Option<State> = None;
    for index in 0..view.tiles() {
        let tokens = view.tile_tokens(index);
        let read = |range: &Range<usize>| range.start < tokens.end && tokens.start < range.end;
        if !queries.visible.iter().any(read) {
            continue;
        }
        let tile = view.tile(index)?;
        let mut scores = scores(queries, tile.keys, &tokens)?;
        if !queries.visible.iter().all(|range| covers(range, &tokens)) {
            let hkv = scores.dims()[1];
            let hidden = hidden(&queries.visible, &tokens, &device);
            let hidden = hidden.repeat_dim(0, hq / hkv).reshape([1, 1, hq / hkv * s, tokens.len()]);
            // Adding keeps rows that see nothing of this tile finite.
            scores = scores + hidden * LN_ZERO;
        }
        state = Some(State::merge(state, scores, tile.values));
    }
    let Some(State { max, sum, weighted }) = state else {
        return Ok(PartialAttention {
            output: Tensor::zeros([b, hq, s, d], &device),
            log_sum_exp: Tensor::full([b, hq, s, 1], LN_ZERO, &device),
        });
    };
    // Rows that read nothing have summed hidden tokens, each with weight 1. Those whose scores are
    // all -∞ have a lower maximum, and stay what 0 / 0 is.
    let nothing = max.clone().lower_equal_elem(LN_ZERO / 2.0);
    let nothing = nothing.bool_and(max.clone().greater_elem(LN_ZERO * 2.0));
    let output = (weighted / sum.clone())
        .mask_fill(nothing.clone().expand([b, max.dims()[1], max.dims()[2], d]), 0.0);
    let log_sum_exp = (max + sum.log()).mask_fill(nothing, LN_ZERO);
    Ok(PartialAttention {
        output: output.reshape([b, hq, s, d]),
        log_sum_exp: log_sum_exp.reshape([b, hq, s, 1]),
    })
}

/// How much attention each token of a view receives: the softmax weights of the queries, summed
/// over the queries and averaged over the query heads of a key-value head, `[B, Hkv, S_held]`.
/// `log_sum_exp` is that of [`PartialAttention`] over the same tokens and perhaps others.
///
/// # Errors
/// When heads do not group evenly, or the device fails.
pub fn received(
    queries: &Queries,
    view: &dyn CacheView,
    log_sum_exp: &Tensor<4>,
) -> Result<Tensor<3>, KernelError> {
    let [b, hq, s, _] = queries.queries.dims();
    let device = queries.queries.device();
    let mut parts = Vec::new();
    for index in 0..view.tiles() {
        let tokens = view.tile_tokens(index);
        let scores = scores(queries, view.tile(index)?.keys, &tokens)?;
        let [_, hkv, rows, n] = scores.dims();
        let mut weights = (scores - log_sum_exp.clone().reshape([b, hkv, rows, 1])).exp();
        if !queries.visible.iter().all(|range| covers(range, &tokens)) {
            let hidden = hidden(&queries.visible, &tokens, &device);
            let seen = hidden.ones_like() - hidden;
            weights = weights * seen.repeat_dim(0, hq / hkv).reshape([1, 1, hq / hkv * s, n]);
        }
        parts.push(weights.sum_dim(2).reshape([b, hkv, n]) * (hkv as f32 / hq as f32));
    }
    if parts.is_empty() {
        return Err(KernelError::Shape {
            what: "cache",
            expected: "at least one token".to_owned(),
            got: "none".to_owned(),
        });
    }
    Ok(Tensor::cat(parts, 2))
}

/// Scaled, and perhaps capped, scores of one tile, `[B, Hkv, G·S, n]`: the query heads of one
/// key-value head are rows.
fn scores(
    queries: &Queries,
    keys: Tensor<4>,
    tokens: &Range<usize>,
) -> Result<Tensor<4>, KernelError> {
    let [b, hq, s, d] = queries.queries.dims();
    let hkv = keys.dims()[1];
    if hkv == 0 || !hq.is_multiple_of(hkv) || keys.dims()[2] != tokens.len() {
        return Err(KernelError::Shape {
            what: "queries",
            expected: format!("a multiple of {hkv} heads over tokens {tokens:?}"),
            got: format!("{hq} heads, {} tokens", keys.dims()[2]),
        });
    }
    let q = (queries.queries.clone() * queries.scale).reshape([b, hkv, hq / hkv * s, d]);
    let scores = q.matmul(keys.swap_dims(2, 3));
    Ok(match queries.soft_cap {
        // A cap would make a number of infinity; 0 times it is none.
        Some(cap) => (scores.clone() / cap).tanh() * cap + scores * 0.0,
        None => scores,
    })
}

fn covers(range: &Range<usize>, tokens: &Range<usize>) -> bool {
    range.start <= tokens.start && range.end >= tokens.end
}

/// `[S, n]`: 1 where the query does not read the token, 0 where it does.
fn hidden(visible: &[Range<usize>], tokens: &Range<usize>, device: &Device) -> Tensor<2> {
    let (s, n) = (visible.len(), tokens.len());
    let bound = |bound: fn(&Range<usize>) -> usize| {
        let bounds: Vec<i32> = visible.iter().map(|range| bound(range) as i32).collect();
        let bounds =
            Tensor::<1, Int>::from_data(TensorData::new(bounds, [s]), (device, DType::I32));
        bounds.reshape([s, 1]).expand([s, n])
    };
    let token =
        Tensor::<1, Int>::arange(tokens.start as i64..tokens.end as i64, (device, DType::I32));
    let token = token.reshape([1, n]).expand([s, n]);
    let outside =
        token.clone().lower(bound(|r| r.start)).bool_or(token.greater_equal(bound(|r| r.end)));
    Tensor::<2>::zeros([s, n], (device, DType::F32)).mask_fill(outside, 1.0)
}

/// The running softmax: the maximum `[B, Hkv, R, 1]`, the sum of weights `[B, Hkv, R, 1]` and the
/// weighted sum of values `[B, Hkv, R, D]`.
struct State {
    max: Tensor<4>,
    sum: Tensor<4>,
    weighted: Tensor<4>,
}

impl State {
    fn merge(state: Option<Self>, scores: Tensor<4>, values: Tensor<4>) -> Self {
        // Finite, so that the difference to a score of -∞ is a number, and a weight of 0.
        let tile_max = scores.clone().max_dim(3).clamp_min(f32::MIN);
        let Some(Self { max, sum, weighted }) = state else {
            let weights = (scores - tile_max.clone()).exp();
            return Self {
                sum: weights.clone().sum_dim(3),
                weighted: weights.matmul(values),
                max: tile_max,
            };
        };
        let new_max = max.clone().max_pair(tile_max);
        let weights = (scores - new_max.clone()).exp();
        let keep = (max - new_max.clone()).exp();
        Self {
            sum: sum * keep.clone() + weights.clone().sum_dim(3),
            weighted: weighted * keep + weights.matmul(values),
            max: new_max,
        }
    }
}
