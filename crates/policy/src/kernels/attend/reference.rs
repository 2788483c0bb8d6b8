//! Attention in plain tensor operations, on any device and over any view.

use burn::Tensor;
use burn::tensor::{DType, Int};

use crate::{CacheView, PolicyError, Queries};

/// Stands for minus infinity in masked scores: finite, so that no difference of two is NaN.
const MASKED: f32 = -1e30;

/// Attention in plain tensor operations over any view; see
/// [`LayerCache::attend`](crate::LayerCache::attend).
///
/// # Errors
/// When heads do not group evenly, the cache is empty, or the device fails.
pub fn attend(queries: Queries, view: &dyn CacheView) -> Result<Tensor<4>, PolicyError> {
    let Queries { queries, position, scale } = queries;
    let [b, hq, s, d] = queries.dims();
    let device = queries.device();
    let mut state: Option<State> = None;
    for index in 0..view.tiles() {
        if view.tile_positions(index).start > position + s - 1 {
            continue;
        }
        let tile = view.tile(index)?;
        let [_, hkv, n, _] = tile.keys.dims();
        if hkv == 0 || !hq.is_multiple_of(hkv) {
            return Err(PolicyError::Shape {
                what: "queries",
                expected: format!("a multiple of {hkv} heads"),
                got: hq.to_string(),
            });
        }
        // The query heads of one key-value head become more rows: [B, Hkv, G·S, D].
        let rows = hq / hkv * s;
        let q = (queries.clone() * scale).reshape([b, hkv, rows, d]);
        let mut scores = q.matmul(tile.keys.swap_dims(2, 3));
        if tile.positions.end > position + 1 {
            let allowed = mask(position, s, tile.positions.start, n, &device);
            let allowed = allowed.repeat_dim(0, hq / hkv).reshape([1, 1, rows, n]);
            // Adding keeps rows that see nothing of this tile finite.
            scores = scores + allowed;
        }
        state = Some(State::merge(state, scores, tile.values));
    }
    let State { sum, weighted, .. } = state.ok_or(PolicyError::Shape {
        what: "cache",
        expected: "at least one token".to_owned(),
        got: "none".to_owned(),
    })?;
    Ok((weighted / sum).reshape([b, hq, s, d]))
}

/// `[S, n]`: 0 where the query may read the token, [`MASKED`] where it may not.
fn mask(
    position: usize,
    s: usize,
    first: usize,
    n: usize,
    device: &burn::tensor::Device,
) -> Tensor<2> {
    let query =
        Tensor::<1, Int>::arange(position as i64..(position + s) as i64, (device, DType::I32));
    let token = Tensor::<1, Int>::arange(first as i64..(first + n) as i64, (device, DType::I32));
    let later = token.reshape([1, n]).expand([s, n]).greater(query.reshape([s, 1]).expand([s, n]));
    Tensor::<2>::zeros([s, n], (device, DType::F32)).mask_fill(later, MASKED)
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
        let tile_max = scores.clone().max_dim(3);
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
