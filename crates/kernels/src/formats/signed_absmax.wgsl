fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    var absmax = 0.0;
    for (var i = 0u; i < VALUES; i++) {
        if (abs((*x)[i]) > abs(absmax)) { absmax = (*x)[i]; }
    }
    let scale = absmax / -ZERO_CODE;
    var inverse = 0.0;
    if (scale != 0.0) { inverse = 1.0 / scale; }
    (*scales)[0] = f16_bits(scale);
    clear_codes(codes);
    for (var i = 0u; i < VALUES; i++) {
        put_code(codes, i, u32(clamp((*x)[i] * inverse + (ZERO_CODE + 0.5), 0.0, TOP_CODE)));
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    let scale = f16_value((*scales)[0]);
    for (var i = 0u; i < VALUES; i++) {
        // Exactly (code - ZERO_CODE) * scale: a code times a scale fits f32.
        (*x)[i] = fma(f32(get_code(codes, i)), scale, -ZERO_CODE * scale);
    }
}
