const BOUNDS = array<f32, 7>(0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0);
const MAGNITUDES = array<f32, 8>(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0);

// The nearest code of a value over a scale; of two equally near ones the smaller.
fn e2m1_code(v: f32, scale: f32) -> u32 {
    if (scale == 0.0) { return 0u; }
    var bounds = BOUNDS;
    var code = 0u;
    for (var b = 0u; b < 7u; b++) { code += select(0u, 1u, abs(v) > bounds[b] * scale); }
    return code | select(0u, 8u, code > 0u && v < 0.0);
}

fn e2m1_value(code: u32) -> f32 {
    var magnitudes = MAGNITUDES;
    let magnitude = magnitudes[code & 7u];
    return select(magnitude, -magnitude, code >= 8u);
}

// Byte j of a part of the block holds value j in its low nibble and, in its high nibble, the value
// half a part further on.
fn nibble_word(i: u32) -> u32 { return (i / PART) * (PART / 8u) + (i % PART % (PART / 2u)) / 4u; }
fn nibble_shift(i: u32) -> u32 { return 8u * (i % 4u) + 4u * (i % PART / (PART / 2u)); }

fn encode_block(x: ptr<function, array<f32, VALUES>>, codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>) {
    for (var w = 0u; w < WORDS; w++) { (*codes)[w] = 0u; }
    for (var s = 0u; s < SCALE_SLOTS; s++) { (*scales)[s] = 0u; }
    for (var part = 0u; part < VALUES / PART; part++) {
        var absmax = 0.0;
        for (var i = 0u; i < PART; i++) { absmax = max(absmax, abs((*x)[part * PART + i])); }
        let byte = scale_byte(absmax);
        (*scales)[part / 2u] |= byte << (8u * (part % 2u));
        for (var j = 0u; j < PART; j++) {
            let i = part * PART + j;
            (*codes)[nibble_word(i)] |= e2m1_code((*x)[i], scale_value(byte)) << nibble_shift(i);
        }
    }
}

fn decode_block(codes: ptr<function, array<u32, WORDS>>, scales: ptr<function, array<u32, SCALE_SLOTS>>, x: ptr<function, array<f32, VALUES>>) {
    for (var i = 0u; i < VALUES; i++) {
        let part = i / PART;
        let byte = ((*scales)[part / 2u] >> (8u * (part % 2u))) & 255u;
        let code = ((*codes)[nibble_word(i)] >> nibble_shift(i)) & 15u;
        (*x)[i] = e2m1_value(code) * scale_value(byte);
    }
}
