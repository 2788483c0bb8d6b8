//! What the 4-bit formats share: two codes to a byte, value `i` low and value `i + 16` high.

/// Packs 32 codes, each at most 15, into four words.
#[inline(always)]
pub(super) fn pack(codes: &[u8; 32], words: &mut [u32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    for (i, byte) in bytes[..16].iter_mut().enumerate() {
        *byte = (codes[i] & 15) | codes[i + 16] << 4;
    }
}

/// Unpacks the 32 codes of four words.
#[inline(always)]
pub(super) fn unpack(words: &[u32]) -> [u8; 32] {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let mut codes = [0; 32];
    for (i, byte) in bytes[..16].iter().enumerate() {
        codes[i] = byte & 15;
        codes[i + 16] = byte >> 4;
    }
    codes
}

/// The value of largest magnitude with its sign; the first of equals, as ggml has it.
#[inline(always)]
pub(super) fn signed_absmax(values: &[f32]) -> f32 {
    let amax = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    values.iter().copied().find(|v| v.abs() == amax).unwrap_or(0.0)
}

/// The smallest and the largest value.
#[inline(always)]
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(*v), hi.max(*v)))
}

/// `1/d`, and 0 for 0, as every ggml quantiser has it.
#[inline(always)]
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Codes `trunc((value - offset) · inverse + half)`, at most `top`.
#[inline(always)]
pub(super) fn codes(values: &[f32], offset: f32, inverse: f32, half: f32, top: u8) -> [u8; 32] {
    let mut codes = [0; 32];
    for (code, value) in codes.iter_mut().zip(&values[..32]) {
        *code = (((value - offset) * inverse + half) as i32).clamp(0, i32::from(top)) as u8;
    }
    codes
}
