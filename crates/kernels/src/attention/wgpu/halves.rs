//! Eight packed values in f16, for matrix units.
//!
//! Codes that are whole numbers become f16 without passing through f32: two of them in the low bits
//! of a word whose other bits say 1024 are exactly 1024 more than they should be. So pairs of codes
//! that lie 16 bits apart are unpacked together, and the values of a group of eight come in an
//! order of their own, which `channel_at` tells.

use crate::formats::{CodeMeaning, Format, Packing};

/// 1024 in both halves of a word. From there to 2047, f16 holds the whole numbers, and its lowest
/// bits are theirs.
const THOUSAND: u32 = 0x6400_6400;

/// Flips the sign bits of two bytes, which adds 128 to numbers in two's complement.
const SIGNS: u32 = 0x0080_0080;

const IN_ORDER: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// WGSL of one side: `<side>_halves(raw)`, a group of eight in f16, and `<side>_channel_at(eight,
/// i)`, the channel of its value `i`. `None` where a format does not say how it packs.
pub(super) fn text(side: &str, name: &str, format: &dyn Format) -> Option<String> {
    let layout = format.layout();
    let packing = format.packing()?;
    let bits = 32 * layout.code_words / layout.values;
    let known = format.code_meaning().and_then(|m| Some((m, pairs(m, packing, bits)?)));
    let (body, order) = match known {
        Some((meaning, (pairs, order))) => {
            let shift =
                if layout.scales == 1 { "scales[0] = scales[0] >> scales[1];\n" } else { "" };
            let values: String = (pairs.iter().enumerate())
                .map(|(i, pair)| format!("let pair{i} = {};\n", value(meaning, pair)))
                .collect();
            let factors = factors(meaning);
            let body = format!(
                "var codes = raw.codes;\nvar scales = raw.scales;\n{shift}{factors}{values}\
                 return Halves(vec4<f16>(pair0, pair1), vec4<f16>(pair2, pair3));\n"
            );
            (body, order)
        }
        None => {
            let body = format!(
                "let eight = {side}_decode(raw);\n\
                 return Halves(vec4<f16>(eight.low), vec4<f16>(eight.high));\n"
            );
            (body, IN_ORDER)
        }
    };
    let block = (layout.values / 8).max(1);
    let channel = match packing {
        Packing::Stream => "8u * eight + at".to_owned(),
        Packing::HalfBlocks => format!(
            "eight / {block}u * {}u + eight % {block}u * 4u + at / 4u * {}u + at % 4u",
            layout.values,
            layout.values / 2
        ),
    };
    let order = order.map(|i| format!("{i}u")).join(", ");
    Some(format!(
        "fn {side}_halves(raw: {name}Raw) -> Halves {{\n{body}}}\n\
         fn {side}_channel_at(eight: u32, i: u32) -> u32 {{\n\
         var order = array<u32, 8>({order});\nlet at = order[i];\nreturn {channel};\n}}\n"
    ))
}

/// The words that hold two codes each, 16 bits apart, and the order in which values come then.
fn pairs(meaning: CodeMeaning, packing: Packing, bits: usize) -> Option<([String; 4], [usize; 8])> {
    let shifted =
        |word: usize, shift: usize, mask: &str| format!("((codes[{word}] >> {shift}u) & {mask}u)");
    Some(match (meaning, packing, bits) {
        (CodeMeaning::F16, _, 16) => ([0, 1, 2, 3].map(|i| format!("codes[{i}]")), IN_ORDER),
        (CodeMeaning::F16, ..) => return None,
        (_, Packing::Stream, 8) => (
            [0, 1, 2, 3].map(|i| shifted(i / 2, 8 * (i % 2), "0x00ff00ff")),
            [0, 2, 1, 3, 4, 6, 5, 7],
        ),
        (_, Packing::Stream, 4) => {
            ([0, 4, 8, 12].map(|shift| shifted(0, shift, "0x000f000f")), [0, 4, 1, 5, 2, 6, 3, 7])
        }
        (_, Packing::HalfBlocks, 4) => {
            ([0, 8, 4, 12].map(|shift| shifted(0, shift, "0x000f000f")), [0, 2, 1, 3, 4, 6, 5, 7])
        }
        _ => return None,
    })
}

/// What codes are multiplied with, and what is added.
fn factors(meaning: CodeMeaning) -> &'static str {
    match meaning {
        CodeMeaning::F16 => "",
        CodeMeaning::Signed | CodeMeaning::ZeroPoint(_) => {
            "let scale = vec2<f16>(unpack2x16float(scales[0]).xx);\n"
        }
        CodeMeaning::Offset => {
            "let scale = unpack2x16float(scales[0]).xx;\n\
             let offset = unpack2x16float(scales[1]).xx - 1024.0 * scale;\n"
        }
    }
}

/// Two values of a word with two codes.
fn value(meaning: CodeMeaning, codes: &str) -> String {
    // naga can't reinterpret a word as two f16; compilers drop the way to f32 and back.
    let halves = |word: &str| format!("vec2<f16>(unpack2x16float({word}))");
    let whole = |flipped: u32| halves(&format!("{codes} ^ {}u", THOUSAND ^ flipped));
    match meaning {
        CodeMeaning::F16 => halves(codes),
        CodeMeaning::Signed => format!("({} - 1152.0h) * scale", whole(SIGNS)),
        CodeMeaning::ZeroPoint(zero) if zero.fract() == 0.0 => {
            format!("({} - {:?}h) * scale", whole(0), 1024.0 + zero)
        }
        // Two steps, because 1031.5 is no f16.
        CodeMeaning::ZeroPoint(zero) => format!("({} - 1024.0h - {zero:?}h) * scale", whole(0)),
        // A product of f16 would be rounded to the range of the block before the offset is added.
        CodeMeaning::Offset => {
            format!("vec2<f16>(fma(unpack2x16float({codes} ^ {THOUSAND}u), scale, offset))")
        }
    }
}
