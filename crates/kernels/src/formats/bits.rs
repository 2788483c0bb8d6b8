//! Codes of 2 to 8 bits as one little-endian stream: code `i` starts at bit `i · BITS`.
//!
//! The width is a constant of the code, so that loops over a block unroll and vectorise.

/// Packs codes below `2^BITS` into the words that they fill exactly.
#[inline(always)]
pub(super) fn pack<const BITS: usize>(codes: &[u8], words: &mut [u32]) {
    // 32 codes fill BITS words, whatever BITS is.
    for (codes, words) in codes.chunks_exact(32).zip(words.chunks_exact_mut(BITS)) {
        words.fill(0);
        for (i, code) in codes.iter().enumerate() {
            let (word, shift) = (i * BITS / 32, i * BITS % 32);
            words[word] |= u32::from(*code) << shift;
            if shift + BITS > 32 {
                words[word + 1] |= u32::from(*code) >> (32 - shift);
            }
        }
    }
}

/// The 32 codes of `BITS` words, as a new array: the compiler does not vectorise loops that write
/// where they might also read.
#[inline(always)]
pub(super) fn unpack<const BITS: usize>(words: &[u32]) -> [u32; 32] {
    // The compiler does not vectorise codes that straddle words.
    #[cfg(target_arch = "x86_64")]
    if !BITS.is_power_of_two() && is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU was just asked.
        return unsafe { unpack_avx512::<BITS>(words) };
    }
    unpack_plain::<BITS>(words)
}

/// Each lane takes the word that its code begins in, and the next one, and shifts them together.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn unpack_avx512<const BITS: usize>(words: &[u32]) -> [u32; 32] {
    use std::arch::x86_64::*;
    let mut padded = [0u32; 16];
    padded[..BITS].copy_from_slice(&words[..BITS]);
    let mut codes = [0u32; 32];
    // SAFETY: vectors are loaded from and stored to arrays of their size.
    unsafe {
        let words = _mm512_loadu_si512(padded.as_ptr().cast());
        let mask = _mm512_set1_epi32((1 << BITS) - 1);
        for (half, codes) in codes.chunks_exact_mut(16).enumerate() {
            let at: [u32; 16] = std::array::from_fn(|i| ((16 * half + i) * BITS) as u32);
            let at = _mm512_loadu_si512(at.as_ptr().cast());
            let (word, shift) =
                (_mm512_srli_epi32::<5>(at), _mm512_and_si512(at, _mm512_set1_epi32(31)));
            let low = _mm512_srlv_epi32(_mm512_permutexvar_epi32(word, words), shift);
            let next = _mm512_add_epi32(word, _mm512_set1_epi32(1));
            // A shift by 32 gives zero.
            let up = _mm512_sub_epi32(_mm512_set1_epi32(32), shift);
            let high = _mm512_sllv_epi32(_mm512_permutexvar_epi32(next, words), up);
            let both = _mm512_and_si512(_mm512_or_si512(low, high), mask);
            _mm512_storeu_si512(codes.as_mut_ptr().cast(), both);
        }
    }
    codes
}

#[inline(always)]
fn unpack_plain<const BITS: usize>(words: &[u32]) -> [u32; 32] {
    let mask = (1u32 << BITS) - 1;
    let mut codes = [0; 32];
    for (i, code) in codes.iter_mut().enumerate() {
        let (word, shift) = (i * BITS / 32, i * BITS % 32);
        let mut bits = words[word] >> shift;
        if shift + BITS > 32 {
            bits |= words[word + 1] << (32 - shift);
        }
        *code = bits & mask;
    }
    codes
}

/// Runs `$body` with the constant `$bits` equal to `$value`, one of 2, 3, 4, 6 and 8.
macro_rules! with_bits {
    ($value:expr, $bits:ident => $body:expr) => {
        match $value {
            2 => {
                const $bits: usize = 2;
                $body
            }
            3 => {
                const $bits: usize = 3;
                $body
            }
            4 => {
                const $bits: usize = 4;
                $body
            }
            6 => {
                const $bits: usize = 6;
                $body
            }
            _ => {
                const $bits: usize = 8;
                $body
            }
        }
    };
}
pub(super) use with_bits;

/// Decodes a stream of codes of `$bits` bits into `$values`; `$value` is the value of `$code`. A
/// macro and not a function with a closure, so that it is compiled for its caller's instructions.
macro_rules! decode_codes {
    ($bits:expr, $words:expr, $values:expr, $code:ident => $value:expr) => {
        with_bits!($bits, BITS => {
            for (values, words) in $values.chunks_exact_mut(32).zip($words.chunks_exact(BITS)) {
                let codes = unpack::<BITS>(words);
                let mut block = [0.0f32; 32];
                for (value, $code) in block.iter_mut().zip(codes) {
                    *value = $value;
                }
                values.copy_from_slice(&block);
            }
        })
    };
}
pub(super) use decode_codes;

/// The widths that [`with_bits`] knows.
pub(super) const WIDTHS: [u32; 5] = [2, 3, 4, 6, 8];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_every_width_read_back() {
        for width in WIDTHS {
            let codes: Vec<u8> = (0..64u32).map(|i| (i * 37 % (1 << width)) as u8).collect();
            let mut words = vec![u32::MAX; 2 * width as usize];
            let mut back = vec![0u8; 64];
            with_bits!(width, BITS => {
                pack::<BITS>(&codes, &mut words);
                for (back, words) in back.chunks_exact_mut(32).zip(words.chunks_exact(BITS)) {
                    assert_eq!(unpack::<BITS>(words), unpack_plain::<BITS>(words), "{BITS} bits");
                    let codes = unpack::<BITS>(words).map(|code| code as u8);
                    back.copy_from_slice(&codes);
                }
            });
            assert_eq!(codes, back, "{width} bits");
            let bit = |i: usize| words[i / 32] >> (i % 32) & 1;
            let second: u32 = (0..width as usize).map(|b| bit(width as usize + b) << b).sum();
            assert_eq!(second, u32::from(codes[1]), "{width} bits: the stream is little-endian");
        }
    }
}
