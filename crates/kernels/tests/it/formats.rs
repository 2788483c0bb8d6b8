//! Every format equals ggml's bit for bit, in both directions.

use half::f16;
use kvr_kernels::formats;
use safetensors::SafeTensors;

use crate::support::{f32s, family, golden};

#[test]
fn every_format_equals_the_reference_quantiser() {
    let file = golden("block_formats");
    let tensors = SafeTensors::deserialize(&file).expect("a valid golden file");
    let x = f32s(tensors.tensor("x").expect("x").data());
    for format in formats::all() {
        let name = format.name().to_owned();
        if name == "f32" {
            continue;
        }
        let layout = format.layout();
        let blocks = x.len() / layout.values;
        let mut codes = vec![0u32; blocks * layout.code_words];
        let mut scales = vec![f16::ZERO; blocks * layout.scales];
        format.encode_blocks(&x, &mut codes, &mut scales);

        let bytes = tensors.tensor(&format!("{name}.bytes")).expect("bytes").data().to_vec();
        assert_eq!(format.to_ggml(&codes, &scales), bytes, "{name}: bytes");
        let (ggml_codes, ggml_scales) = format.read_ggml(&bytes).expect("whole blocks");
        assert_eq!((&ggml_codes, &ggml_scales), (&codes, &scales), "{name}: planes");
        assert!(format.read_ggml(&bytes[1..]).is_none(), "{name}: half a block");

        let mut y = vec![f32::NAN; x.len()];
        format.decode_blocks(&codes, &scales, &mut y);
        let want = f32s(tensors.tensor(&format!("{name}.dequantized")).expect("values").data());
        let differs = y.iter().zip(&want).position(|(a, b)| a.to_bits() != b.to_bits() && *a != *b);
        assert_eq!(differs, None, "{name}: first value that differs");
        let ggml_bits = 8.0 * bytes.len() as f64 / x.len() as f64;
        assert_eq!(layout.bits_per_value(), ggml_bits, "{name}: bits per value");
    }
}

#[test]
fn a_pair_stores_zeros_constants_and_extremes_without_surprise() {
    for format in formats::all() {
        let layout = format.layout();
        for value in [0.0, 1.0, -3.5, 6.0e4, 1.0e-7] {
            let x = vec![value; 64];
            let mut codes = vec![0; 64 / layout.values * layout.code_words];
            let mut scales = vec![f16::ZERO; 64 / layout.values * layout.scales];
            let mut y = vec![f32::NAN; 64];
            format.encode_blocks(&x, &mut codes, &mut scales);
            format.decode_blocks(&codes, &scales, &mut y);
            let tolerance = (value.abs() / 64.0).max(1e-6);
            assert!(
                y.iter().all(|y| (y - value).abs() <= tolerance),
                "{}: {value} became {}",
                format.name(),
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
            let mut scales = vec![f16::ZERO; blocks * layout.scales];
            format.encode_blocks(&rows, &mut codes, &mut scales);
            let words: Vec<u8> = codes.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(words == tensor(&format!("{name}.codes")), "{name}: codes");
            for (i, part) in ["scales", "biases"].into_iter().enumerate() {
                let ours: Vec<u16> = scales[i..].iter().step_by(2).map(|s| s.to_bits()).collect();
                assert_eq!(ours, halves(&tensor(&format!("{name}.{part}"))), "{name}: {part}");
            }
        }
    }
}
