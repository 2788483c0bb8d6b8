//! Loops that the compiler vectorises, compiled for the widest instructions that this CPU has.
//!
//! A function made by [`wide!`](crate::wide) is compiled several times, once for each set of
//! instructions, and picks one when it is called. Closures won't do: one that is not inlined into
//! the picked variant is compiled for the oldest CPU there is, which is what most of them were.

#[doc(hidden)]
pub use pulp;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Makes a function whose body is compiled for several sets of instructions. References in its
/// arguments carry the lifetime that stands behind its name; functions that it calls must be
/// `#[inline(always)]` to be compiled with it.
///
/// ```
/// kvr_policy::wide! {
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
            impl<$life $(, $kind: $($bound)+)?> $crate::kernels::simd::pulp::WithSimd
                for Work<$life $(, $kind)?>
            {
                type Output = $output;
                #[inline(always)]
                fn with_simd<S: $crate::kernels::simd::pulp::Simd>(self, _: S) -> $output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            $crate::kernels::simd::pulp::Arch::new().dispatch(Work { $($argument),* })
        }
    };
}

/// `e^x` for x ≤ 0, within 2 units in the last place; 0 below the range of f32.
///
/// Range reduction to ±ln2/2 and a polynomial of degree 6, so that a loop over a row vectorises;
/// the system's `expf` would be called for each value.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n·ln2 is subtracted without rounding.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.3);
    // Adding and subtracting 1.5·2^23 rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    y * power
}

/// The inner product of two slices of one length, in 32 running sums; part of [`wide!`](crate::wide)
/// functions.
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
        assert!(exp(-1e30) < 1.3e-38);
    }
}
