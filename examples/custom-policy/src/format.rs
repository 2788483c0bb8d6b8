//! A storage format: 8 bits symmetric about zero, one f16 scale for 32 values.

use kvr_policy::{BlockLayout, Format, f16};

/// The format `int8`: `int8:q4_0` keeps keys in it, `int8` keys and values.
#[derive(Debug)]
pub struct Int8;

impl Format for Int8 {
    fn name(&self) -> &str {
        "int8"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 32, code_words: 8, scales: 1 }
    }

    fn encode(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]) {
        let absmax = values.iter().fold(0.0f32, |max, value| max.max(value.abs()));
        scales[0] = f16::from_f32(absmax / 127.0).to_bits();
        let scale = f16::from_bits(scales[0]).to_f32().max(f32::MIN_POSITIVE);
        codes.fill(0);
        for (i, value) in values.iter().enumerate() {
            let code = (value / scale).round().clamp(-127.0, 127.0) as i8;
            codes[i / 4] |= u32::from(code as u8) << (8 * (i % 4));
        }
    }

    fn decode(&self, codes: &[u32], scales: &[u16], values: &mut [f32]) {
        for (i, value) in values.iter_mut().enumerate() {
            let code = (codes[i / 4] >> (8 * (i % 4))) as u8 as i8;
            *value = f32::from(code) * f16::from_bits(scales[0]).to_f32();
        }
    }
}
