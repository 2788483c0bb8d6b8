//! What the 5-bit formats share: a word of fifth bits, then four words of low nibbles.

use super::four_bit;

/// Packs 32 codes, each at most 31, into five words.
#[inline(always)]
pub(super) fn pack(codes: &[u8; 32], words: &mut [u32]) {
    let mut high = 0;
    for (i, code) in codes.iter().enumerate() {
        high |= u32::from(code >> 4) << i;
    }
    words[0] = high;
    four_bit::pack(codes, &mut words[1..]);
}

/// Unpacks the 32 codes of five words.
#[inline(always)]
pub(super) fn unpack(words: &[u32]) -> [u8; 32] {
    let mut codes = four_bit::unpack(&words[1..]);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((words[0] >> i & 1) as u8) << 4;
    }
    codes
}
