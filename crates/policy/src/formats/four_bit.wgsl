fn clear_codes(codes: ptr<function, array<u32, WORDS>>) {
    for (var w = 0u; w < WORDS; w++) { (*codes)[w] = 0u; }
}

// Value i is the low nibble of byte i, value i + 16 its high nibble.
fn put_code(codes: ptr<function, array<u32, WORDS>>, i: u32, code: u32) {
    (*codes)[(i % 16u) / 4u] |= code << (8u * (i % 4u) + 4u * (i / 16u));
}

fn get_code(codes: ptr<function, array<u32, WORDS>>, i: u32) -> u32 {
    return ((*codes)[(i % 16u) / 4u] >> (8u * (i % 4u) + 4u * (i / 16u))) & 15u;
}
