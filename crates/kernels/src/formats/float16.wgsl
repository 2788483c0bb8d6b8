fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    (*codes)[0] = f16_bits((*x)[0]) | (f16_bits((*x)[1]) << 16u);
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    for (var w = 0u; w < WORDS; w++) {
        let pair = unpack2x16float((*codes)[w]);
        (*x)[2u * w] = pair.x;
        (*x)[2u * w + 1u] = pair.y;
    }
}
