fn clear_codes(codes: ptr<function, array<u32, WORDS>>) {
    for (var w = 0u; w < WORDS; w++) { (*codes)[w] = 0u; }
}

// Code i starts at bit i * BITS of the stream of words.
fn put_code(codes: ptr<function, array<u32, WORDS>>, i: u32, code: u32) {
    let word = i * BITS / 32u;
    let shift = i * BITS % 32u;
    (*codes)[word] |= code << shift;
    if (shift + BITS > 32u) { (*codes)[word + 1u] |= code >> (32u - shift); }
}

fn get_code(codes: ptr<function, array<u32, WORDS>>, i: u32) -> u32 {
    let word = i * BITS / 32u;
    let shift = i * BITS % 32u;
    var code = (*codes)[word] >> shift;
    if (shift + BITS > 32u) { code |= (*codes)[word + 1u] << (32u - shift); }
    return code & ((1u << BITS) - 1u);
}
