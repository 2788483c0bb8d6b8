//! Every format equals ggml's bit for bit, in both directions.

use kvr_kernels::{Format, formats};
use safetensors::SafeTensors;

use crate::support::{f32s, family, golden};

/// The goldens of ggml's formats, and of those of 4-bit floating point.
const GOLDENS: [&str; 2] = ["block_formats", "fp4"];

#[test]
fn every_format_equals_the_reference_quantiser() {
    let files = GOLDENS.map(golden);
    let goldens =
        files.each_ref().map(|file| SafeTensors::deserialize(file).expect("a valid golden file"));
    for format in formats::all().iter().filter(|format| format.name() != "f32") {
        let bytes = format!("{}.bytes", format.name());
        let of_format = goldens.iter().find(|golden| golden.tensor(&bytes).is_ok());
        equals_the_reference(&**format, of_format.expect(&bytes));
    }
}

fn equals_the_reference(format: &dyn Format, golden: &SafeTensors<'_>) {
    let name = format.name();
    let tensor = |name: &str| golden.tensor(name).expect(name).data().to_vec();
    let x = f32s(&tensor("x"));
    let layout = format.layout();
    let blocks = x.len() / layout.values;
    let mut codes = vec![0u32; blocks * layout.code_words];
    let mut scales = vec![0u16; blocks * layout.scales];
    format.encode_blocks(&x, &mut codes, &mut scales);

    let bytes = tensor(&format!("{name}.bytes"));
    assert_eq!(format.to_ggml(&codes, &scales), bytes, "{name}: bytes");
    let (ggml_codes, ggml_scales) = format.read_ggml(&bytes).expect("whole blocks");
    assert_eq!((&ggml_codes, &ggml_scales), (&codes, &scales), "{name}: planes");
    assert!(format.read_ggml(&bytes[1..]).is_none(), "{name}: half a block");

    let mut y = vec![f32::NAN; x.len()];
    format.decode_blocks(&codes, &scales, &mut y);
    let want = f32s(&tensor(&format!("{name}.dequantized")));
    let differs = y.iter().zip(&want).position(|(a, b)| a.to_bits() != b.to_bits() && *a != *b);
    assert_eq!(differs, None, "{name}: first value that differs");
    let ggml_bits = 8.0 * bytes.len() as f64 / x.len() as f64;
    assert_eq!(layout.bits_per_value(), ggml_bits, "{name}: bits per value");
}

#[test]
fn zeros_constants_and_extremes_are_stored_without_surprise() {
    for format in formats::all() {
        let (name, layout) = (format.name(), format.layout());
        for value in [0.0, 1.0, -3.5, 6.0e4, 1.0e-7] {
            if name == "nvfp4" && value > 2688.0 {
                continue;
            }
            let x = vec![value; 64];
            let mut codes = vec![0; 64 / layout.values * layout.code_words];
            let mut scales = vec![0; 64 / layout.values * layout.scales];
            let mut y = vec![f32::NAN; 64];
            format.encode_blocks(&x, &mut codes, &mut scales);
            format.decode_blocks(&codes, &scales, &mut y);
            // The scale of mxfp4 is a power of two: what it does not reach is clipped, 8 to 6.
            let step = if name.ends_with("fp4") { 4.0 } else { 64.0 };
            let tolerance = (value.abs() / step).max(1e-6);
            assert!(
                y.iter().all(|y| (y - value).abs() <= tolerance),
                "{name}: {value} became {}",
                y[0]
            );
        }
    }
}

#[test]
fn m_formats_equal_mlx_bit_for_bit() {
    let file = golden("mlx_quantize");
    let tensors = SafeTensors::deserialize(&file).expect("a valid golden file");
    let tensor = |name: &str| tensors.tensor(name).expect(name).data().to_vec();
    let rows = f32s(&tensor("rows"));
    let halves = |bytes: &[u8]| -> Vec<u16> {
        bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
    };
    for bits in [2, 3, 4, 6, 8] {
        for group in [32, 64, 128] {
            let name = format!("m{bits}g{group}");
            let format = family(&name);
            let layout = format.layout();
            let blocks = rows.len() / group;
            let mut codes = vec![0u32; blocks * layout.code_words];
            let mut scales = vec![0u16; blocks * layout.scales];
            format.encode_blocks(&rows, &mut codes, &mut scales);
            let words: Vec<u8> = codes.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(words == tensor(&format!("{name}.codes")), "{name}: codes");
            for (i, part) in ["scales", "biases"].into_iter().enumerate() {
                let ours: Vec<u16> = scales[i..].iter().step_by(2).copied().collect();
                assert_eq!(ours, halves(&tensor(&format!("{name}.{part}"))), "{name}: {part}");
            }
        }
    }
}
