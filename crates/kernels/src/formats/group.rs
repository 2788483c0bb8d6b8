//! Uniform codes of 2, 3, 4, 6 or 8 bits in groups of 32, 64 or 128: `a4g64`, `s4g128`, `m4g64`.
//!
//! `a` is asymmetric: `scale = (max - min) / (2^b - 1)`, `code = round((x - min) / scale)`, half to
//! even, clamped, as KIVI's `quant` with `torch.round` and `clamp`. `s` is symmetric about 0:
//! `scale = absmax / (2^(b-1) - 1)`, codes from `-(2^(b-1) - 1)`, as QuaRot's symmetric quantiser.
//! A clip ratio, `a4g64c0.95`, shrinks the range before it is divided, as QuaRot does (0.95 for its
//! caches); values outside take the outermost code. `m` is mlx's `mx.quantize`, bit for bit: the
//! end of the range that is farther from 0 is exact, and the scale is adjusted so that 0 is too.
//!
//! Deviation: KIVI and QuaRot compute in the model's f16; here the range is taken in f32, and codes
//! are made with the scale and minimum as they are stored, rounded to f16.

use std::sync::Arc;

use half::f16;

use super::bits::{WIDTHS, decode_codes, pack, unpack, with_bits};
use super::{BlockLayout, CodeMeaning, Format, FormatFamily, MAX_BLOCK, Packing};

/// How scale and offset follow from the values of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From minimum to maximum: KIVI, QuaRot.
    MinMax,
    /// Symmetric about zero: QuaRot.
    Symmetric,
    /// mlx: the farther end and zero are exact.
    Mlx,
}

/// The three families.
pub(super) fn families() -> [FormatFamily; 3] {
    [
        FormatFamily {
            pattern: "a<bits>g<group>[c<clip>]",
            example: "a4g64",
            summary: "2, 3, 4, 6 or 8 bits from minimum to maximum of a group of 32, 64 or 128",
            parse: |name| Group::parse(name, "a", Range::MinMax),
        },
        FormatFamily {
            pattern: "s<bits>g<group>[c<clip>]",
            example: "s4g64",
            summary: "2, 3, 4, 6 or 8 bits symmetric about zero, groups of 32, 64 or 128",
            parse: |name| Group::parse(name, "s", Range::Symmetric),
        },
        FormatFamily {
            pattern: "m<bits>g<group>",
            example: "m4g64",
            summary: "mlx's quantize, bit for bit: 2, 3, 4, 6 or 8 bits, groups of 32, 64 or 128",
            parse: |name| Group::parse(name, "m", Range::Mlx),
        },
    ]
}

/// A uniform group format.
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    bits: u32,
    group: usize,
    range: Range,
    clip: f32,
}

/// `<letter><bits>g<group>` and what follows; `None` where `name` is of another shape.
pub(super) fn letter_bits_group<'a>(name: &'a str, letter: &str) -> Option<(u32, usize, &'a str)> {
    let (bits, rest) = name.strip_prefix(letter)?.split_once('g')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (group, rest) = rest.split_at(digits);
    Some((bits.parse().ok()?, group.parse().ok()?, rest))
}

/// What is wrong with a group size, if anything.
pub(super) fn check_group(group: usize) -> Result<(), String> {
    if [32, 64, 128].contains(&group) {
        return Ok(());
    }
    Err(format!("groups of {group}: choose 32, 64 or 128"))
}

impl Group {
    fn parse(name: &str, letter: &str, range: Range) -> Option<Result<Arc<dyn Format>, String>> {
        let (bits, group, rest) = letter_bits_group(name, letter)?;
        let clip = match rest {
            "" => 1.0,
            _ => rest.strip_prefix('c')?.parse().ok()?,
        };
        Some(Self::new(bits, group, range, clip).map(|f| Arc::new(f) as Arc<dyn Format>))
    }

    /// A format of `bits` bits in groups of `group` values; `clip` is the share of the range kept.
    ///
    /// # Errors
    /// When a number is not among those that exist.
    pub fn new(bits: u32, group: usize, range: Range, clip: f32) -> Result<Self, String> {
        check_group(group)?;
        if !WIDTHS.contains(&bits) {
            return Err(format!("{bits} bits: choose 2, 3, 4, 6 or 8"));
        }
        if !(clip > 0.0 && clip <= 1.0) || (clip < 1.0 && range == Range::Mlx) {
            return Err(format!(
                "a clip ratio of {clip}: choose one above 0 and at most 1 for a or s"
            ));
        }
        let letter = match range {
            Range::MinMax => 'a',
            Range::Symmetric => 's',
            Range::Mlx => 'm',
        };
        let clipped = if clip < 1.0 { format!("c{clip}") } else { String::new() };
        let name = format!("{letter}{bits}g{group}{clipped}");
        Ok(Self { name, bits, group, range, clip })
    }

    /// The largest code.
    fn top(&self) -> f32 {
        let codes = 1u32 << self.bits;
        (if self.range == Range::Symmetric { codes - 2 } else { codes - 1 }) as f32
    }

    /// Scale and offset of a group: what codes are made with.
    #[inline(always)]
    fn fit(&self, values: &[f32]) -> (f32, f32) {
        let low = values.iter().fold(f32::MAX, |m, v| m.min(*v)) * self.clip;
        let high = values.iter().fold(f32::MIN, |m, v| m.max(*v)) * self.clip;
        let stored = |x: f32| f16::from_f32(x).to_f32();
        match self.range {
            Range::MinMax => (stored((high - low) / self.top()), stored(low)),
            Range::Symmetric => {
                let scale = stored(low.abs().max(high.abs()) / (self.top() * 0.5));
                (scale, -scale * (self.top() * 0.5))
            }
            Range::Mlx => {
                let size = ((high - low) / self.top()).max(1e-7);
                let (scale, edge) =
                    if low.abs() > high.abs() { (size, low) } else { (-size, high) };
                let zero = (edge / scale).round_ties_even();
                if zero == 0.0 { (scale, 0.0) } else { (edge / zero, edge) }
            }
        }
    }
}

impl Format for Group {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout {
            values: self.group,
            code_words: self.group * self.bits as usize / 32,
            scales: if self.range == Range::Symmetric { 1 } else { 2 },
        }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let (scale, offset) = self.fit(values);
        for (stored, value) in scales.iter_mut().zip([scale, offset]) {
            *stored = f16::from_f32(value).to_bits();
        }
        let top = self.top();
        let mut codes = [0u8; MAX_BLOCK];
        let codes = &mut codes[..values.len()];
        if scale != 0.0 {
            for (code, value) in codes.iter_mut().zip(values) {
                *code = ((value - offset) / scale).round_ties_even().clamp(0.0, top) as u8;
            }
        }
        with_bits!(self.bits, BITS => pack::<BITS>(codes, words));
    }

    #[inline(always)]
    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let scale = f16::from_bits(scales[0]).to_f32();
        let offset = match self.range {
            Range::Symmetric => -scale * (self.top() * 0.5),
            Range::MinMax | Range::Mlx => f16::from_bits(scales[1]).to_f32(),
        };
        decode_codes!(self.bits, words, values, code => code as f32 * scale + offset);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn code_meaning(&self) -> Option<CodeMeaning> {
        match (self.bits, self.range) {
            (4 | 8, Range::Symmetric) => Some(CodeMeaning::ZeroPoint(self.top() * 0.5)),
            (4 | 8, Range::MinMax | Range::Mlx) => Some(CodeMeaning::Offset),
            _ => None,
        }
    }

    fn wgsl(&self) -> Option<String> {
        let range = match self.range {
            Range::MinMax => "MIN_MAX",
            Range::Symmetric => "SYMMETRIC",
            Range::Mlx => "MLX",
        };
        Some(format!(
            "const BITS: u32 = {}u;\nconst TOP: f32 = {:?};\nconst CLIP: f32 = {:?};\n\
             const MIN_MAX: u32 = 0u;\nconst SYMMETRIC: u32 = 1u;\n\
             const MLX: u32 = 2u;\n\
             const RANGE: u32 = {range};\n{}{}",
            self.bits,
            self.top(),
            self.clip,
            include_str!("bits.wgsl"),
            include_str!("group.wgsl"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KIVI's `quant_and_pack_vcache` by hand: torch rounds half to even, clamps to 0..3.
    #[test]
    fn codes_are_kivis() {
        let mut values = [0.0f32; 32];
        values[..8].copy_from_slice(&[-1.5, 1.5, -1.0, -0.5, 0.0, 0.5, 1.0, -1.25]);
        let format = Group::new(2, 32, Range::MinMax, 1.0).expect("a format");
        let (mut words, mut scales) = ([0u32; 2], [0u16; 2]);
        format.encode(&values, &mut words, &mut scales);
        assert_eq!(scales.map(|s| f16::from_bits(s).to_f32()), [1.0, -1.5]);
        // (x + 1.5) / 1: 0, 3, 0.5 -> 0, 1, 1.5 -> 2, 2, 2.5 -> 2, 0.25 -> 0, then 1.5 -> 2.
        let codes = [0u32, 3, 0, 1, 2, 2, 2, 0, 2, 2, 2, 2, 2, 2, 2, 2];
        let word: u32 = codes.iter().enumerate().map(|(i, code)| code << (2 * i)).sum();
        assert_eq!(words[0], word, "two bits a code, the first lowest, as KIVI packs");
    }

    #[test]
    fn a_constant_group_is_exact() {
        for name in ["a4g32", "s4g32", "m4g32"] {
            let format = super::super::families().iter().find_map(|f| (f.parse)(name));
            let format = format.expect("a family").expect("a format");
            for constant in [0.0, 1.5, -2.25] {
                let layout = format.layout();
                let (mut words, mut scales) = (vec![0; layout.code_words], vec![0; layout.scales]);
                let mut back = [9.0; 32];
                format.encode(&[constant; 32], &mut words, &mut scales);
                format.decode(&words, &scales, &mut back);
                assert!(
                    back.iter().all(|x| (x - constant).abs() <= 1e-3 * constant.abs()),
                    "{name} {constant} {back:?}"
                );
            }
        }
    }
}
