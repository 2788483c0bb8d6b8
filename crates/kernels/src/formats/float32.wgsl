fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    (*codes)[0] = bitcast<u32>((*x)[0]);
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    for (var w = 0u; w < WORDS; w++) { (*x)[w] = bitcast<f32>((*codes)[w]); }
}
