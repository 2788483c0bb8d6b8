//! ggml's interleaved blocks: each block's scales, then its codes, little-endian.

use super::BlockLayout;

/// Bytes of one interleaved block.
fn block_bytes(layout: BlockLayout) -> usize {
    2 * layout.scales + 4 * layout.code_words
}

pub(super) fn interleave(layout: BlockLayout, codes: &[u32], scales: &[u16]) -> Vec<u8> {
    let blocks = codes.len() / layout.code_words;
    let mut bytes = Vec::with_capacity(blocks * block_bytes(layout));
    for block in 0..blocks {
        for scale in &scales[block * layout.scales..][..layout.scales] {
            bytes.extend(scale.to_le_bytes());
        }
        for word in &codes[block * layout.code_words..][..layout.code_words] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes
}

pub(super) fn separate(layout: BlockLayout, bytes: &[u8]) -> Option<(Vec<u32>, Vec<u16>)> {
    let size = block_bytes(layout);
    if !bytes.len().is_multiple_of(size) {
        return None;
    }
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for block in bytes.chunks_exact(size) {
        let (head, tail) = block.split_at(2 * layout.scales);
        scales.extend(head.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])));
        codes.extend(tail.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    }
    Some((codes, scales))
}
