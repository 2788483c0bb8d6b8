// The exponent of a scale, biased by 127: that of the largest magnitude less that of the code 6.
fn scale_byte(absmax: f32) -> u32 {
    let exponent = bitcast<u32>(absmax) >> 23u;
    return min(max(exponent, 2u) - 2u, 252u);
}

// 2^(byte - 127); byte 0 is a subnormal.
fn scale_value(byte: u32) -> f32 {
    return bitcast<f32>(select(byte << 23u, 0x00400000u, byte == 0u));
}

