fn group_offset(scale: f32, offset: u32) -> f32 {
    if (RANGE == SYMMETRIC) { return -scale * (TOP * 0.5); }
    return f16_value(offset);
}

fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    var low = (*x)[0];
    var high = (*x)[0];
    for (var i = 1u; i < VALUES; i++) {
        low = min(low, (*x)[i]);
        high = max(high, (*x)[i]);
    }
    low *= CLIP;
    high *= CLIP;
    var scale = 0.0;
    var offset = 0.0;
    if (RANGE == MLX) {
        scale = max((high - low) / TOP, 1e-7);
        var edge = low;
        if (abs(low) <= abs(high)) {
            scale = -scale;
            edge = high;
        }
        let zero = round(edge / scale);
        if (zero != 0.0) {
            scale = edge / zero;
            offset = edge;
        }
        (*scales)[0] = f16_bits(scale);
        (*scales)[1] = f16_bits(offset);
    } else {
        if (RANGE == SYMMETRIC) {
            (*scales)[0] = f16_bits(max(abs(low), abs(high)) / (TOP * 0.5));
        } else {
            (*scales)[0] = f16_bits((high - low) / TOP);
            (*scales)[1] = f16_bits(low);
        }
        scale = f16_value((*scales)[0]);
        offset = group_offset(scale, (*scales)[1]);
    }
    clear_codes(codes);
    if (scale == 0.0) { return; }
    for (var i = 0u; i < VALUES; i++) {
        put_code(codes, i, u32(clamp(round(((*x)[i] - offset) / scale), 0.0, TOP)));
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    let scale = f16_value((*scales)[0]);
    let offset = group_offset(scale, (*scales)[1]);
    for (var i = 0u; i < VALUES; i++) {
        (*x)[i] = f32(get_code(codes, i)) * scale + offset;
    }
}
