fn bf16_bits(v: f32) -> u32 {
    let n = bitcast<u32>(v);
    if ((n & 0x7fffffffu) > 0x7f800000u) { return (n >> 16u) | 0x40u; }
    return (n + 0x7fffu + ((n >> 16u) & 1u)) >> 16u;
}

fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    (*codes)[0] = bf16_bits((*x)[0]) | (bf16_bits((*x)[1]) << 16u);
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    for (var w = 0u; w < WORDS; w++) {
        (*x)[2u * w] = bitcast<f32>((*codes)[w] << 16u);
        (*x)[2u * w + 1u] = bitcast<f32>((*codes)[w] & 0xffff0000u);
    }
}
