// A block has 32 values, or eight of these where attention reads a part of it.
const HALF: u32 = VALUES / 2u;

fn clear_codes(codes: ptr<function, array<u32, WORDS>>) {
    for (var w = 0u; w < WORDS; w++) { (*codes)[w] = 0u; }
}

// Word 0 holds the fifth bits; then value i is the low nibble of byte i, value i + HALF its high nibble.
fn put_code(codes: ptr<function, array<u32, WORDS>>, i: u32, code: u32) {
    (*codes)[0] |= (code >> 4u) << i;
    (*codes)[1u + (i % HALF) / 4u] |= (code & 15u) << (8u * (i % 4u) + 4u * (i / HALF));
}

fn get_code(codes: ptr<function, array<u32, WORDS>>, i: u32) -> u32 {
    let low = ((*codes)[1u + (i % HALF) / 4u] >> (8u * (i % 4u) + 4u * (i / HALF))) & 15u;
    return low | ((((*codes)[0] >> i) & 1u) << 4u);
}
