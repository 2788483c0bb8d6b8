fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    var absmax = 0.0;
    var squares = 0.0;
    for (var i = 0u; i < VALUES; i++) {
        absmax = max(absmax, abs((*x)[i]));
        squares += (*x)[i] * (*x)[i];
    }
    var scale = 1.0;
    if (SCALE == ABSMAX) { scale = absmax; }
    if (SCALE == RMS) { scale = sqrt(squares / f32(VALUES)); }
    if (SCALE != NONE) {
        (*scales)[0] = f16_bits(scale);
        scale = f16_value((*scales)[0]);
    }
    var inverse = 0.0;
    if (scale > 0.0) { inverse = 1.0 / scale; }
    var bounds = BOUNDS;
    clear_codes(codes);
    for (var i = 0u; i < VALUES; i++) {
        var code = 0u;
        for (var b = 0u; b < (1u << BITS) - 1u; b++) {
            code += select(0u, 1u, (*x)[i] * inverse > bounds[b]);
        }
        put_code(codes, i, code);
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    var centroids = CENTROIDS;
    var scale = 1.0;
    if (SCALE != NONE) { scale = f16_value((*scales)[0]); }
    for (var i = 0u; i < VALUES; i++) {
        (*x)[i] = centroids[get_code(codes, i)] * scale;
    }
}
