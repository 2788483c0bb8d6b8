//! What all packed types have in common: a value is `scale · code`, or `scale · code + min`, where
//! a few neighbours share scale and min.

use crate::wide;

/// The most scales that a block has.
pub(crate) const MAX_SCALES: usize = 16;

/// The most values that a block has.
const MAX_VALUES: usize = 256;

/// A type of blocks.
pub(crate) trait Block: Copy + Send + Sync {
    /// Values of a block.
    const VALUES: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Neighbours that share a scale: 16 or 32.
    const SHARED: usize;
    /// Whether values have a min.
    const HAS_MIN: bool;

    /// The scales of a block, and its mins where it has any: `VALUES / SHARED` of each.
    fn scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]);

    /// The codes of a block in the order of its values.
    fn codes(block: &[u8], codes: &mut [i8]);
}

/// The half-precision number at a byte of a block.
#[inline(always)]
pub(crate) fn half_at(block: &[u8], at: usize) -> f32 {
    widen(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Half precision to f32 without asking the CPU what it can do, so that loops vectorise.
#[inline(always)]
pub(crate) fn widen(half: u16) -> f32 {
    const INFINITE: u32 = 0x0f80_0000;
    let bits = u32::from(half);
    let (sign, rest) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    // The exponent's bias is 112 less; the product is exact for subnormal numbers, too.
    let scaled = (f32::from_bits(rest) * f32::from_bits((127 + 112) << 23)).to_bits();
    f32::from_bits(sign | if rest >= INFINITE { rest | 0x7f80_0000 } else { scaled })
}

wide! {
    /// Decodes a row of blocks.
    pub(super) fn decode<'a, B: (Block)>(
        _codec: B,
        packed: &'a [u8],
        values: &'a mut [f32],
    ) -> () {
        let mut codes = [0; MAX_VALUES];
        let (mut scales, mut mins) = ([0.0; MAX_SCALES], [0.0; MAX_SCALES]);
        let blocks = packed.chunks_exact(B::BYTES).zip(values.chunks_exact_mut(B::VALUES));
        for (block, values) in blocks {
            B::scales(block, &mut scales, &mut mins);
            B::codes(block, &mut codes[..B::VALUES]);
            let groups = values.chunks_exact_mut(B::SHARED).zip(codes.chunks_exact(B::SHARED));
            for (g, (values, codes)) in groups.enumerate() {
                for (value, code) in values.iter_mut().zip(codes) {
                    let scaled = scales[g] * f32::from(*code);
                    // A min of zero would make a negative zero positive.
                    *value = if B::HAS_MIN { scaled + mins[g] } else { scaled };
                }
            }
        }
    }
}
