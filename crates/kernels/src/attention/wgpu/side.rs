//! WGSL that reads one side of a cache as it is packed.
//!
//! An invocation decodes a group of eight values of a row at a time. The format's own WGSL does
//! that, compiled for blocks of eight; the text written here only fetches their codes and scales.

use crate::formats::{BlockLayout, Format, Packing};
use crate::wgsl::{PRELUDE, constants, prefixed, unroll};

/// What stands before the programs that read a KV split.
pub(super) const SPLIT: &str = include_str!("split.wgsl");

/// Words of scales that are fetched with a group of eight: blocks with more are decoded to tiles.
const SCALE_SLOTS: usize = 2;

/// Whether a format's rows are read as they are packed.
pub(super) fn reads(format: &dyn Format) -> bool {
    format.packing().is_some() && format.layout().scales <= SCALE_SLOTS
}

/// A program that multiplies in f32: its sizes, what reads both sides, and its body.
pub(super) fn in_f32(
    sizes: &[(&str, usize)],
    keys: &dyn Format,
    values: &dyn Format,
    head_dim: usize,
    body: &str,
) -> Option<String> {
    let mut text = constants(sizes) + &constants(&[("HEAD_DIM", head_dim)]);
    text.push_str(PRELUDE);
    text.push_str(SPLIT);
    text.push_str(&side("key", "Key", keys, 1, head_dim)?);
    text.push_str(&side("value", "Value", values, 3, head_dim)?);
    text.push_str(body);
    Some(unroll(&text))
}

/// Where the codes of a group of eight lie, and what fetches them.
struct Fetch {
    /// The type of the codes' binding.
    element: &'static str,
    /// Words of codes, as `decode_block` takes them.
    words: usize,
    /// WGSL that fills `raw.codes` from group `eight` of `row`.
    text: String,
}

fn fetch(packing: Packing, layout: BlockLayout, eights: usize, codes: &str) -> Fetch {
    let BlockLayout { values, code_words, .. } = layout;
    let per_block = values / 8;
    let bits = 32 * code_words / values;
    let at = format!("let at = row * {eights}u + eight;\n");
    let word = |i: usize, value: String| format!("raw.codes[{i}] = {value};\n");
    match (packing, bits) {
        // Word 0 of a block holds the fifth bits of all its values.
        (Packing::HalfBlocks, 5) => {
            let text = format!(
                "{at}let first = at / {per_block}u * {code_words}u;\nlet o = at % {per_block}u;\n\
                 let high = {codes}[first] >> (4u * o);\n"
            );
            let high = word(0, "(high & 15u) | ((high >> 12u) & 240u)".to_owned());
            let low = word(1, format!("{codes}[first + 1u + o]"));
            Fetch { element: "u32", words: 2, text: text + &high + &low }
        }
        // Groups that are whole words, in the widest loads that divide them.
        (_, 4 | 8 | 16 | 32) => {
            let words = bits / 4;
            let (element, wide) = match words {
                1 => ("u32", 1),
                2 => ("vec2<u32>", 2),
                _ => ("vec4<u32>", 4),
            };
            let mut text = at;
            for load in 0..words / wide {
                text += &format!("let load{load} = {codes}[at * {}u + {load}u];\n", words / wide);
                for i in 0..wide {
                    let part = if wide == 1 { String::new() } else { format!("[{i}]") };
                    text += &word(load * wide + i, format!("load{load}{part}"));
                }
            }
            Fetch { element, words, text }
        }
        // Groups that begin within a word: their bits are moved to the front.
        _ => {
            let words = (8 * bits).div_ceil(32);
            let mut text = format!(
                "{at}let bit = at * {}u;\nlet first = bit / 32u;\n\
                 let last = (bit + {}u) / 32u;\nlet shift = bit % 32u;\n",
                8 * bits,
                8 * bits - 1
            );
            for i in 0..words {
                text += &format!("let low{i} = {codes}[first + {i}u] >> shift;\n");
                text += &format!(
                    "let high{i} = ({codes}[min(first + {}u, last)] << 1u) << (31u - shift);\n",
                    i + 1
                );
                text += &word(i, format!("low{i} | high{i}"));
            }
            Fetch { element: "u32", words, text }
        }
    }
}

/// WGSL of one side: its bindings; `<Side>Raw`, a group of eight as it is packed;
/// `<side>_load(row, eight)`, which fetches one; `<side>_decode(raw)`; and `<side>_channel(eight,
/// half)`, the first of the four channels that half a group belongs to. `None` where a format is
/// not [read](reads) as it is packed.
pub(super) fn side(
    side: &str,
    name: &str,
    format: &dyn Format,
    binding: usize,
    d: usize,
) -> Option<String> {
    let layout = format.layout();
    let BlockLayout { values, scales, .. } = layout;
    let packing = format.packing().filter(|_| reads(format))?;
    let (codes, halves) = (format!("{side}_codes"), format!("{side}_scales"));
    let Fetch { element, words, text } = fetch(packing, layout, d / 8, &codes);
    let mut out = constants(&[
        (&format!("{side}_VALUES"), 8),
        (&format!("{side}_WORDS"), words),
        (&format!("{side}_SCALE_SLOTS"), SCALE_SLOTS),
    ]);
    out += &format!(
        "@group(0) @binding({binding}) var<storage, read_write> {codes}: array<{element}>;\n\
         @group(0) @binding({}) var<storage, read_write> {halves}: array<u32>;\n\
         struct {name}Raw {{ codes: array<u32, {words}>, scales: array<u32, {SCALE_SLOTS}> }}\n",
        binding + 1
    );
    out += &prefixed(&format.wgsl()?, &format!("{side}_"));
    // Formats of two values a block have no scales.
    let block = (values / 8).max(1);
    let scales = match scales {
        // A binding that nothing uses would be dropped from the layout.
        0 => format!("if (row == 0xffffffffu) {{ raw.scales[0] = {halves}[0]; }}\n"),
        1 => format!(
            "let block = at / {block}u;\nraw.scales[0] = {halves}[block / 2u];\n\
             raw.scales[1] = 16u * (block % 2u);\n"
        ),
        _ => format!(
            "let pair = {halves}[at / {block}u];\nraw.scales[0] = pair;\n\
             raw.scales[1] = pair >> 16u;\n"
        ),
    };
    let load =
        format!("fn {side}_load(row: u32, eight: u32) -> {name}Raw {{\nvar raw: {name}Raw;\n");
    // Words are shifted when they are used, so that nothing waits for memory before.
    let shift = if layout.scales == 1 { "scales[0] = scales[0] >> scales[1];" } else { "" };
    let decode = format!(
        "fn {side}_decode(raw: {name}Raw) -> Eight {{\n\
         var codes = raw.codes; var scales = raw.scales; var x: array<f32, 8>;\n{shift}\n\
         {side}_decode_block(&codes, &scales, &x);\n\
         return Eight(vec4<f32>(x[0], x[1], x[2], x[3]), vec4<f32>(x[4], x[5], x[6], x[7]));\n}}\n"
    );
    let channel = match packing {
        Packing::Stream => "8u * eight + 4u * half".to_owned(),
        Packing::HalfBlocks => {
            format!("eight / {block}u * {values}u + eight % {block}u * 4u + half * {}u", values / 2)
        }
    };
    let channel =
        format!("fn {side}_channel(eight: u32, half: u32) -> u32 {{ return {channel}; }}\n");
    out += &format!("{load}{text}{scales}return raw;\n}}\n{decode}{channel}");
    Some(out)
}
