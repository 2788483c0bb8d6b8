//! Packed products against f64 sums of the decoded weights, on every path that this CPU can take.

use std::sync::Arc;

use safetensors::SafeTensors;

use super::*;
use crate::ggml::BlockType;

/// Packed rows of every type, made of the blocks of goldens, so that all codes occur; the last
/// blocks are those with ordinary scales.
fn packed(kind: BlockType, rows: usize, columns: usize) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/ggml_weights.safetensors");
    let file = std::fs::read(path).expect("the golden file is part of the repository");
    let goldens = SafeTensors::deserialize(&file).expect("a valid golden file");
    let bytes =
        goldens.tensor(&format!("{}.bytes", kind.name())).expect("a golden").data().to_vec();
    let blocks: Vec<&[u8]> = bytes.chunks_exact(kind.bytes()).collect();
    let ordinary = &blocks[blocks.len() / 2 + 1..];
    let count = rows * columns / kind.values();
    (0..count).flat_map(|i| ordinary[(i * 7 + i / 5) % ordinary.len()]).copied().collect()
}

fn matrix(kind: BlockType, rows: usize, columns: usize) -> PackedMatrix {
    let mut bytes = vec![0; 3];
    bytes.extend(packed(kind, rows, columns));
    PackedMatrix::new(Arc::new(bytes), 3, kind, [rows, columns]).expect("sizes that fit")
}

/// Rows of either sign and of sizes that differ by much.
fn activations(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 % 1009) as f32 - 500.0) * if i % 41 == 0 { 0.3 } else { 0.002 })
        .collect()
}

/// No sum may be off by more than f32 sums of `columns` products can be: each of their terms is
/// rounded once for itself and once for every sum that it is part of. Codes lie above a zero point
/// of at most 32 in registers, which makes terms larger by that times the scale.
fn check(name: &str, x: &[f32], weight: &PackedMatrix, out: &[f32]) {
    let (rows, columns) = (weight.rows(), weight.columns());
    let mut decoded = vec![0.0; columns];
    let mut largest: f64 = 0.0;
    for j in 0..rows {
        weight.decode_row(j, &mut decoded);
        let scale = decoded.iter().fold(0.0_f64, |max, w| max.max(f64::from(w.abs())));
        for (i, x) in x.chunks_exact(columns).enumerate() {
            let (mut want, mut size) = (0.0, 0.0);
            for (w, x) in decoded.iter().zip(x) {
                let (w, x) = (f64::from(*w), f64::from(*x));
                want += w * x;
                size += 2.0 * scale * x.abs();
            }
            let error = (f64::from(out[i * rows + j]) - want).abs() / size;
            largest = largest.max(error);
        }
    }
    // Sums run in at least eight lanes, four products at a time.
    let bound = f64::from(f32::EPSILON) * (columns as f64 / 32.0 + 16.0);
    assert!(largest <= bound, "{name}: off by {largest:e} of the terms, at most {bound:e}");
}

#[test]
fn products_are_those_of_the_decoded_weights() {
    for kind in BlockType::all() {
        for columns in [256, 768, 4864] {
            let weight = matrix(kind, 37, columns);
            for n in [1, 2, 3, 4, 7, 8, 9, 33] {
                let x = activations(n * columns);
                let mut out = vec![f32::NAN; n * 37];
                linear(&x, &weight, &mut out, n);
                check(&format!("{} {columns} {n}", kind.name()), &x, &weight, &out);
            }
        }
    }
}

#[test]
fn rows_of_blocks_of_32_need_not_be_multiples_of_256() {
    for kind in BlockType::all().filter(|kind| kind.values() < 256) {
        let weight = matrix(kind, 5, 576 + 32);
        let x = activations(3 * 608);
        let mut out = vec![f32::NAN; 15];
        linear(&x, &weight, &mut out, 3);
        check(kind.name(), &x, &weight, &out);
    }
}

#[test]
fn every_cpu_path_gives_the_same() {
    for kind in BlockType::all() {
        let weight = matrix(kind, 6, 512);
        let (x, part) = (activations(3 * 512), &weight.parts[0]);
        let check_columns = |name: &str, columns: &[f32]| {
            let rows = |i| columns.chunks_exact(3).map(move |column: &[f32]| column[i]);
            let out: Vec<f32> = (0..3).flat_map(rows).collect();
            check(&format!("{} {name}", kind.name()), &x, &weight, &out);
        };
        let mut columns = vec![f32::NAN; 18];
        portable::products(&x, kind, part.packed(0..6), &mut columns, 3);
        check_columns("portable", &columns);
        #[cfg(target_arch = "x86_64")]
        for width in x86::Width::all() {
            let Some(kernel) = x86::Kernel::of(width, kind, &x, 3) else { continue };
            columns.fill(f32::NAN);
            kernel.run((part.packed(0..6), part.row_bytes), &mut columns);
            check_columns(&format!("{width:?}"), &columns);
        }
    }
}

#[test]
fn weights_of_several_types_are_one_product() {
    let kinds = [BlockType::Q4_K, BlockType::Q6_K, BlockType::F16, BlockType::Q4_K];
    let parts = kinds.iter().enumerate().map(|(i, kind)| matrix(*kind, 20 + i, 512)).collect();
    let weight = PackedMatrix::stack(parts).expect("sizes that fit");
    assert_eq!((weight.rows(), weight.columns()), (86, 512));
    for n in [1, 5, 20] {
        let x = activations(n * 512);
        let mut out = vec![f32::NAN; n * 86];
        linear(&x, &weight, &mut out, n);
        check(&format!("stack {n}"), &x, &weight, &out);
    }
    let mut rows = vec![0.0; 2 * 512];
    weight.decode_rows(&[85, 20], &mut rows);
    let mut row = vec![0.0; 512];
    matrix(BlockType::Q6_K, 21, 512).decode_row(0, &mut row);
    assert_eq!(row, rows[512..]);
}

#[test]
fn weights_that_do_not_fit_are_errors() {
    let bytes: SharedBytes = Arc::new(vec![0_u8; 144]);
    let new = |offset, shape| PackedMatrix::new(bytes.clone(), offset, BlockType::Q4_K, shape);
    assert!(new(0, [1, 256]).is_ok());
    assert!(matches!(new(0, [1, 896]), Err(PackedError::Columns { columns: 896, .. })));
    for (offset, shape) in [(1, [1, 256]), (0, [2, 256]), (usize::MAX, [1, 256])] {
        assert!(matches!(new(offset, shape), Err(PackedError::Bounds { .. })));
    }
    assert!(matches!(new(0, [usize::MAX, 256]), Err(PackedError::Bounds { .. })));
    let wide = new(0, [0, 512]).expect("sizes that fit");
    let error = PackedMatrix::stack(vec![wide, new(0, [1, 256]).expect("sizes that fit")])
        .expect_err("an error");
    assert_eq!(error, PackedError::Widths(vec![512, 256]));
    assert!(PackedMatrix::stack(Vec::new()).is_err());
}
