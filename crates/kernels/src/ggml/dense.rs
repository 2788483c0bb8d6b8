//! Weights that are floating-point numbers: f32, half precision, and bfloat16, which is the upper
//! half of an f32.

use half::{bf16, f16};

use super::BlockType;
use crate::simd::widen;
use crate::wide;

/// Decodes a row of one of these types. Rows that lie at odd places are moved first.
pub(super) fn decode(kind: BlockType, packed: &[u8], values: &mut [f32]) {
    match kind {
        BlockType::F16 => match bytemuck::try_cast_slice::<u8, f16>(packed) {
            Ok(halves) => widen(halves, values),
            Err(_) => widen(&moved(packed, f16::from_le_bytes), values),
        },
        BlockType::BF16 => match bytemuck::try_cast_slice::<u8, bf16>(packed) {
            Ok(halves) => widen_upper(halves, values),
            Err(_) => widen_upper(&moved(packed, bf16::from_le_bytes), values),
        },
        _ => bytemuck::cast_slice_mut(values).copy_from_slice(packed),
    }
}

/// Two bytes each, as a type of two bytes.
fn moved<T>(packed: &[u8], read: fn([u8; 2]) -> T) -> Vec<T> {
    packed.as_chunks().0.iter().map(|bytes| read(*bytes)).collect()
}

wide! {
    fn widen_upper<'a>(halves: &'a [bf16], values: &'a mut [f32]) -> () {
        for (value, half) in values.iter_mut().zip(halves) {
            *value = f32::from_bits(u32::from(half.to_bits()) << 16);
        }
    }
}
