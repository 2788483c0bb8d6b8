//! What the 4-bit floating-point formats share: E2M1 codes, each a sign, two bits of exponent and
//! one of mantissa (OCP Microscaling Formats v1.0).
//!
//! A value takes the nearest code, of two equally near ones the smaller, and no code is a negative
//! zero: what the first of the least errors in ggml's table is.

/// The magnitudes of codes 0 to 7; codes 8 to 15 are these with a minus.
const MAGNITUDES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// Halfway between neighbouring magnitudes.
const BOUNDS: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];

/// The largest magnitude.
pub(super) const LARGEST: f32 = 6.0;

/// The codes of `N` values over `scale`, which is not negative; all 0 where it is 0.
#[inline(always)]
pub(super) fn codes<const N: usize>(values: &[f32], scale: f32) -> [u8; N] {
    let mut codes = [0; N];
    if scale == 0.0 {
        return codes;
    }
    for bound in BOUNDS {
        for (code, value) in codes.iter_mut().zip(values) {
            // The product is exact: a scale has at most four significant bits, a bound three.
            *code += u8::from(value.abs() > bound * scale);
        }
    }
    for (code, value) in codes.iter_mut().zip(values) {
        *code |= u8::from(*code > 0 && *value < 0.0) << 3;
    }
    codes
}

/// The value of each code, times a scale.
#[inline(always)]
pub(super) fn table(scale: f32) -> [f32; 16] {
    std::array::from_fn(|code| {
        let magnitude = MAGNITUDES[code % 8] * scale;
        if code < 8 { magnitude } else { -magnitude }
    })
}
