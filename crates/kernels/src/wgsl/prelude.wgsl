// To f16 by integer arithmetic: built-in conversions may round otherwise or flush small numbers.
fn f16_bits(v: f32) -> u32 {
    let n = bitcast<u32>(v);
    let sign = (n >> 16u) & 0x8000u;
    let magnitude = n & 0x7fffffffu;
    if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
    if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
    if (magnitude >= 0x38800000u) {
        // Normal: drop 13 bits, to nearest even; a carry moves into the exponent as it should.
        let shifted = magnitude - 0x38000000u;
        return sign | ((shifted + 0xfffu + ((shifted >> 13u) & 1u)) >> 13u);
    }
    if (magnitude < 0x33000000u) { return sign; }
    let exponent = magnitude >> 23u;
    let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    let shift = 126u - exponent;
    let floor = mantissa >> shift;
    let rest = mantissa & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    let up = select(0u, 1u, rest > half || (rest == half && (floor & 1u) == 1u));
    return sign | (floor + up);
}

// The value of the lower half of a word.
fn f16_value(bits: u32) -> f32 { return unpack2x16float(bits).x; }
