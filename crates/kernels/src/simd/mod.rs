//! Loops that the compiler vectorises, compiled for the widest instructions that this CPU has.
//!
//! A function made by [`wide!`](crate::wide) is compiled several times, once for each set of
//! instructions, and picks one when it is called. Closures in it must be inlined: one that is not
//! is compiled for the oldest CPU.

#[doc(hidden)]
pub use pulp;

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Simd;

/// Makes a function whose body is compiled for several sets of instructions. References in its
/// arguments carry the lifetime that follows its name; functions that it calls must be
/// `#[inline(always)]` to be compiled with it.
///
/// ```
/// kvr_kernels::wide! {
///     /// `y += a · x`
///     pub fn add_scaled<'a>(y: &'a mut [f32], a: f32, x: &'a [f32]) -> () {
///         for (y, x) in y.iter_mut().zip(x) {
///             *y += a * x;
///         }
///     }
/// }
/// let mut y = [1.0; 40];
/// add_scaled(&mut y, 2.0, &[3.0; 40]);
/// assert_eq!(y, [7.0; 40]);
/// ```
#[macro_export]
macro_rules! wide {
    (
        $(#[$meta:meta])*
        $visible:vis fn $name:ident<$life:lifetime $(, $kind:ident: ($($bound:tt)+))?>(
            $($argument:ident: $type:ty),* $(,)?
        ) -> $output:ty $body:block
    ) => {
        $(#[$meta])*
        $visible fn $name<$life $(, $kind: $($bound)+)?>($($argument: $type),*) -> $output {
            struct Work<$life $(, $kind: $($bound)+)?> {
                $($argument: $type),*
            }
            impl<$life $(, $kind: $($bound)+)?> $crate::simd::pulp::WithSimd
                for Work<$life $(, $kind)?>
            {
                type Output = $output;
                #[inline(always)]
                fn with_simd<S: $crate::simd::pulp::Simd>(self, _: S) -> $output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            $crate::simd::pulp::Arch::new().dispatch(Work { $($argument),* })
        }
    };
}

/// Scratch memory, zeroed and aligned to cache lines: a vector that crosses two lines takes two
/// loads.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Buffer {
    pub(crate) fn new(len: usize) -> Self {
        Self { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// `e^x` for x ≤ 0, within 2 units in the last place; next to 0 below the range of f32; of NaN and
/// of +∞ NaN, so that a score that is no number is seen in what it has a share in.
///
/// The system's `expf` would be called for each value of a loop; this is a part of it.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp_of(pulp::Scalar::new(), x)
}

crate::wide! {
    /// Soft-capping (Gemma 2): every `x` becomes `cap · tanh(x / cap)`; what is not finite, NaN.
    pub fn soft_cap<'a>(values: &'a mut [f32], cap: f32) -> () {
        for x in values {
            // tanh by an exponential of what is not positive, which `exp` asks for.
            let e = exp(x.abs() * (-2.0 / cap));
            // A cap would make a number of infinity; its difference to itself is none.
            *x = (cap * (1.0 - e) / (1.0 + e)).copysign(*x) + *x * 0.0;
        }
    }
}

/// [`exp`] of a vector: range reduction to ±ln2/2 and a polynomial of degree 6.
#[inline(always)]
pub fn exp_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n·ln2 is subtracted without rounding.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5·2^23 rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    const POLYNOMIAL: [f32; 5] =
        [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let all = |x| simd.splat_f32s(x);
    let lowest = all(-87.3);
    // NaN must stay: x86 returns the second of two operands then and Arm returns NaN, but Rust's
    // `max`, which stands in for one lane, returns the number.
    let x = match S::F32_LANES {
        1 => simd.select_f32s(simd.less_than_f32s(x, lowest), lowest, x),
        _ => simd.max_f32s(lowest, x),
    };
    let shifted = simd.mul_add_e_f32s(x, all(LOG2_E), all(MAGIC));
    let n = simd.sub_f32s(shifted, all(MAGIC));
    let r = simd.negate_mul_add_e_f32s(n, all(LN2_HIGH), x);
    let r = simd.negate_mul_add_e_f32s(n, all(LN2_LOW), r);
    let mut p = all(1.987_569_1e-4);
    for coefficient in POLYNOMIAL {
        p = simd.mul_add_e_f32s(p, r, all(coefficient));
    }
    let y = simd.mul_add_e_f32s(simd.mul_f32s(p, r), r, r);
    let y = simd.add_f32s(y, all(1.0));
    let bits = simd.transmute_u32s_f32s(shifted);
    let bits = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(bits, simd.splat_u32s(127 << 23)));
    simd.mul_f32s(y, power)
}

/// The inner product of two slices of one length, in 32 running sums; inlined into
/// [`wide!`](crate::wide) functions.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0f32; LANES];
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Half precision to f32, as many values as fit both slices.
pub fn widen(halves: &[f16], values: &mut [f32]) {
    let count = halves.len().min(values.len());
    let (halves, values) = (&halves[..count], &mut values[..count]);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        let whole = count / 16 * 16;
        // SAFETY: the CPU was just asked.
        unsafe { widen_avx512(&halves[..whole], &mut values[..whole]) };
        halves[whole..].convert_to_f32_slice(&mut values[whole..]);
        return;
    }
    halves.convert_to_f32_slice(values);
}

/// The half crate converts eight values at a time; this converts sixteen, a multiple of them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn widen_avx512(halves: &[f16], values: &mut [f32]) {
    use std::arch::x86_64::*;
    for (halves, values) in halves.chunks_exact(16).zip(values.chunks_exact_mut(16)) {
        // SAFETY: both chunks have sixteen values.
        unsafe {
            let bits = _mm256_loadu_si256(halves.as_ptr().cast());
            _mm512_storeu_ps(values.as_mut_ptr(), _mm512_cvtph_ps(bits));
        }
    }
}

/// `values[i] = table[codes[i]]` for codes below 16.
#[inline]
pub fn look_up(table: &[f32; 16], codes: &[u32; 32], values: &mut [f32; 32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU was just asked.
        unsafe { look_up_avx512(table, codes, values) };
        return;
    }
    for (value, code) in values.iter_mut().zip(codes) {
        *value = table[*code as usize & 15];
    }
}

/// A vector of sixteen values is the whole table, and one instruction picks sixteen of them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn look_up_avx512(table: &[f32; 16], codes: &[u32; 32], values: &mut [f32; 32]) {
    use std::arch::x86_64::*;
    // SAFETY: tables and chunks have sixteen values.
    unsafe {
        let table = _mm512_loadu_ps(table.as_ptr());
        for (codes, values) in codes.chunks_exact(16).zip(values.chunks_exact_mut(16)) {
            let codes = _mm512_loadu_si512(codes.as_ptr().cast());
            _mm512_storeu_ps(values.as_mut_ptr(), _mm512_permutexvar_ps(codes, table));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_itself() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let mut values = vec![0.0; halves.len() + 5];
        widen(&halves, &mut values);
        for (half, value) in halves.iter().zip(&values) {
            assert!(half.to_f32() == *value || (half.is_nan() && value.is_nan()), "{half:?}");
        }
    }

    #[test]
    fn tables_are_looked_up() {
        let table = std::array::from_fn(|i| 1.5 * i as f32);
        let codes = std::array::from_fn(|i| (i as u32 * 7 + 3) % 16);
        let mut values = [0.0; 32];
        look_up(&table, &codes, &mut values);
        assert_eq!(values, codes.map(|code| 1.5 * code as f32));
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in 0..200_000 {
            let x = -87.0 * i as f32 / 200_000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - want).abs() <= want * 2.4e-7, "exp({x}) = {got}, expected {want}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1.3e-38 && exp(f32::NEG_INFINITY) < 1.3e-38);
    }

    /// Exponentials of 16 numbers in vectors of one kind.
    struct Exps([f32; 16]);

    impl pulp::WithSimd for Exps {
        type Output = [f32; 16];

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, simd: S) -> [f32; 16] {
            let (vectors, rest) = S::as_mut_simd_f32s(&mut self.0);
            assert!(rest.is_empty(), "16 numbers are whole vectors");
            vectors.iter_mut().for_each(|x| *x = exp_of(simd, *x));
            self.0
        }
    }

    #[test]
    fn exp_of_what_is_no_number_is_none_in_vectors_of_every_kind() {
        let numbers = || {
            let hard = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 0.0];
            Exps(std::array::from_fn(|i| hard[i % hard.len()]))
        };
        let mut kinds = vec![Simd::vectorize(pulp::Scalar::new(), numbers())];
        #[cfg(target_arch = "x86_64")]
        {
            kinds.extend(pulp::x86::V2::try_new().map(|s| Simd::vectorize(s, numbers())));
            kinds.extend(pulp::x86::V3::try_new().map(|s| Simd::vectorize(s, numbers())));
        }
        kinds.push(pulp::Arch::new().dispatch(numbers()));
        for exps in kinds {
            for (x, y) in numbers().0.into_iter().zip(exps) {
                let is_number = x.is_finite() || x < 0.0;
                assert_eq!(y.is_nan(), !is_number, "exp({x}) = {y}");
            }
        }
    }
}
