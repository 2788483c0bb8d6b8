fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, 2>>) {
    (*codes)[0] = bitcast<u32>((*x)[0]);
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, 2>>, x: ptr<function, array<f32, VALUES>>) {
    (*x)[0] = bitcast<f32>((*codes)[0]);
}
