//! The kernels for x86: which of them this CPU can run, and `x` as they read it.

use half::{bf16, f16};

use super::codes::Codes;
use super::{avx2, avx512};
use crate::ggml::{BlockType, MAX_SCALES, with_codec};
use crate::linear::few;
use crate::simd::Buffer;

/// Rows of `x` in the order of a kernel.
pub(super) struct Arranged {
    /// `[rows, groups, width]`.
    values: Buffer,
    /// Sums of the values that share a min: `[rows, K / shared]`, or nothing without mins.
    totals: Vec<f32>,
    pub(super) rows: usize,
    /// Values and sums of a row.
    strides: [usize; 2],
}

impl Arranged {
    pub(super) fn new<B: Codes>(x: &[f32], values: Buffer, rows: usize) -> Self {
        let totals: Vec<f32> = match B::HAS_MIN {
            true => x.chunks_exact(B::SHARED).map(|x| x.iter().sum()).collect(),
            false => Vec::new(),
        };
        let strides = [values.len() / rows, totals.len() / rows];
        Self { values, totals, rows, strides }
    }

    /// The values of row `i` in group `g`.
    #[inline(always)]
    pub(super) fn group(&self, i: usize, g: usize, width: usize) -> &[f32] {
        &self.values[i * self.strides[0] + g * width..][..width]
    }

    /// Adds the products of a block's mins to those of rows `from..from + N`.
    #[inline(always)]
    pub(super) fn add_mins<B: Codes, const N: usize>(
        &self,
        from: usize,
        block: usize,
        mins: &[f32; MAX_SCALES],
        sums: &mut [f32; N],
    ) {
        if B::HAS_MIN {
            let groups = B::VALUES / B::SHARED;
            for (i, sum) in sums.iter_mut().enumerate() {
                let totals =
                    &self.totals[(from + i) * self.strides[1] + block * groups..][..groups];
                for g in 0..groups {
                    *sum = mins[g].mul_add(totals[g], *sum);
                }
            }
        }
    }
}

/// The instructions that a kernel is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Avx2,
    Avx512,
}

impl Width {
    /// What this CPU has, the widest last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2 && is_x86_feature_detected!("avx512f");
        let both = [avx2.then_some(Self::Avx2), avx512.then_some(Self::Avx512)];
        both.into_iter().flatten()
    }
}

/// A kernel that this CPU can run, and its `x`.
pub(super) struct Kernel {
    x: Arranged,
    width: Width,
    kind: BlockType,
}

impl Kernel {
    /// The widest kernel for a type, if there is one.
    pub(super) fn new(kind: BlockType, x: &[f32], rows: usize) -> Option<Self> {
        Self::of(Width::all().last()?, kind, x, rows)
    }

    /// The kernel of instructions that [`Width::all`] named.
    pub(super) fn of(width: Width, kind: BlockType, x: &[f32], rows: usize) -> Option<Self> {
        fn arrange<B: Codes>(_: B, width: Width, x: &[f32], rows: usize) -> Arranged {
            match width {
                Width::Avx2 => avx2::arrange::<B>(x, rows),
                Width::Avx512 => avx512::arrange::<B>(x, rows),
            }
        }
        let x = with_codec!(kind, codec => arrange(codec, width, x, rows), dense => return None);
        Some(Self { x, width, kind })
    }

    /// Columns of products with packed rows of so many bytes, one for each of them.
    pub(super) fn run(&self, weights: (&[u8], usize), columns: &mut [f32]) {
        with_codec!(self.kind, codec => self.run_as(codec, weights, columns),
            dense => unreachable!("made for packed types only"));
    }

    fn run_as<B: Codes>(&self, _: B, weights: (&[u8], usize), columns: &mut [f32]) {
        let mut from = 0;
        while from < self.x.rows {
            let n = [1, 2, 2, 4][(self.x.rows - from).min(4) - 1];
            // SAFETY: kernels are made of instructions that this CPU has.
            unsafe {
                match (self.width, n) {
                    (Width::Avx2, 1) => avx2::products::<B, 1>(&self.x, from, weights, columns),
                    (Width::Avx2, 2) => avx2::products::<B, 2>(&self.x, from, weights, columns),
                    (Width::Avx2, _) => avx2::products::<B, 4>(&self.x, from, weights, columns),
                    (_, 1) => avx512::products::<B, 1>(&self.x, from, weights, columns),
                    (_, 2) => avx512::products::<B, 2>(&self.x, from, weights, columns),
                    (_, _) => avx512::products::<B, 4>(&self.x, from, weights, columns),
                }
            }
            from += n;
        }
    }
}

/// Columns of products with rows of `k` floating-point numbers, where there is a kernel for them
/// and they lie at whole places: whether that was so.
pub(super) fn floats(
    x: &[f32],
    kind: BlockType,
    weights: &[u8],
    k: usize,
    columns: &mut [f32],
) -> bool {
    fn run<W: few::Stored + bytemuck::Pod>(
        x: &[f32],
        weights: &[u8],
        k: usize,
        columns: &mut [f32],
    ) -> bool {
        let weights = bytemuck::try_cast_slice::<u8, W>(weights);
        weights.map(|weights| few::products(x, weights, k, columns)).is_ok()
    }
    few::supports(k)
        && match kind {
            BlockType::F32 => run::<f32>(x, weights, k, columns),
            BlockType::F16 => run::<f16>(x, weights, k, columns),
            BlockType::BF16 => run::<bf16>(x, weights, k, columns),
            _ => false,
        }
}
