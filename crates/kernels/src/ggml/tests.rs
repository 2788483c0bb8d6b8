//! Every type against the reference decoders (goldens of scripts/goldens/ggml_weights.py).

use safetensors::SafeTensors;

use super::*;

#[test]
fn rows_decode_as_the_reference_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/ggml_weights.safetensors");
    let file = std::fs::read(path).expect("the golden file is part of the repository");
    let goldens = SafeTensors::deserialize(&file).expect("a valid golden file");
    assert_eq!(goldens.len(), 2 * BlockType::all().count());
    for kind in BlockType::all() {
        let packed = goldens.tensor(&format!("{}.bytes", kind.name())).expect("a golden");
        let want: Vec<u32> = goldens
            .tensor(&format!("{}.values", kind.name()))
            .expect("a golden")
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect();
        let mut got = vec![f32::NAN; want.len()];
        // At an odd place, where halves can't be read in one piece.
        let odd = [&[0][..], packed.data()].concat();
        kind.decode_row(&odd[1..], &mut got);
        let got: Vec<u32> = got.iter().map(|v| v.to_bits()).collect();
        assert_eq!(got, want, "{}", kind.name());
    }
}

#[test]
fn every_half_widens_as_it_should() {
    for bits in 0..=u16::MAX {
        let (want, got) = (half::f16::from_bits(bits).to_f32(), block::widen(bits));
        assert!(want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan(), "{bits:#x}");
    }
}

#[test]
fn types_are_found_by_their_numbers() {
    assert_eq!(BlockType::from_ggml_id(12), Some(BlockType::Q4_K));
    assert_eq!(BlockType::from_ggml_id(16), None);
    assert_eq!(BlockType::Q4_K.row_bytes(896), None);
    assert_eq!(BlockType::Q4_K.row_bytes(4864), Some(19 * 144));
    assert_eq!(BlockType::F32.row_bytes(usize::MAX), None);
}
