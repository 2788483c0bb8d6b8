//! RMSNorm (Zhang and Sennrich 2019): `x / sqrt(mean(x²) + eps) · weight`.

use burn::Tensor;
use rayon::prelude::*;

use super::{dense, f32s, from_f32s};
use crate::device::is_cpu;
use crate::wide;

/// RMSNorm of one width.
#[derive(Debug, Clone)]
pub struct Norm {
    /// What normalised values are multiplied by, `[width]`, f32.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub eps: f32,
}

impl Norm {
    /// Rows `[N, width]`, normalised.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let device = x.device();
        let Self { weight, eps } = self;
        if !is_cpu(&device) {
            let scale = (x.clone().square().mean_dim(1) + *eps).sqrt();
            return x / scale * weight.clone().unsqueeze();
        }
        let [n, width] = x.dims();
        let (x, weight) = (dense(x), dense(weight.clone()));
        let (x, weight) = (f32s(&x), f32s(&weight));
        let mut out = vec![0.0; n * width];
        out.par_chunks_mut(width * ROWS).zip(x.par_chunks(width * ROWS)).for_each(|(out, x)| {
            rows(out, x, weight, *eps);
        });
        from_f32s(out, [n, width], &device)
    }
}

/// Rows in one task.
const ROWS: usize = 32;

wide! {
    fn rows<'a>(out: &'a mut [f32], x: &'a [f32], weight: &'a [f32], eps: f32) -> () {
        let width = weight.len();
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            row(out, x, weight, eps);
        }
    }
}

/// One row, normalised.
#[inline(always)]
pub(super) fn row(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let mut sums = [0.0f32; 16];
    let mut chunks = x.chunks_exact(16);
    for chunk in &mut chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += v * v;
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|v| v * v).sum();
    let square = sums.iter().sum::<f32>() + rest;
    let scale = 1.0 / (square / x.len() as f32 + eps).sqrt();
    for ((out, v), w) in out.iter_mut().zip(x).zip(weight) {
        *out = v * scale * w;
    }
}
