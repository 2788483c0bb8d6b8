fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    var low = (*x)[0];
    var high = (*x)[0];
    for (var i = 1u; i < VALUES; i++) {
        low = min(low, (*x)[i]);
        high = max(high, (*x)[i]);
    }
    let scale = (high - low) / TOP_CODE;
    var inverse = 0.0;
    if (scale != 0.0) { inverse = 1.0 / scale; }
    (*scales)[0] = f16_bits(scale);
    (*scales)[1] = f16_bits(low);
    clear_codes(codes);
    for (var i = 0u; i < VALUES; i++) {
        put_code(codes, i, u32(clamp(((*x)[i] - low) * inverse + 0.5, 0.0, TOP_CODE)));
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    let scale = f16_value((*scales)[0]);
    let low = f16_value((*scales)[1]);
    for (var i = 0u; i < VALUES; i++) {
        (*x)[i] = f32(get_code(codes, i)) * scale + low;
    }
}
