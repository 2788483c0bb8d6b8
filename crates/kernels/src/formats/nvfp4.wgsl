// The nearest number of E4M3 to a largest magnitude over 6, the largest code; see nvfp4.rs.
fn scale_byte(absmax: f32) -> u32 {
    let x = absmax / 6.0;
    let bits = bitcast<u32>(x);
    if (bits < 0x3c800000u) { return min(u32(x * 512.0 + 0.5), 7u); }
    return min(((bits + 0x80000u) >> 20u) - 960u, 0x7eu);
}

fn scale_value(byte: u32) -> f32 {
    if (byte == 0x7fu) { return 0.0; }
    if (byte < 8u) { return f32(byte) / 512.0; }
    return bitcast<f32>((byte << 20u) + 0x3c000000u);
}

