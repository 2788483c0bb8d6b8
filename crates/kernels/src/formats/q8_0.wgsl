fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    var amax = 0.0;
    for (var i = 0u; i < VALUES; i++) { amax = max(amax, abs((*x)[i])); }
    let scale = amax / 127.0;
    var inverse = 0.0;
    if (scale != 0.0) { inverse = 1.0 / scale; }
    (*scales)[0] = f16_bits(scale);
    for (var w = 0u; w < WORDS; w++) {
        var word = 0u;
        for (var j = 0u; j < 4u; j++) {
            let v = (*x)[4u * w + j] * inverse;
            let whole = trunc(v);
            var code = i32(whole);
            if (abs(v - whole) >= 0.5) { code += i32(sign(v)); }
            word |= (bitcast<u32>(code) & 0xffu) << (8u * j);
        }
        (*codes)[w] = word;
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    let scale = f16_value((*scales)[0]);
    for (var i = 0u; i < VALUES; i++) {
        // Shift the byte to the top and back, so that its sign is extended.
        let code = bitcast<i32>((*codes)[i / 4u] << (24u - 8u * (i % 4u))) >> 24u;
        (*x)[i] = f32(code) * scale;
    }
}
