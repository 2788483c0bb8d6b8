fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, 2>>) {
    (*codes)[0] = f16_bits((*x)[0]) | (f16_bits((*x)[1]) << 16u);
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, 2>>, x: ptr<function, array<f32, VALUES>>) {
    (*x)[0] = f16_value((*codes)[0] & 0xffffu);
    (*x)[1] = f16_value((*codes)[0] >> 16u);
}
