//! Attention over a cache, tile by tile with an online softmax (Milakov and Gimelshein 2018;
//! FlashAttention): scores of one tile exist at a time, and no unpacked copy of the cache does.

pub(crate) mod cpu;
pub(crate) mod gpu;
pub(crate) mod reference;
