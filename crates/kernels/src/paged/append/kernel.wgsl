// Packs rows [B·Hkv, new, D] into a page. One invocation packs a unit: one row, or two rows where
// two rows share a word of scales.
@group(0) @binding(0) var<storage, read_write> rows: array<f32>;
@group(0) @binding(1) var<storage, read_write> page_codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> page_scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> overflows: array<atomic<u32>, 2>;   // low word first
@group(0) @binding(4) var<storage, read_write> info: array<u32>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = info[0];
    let fresh = info[1];
    let units = info[2];
    let capacity = info[3];
    let id = (group.y * groups.x + group.x) * GROUP + local;
    let head = id / units;
    if (head >= HEADS) { return; }
    let unit = at / UNIT + id % units;
    var lost = 0u;
    var row_scales: array<u32, UNIT_SCALES>;
    if (SCALES % 2u == 1u) {
        // The row beside the new one in a shared word keeps its scales.
        for (var s = 0u; s < UNIT * SCALES; s++) {
            row_scales[s] = scale_at(head * capacity, unit * UNIT * SCALES + s);
        }
    }
    for (var r = 0u; r < UNIT; r++) {
        let token = unit * UNIT + r;
        if (token < at || token >= at + fresh) { continue; }
        let source = (head * fresh + token - at) * HEAD_DIM;
        for (var block = 0u; block < BLOCKS; block++) {
            var x: array<f32, VALUES>;
            for (var i = 0u; i < VALUES; i++) { x[i] = rows[source + block * VALUES + i]; }
            var codes: array<u32, WORDS>;
            var scales: array<u32, SCALE_SLOTS>;
            encode_block(&x, &codes, &scales);
            let target_word = ((head * capacity + token) * BLOCKS + block) * WORDS;
            for (var w = 0u; w < WORDS; w++) { page_codes[target_word + w] = codes[w]; }
            for (var s = 0u; s < BLOCK_SCALES; s++) {
                row_scales[r * SCALES + block * BLOCK_SCALES + s] = scales[s];
            }
            // Values that the format can't hold: see cpu.rs.
            decode_block(&codes, &scales, &x);
            var left = 0.0;
            for (var i = 0u; i < VALUES; i++) {
                if (finite(x[i])) { left = max(left, abs(x[i])); }
            }
            let bound = max(65504.0, 16.0 * left);
            for (var i = 0u; i < VALUES; i++) {
                let value = rows[source + block * VALUES + i];
                lost += select(0u, 1u, finite(value) && (!finite(x[i]) || abs(value) > bound));
            }
        }
    }
    if (lost > 0u && atomicAdd(&overflows[0], lost) > 0xffffffffu - lost) { atomicAdd(&overflows[1], 1u); }
    let first = (head * capacity + unit * UNIT) * SCALES / 2u;
    for (var w = 0u; w < UNIT * SCALES / 2u; w++) {
        page_scales[first + w] = row_scales[2u * w] | (row_scales[2u * w + 1u] << 16u);
    }
}

fn scale_at(first_row: u32, index: u32) -> u32 {
    let half = first_row * SCALES + index;
    return (page_scales[half / 2u] >> (16u * (half % 2u))) & 0xffffu;
}

// Compilers may take it that no number is infinite, and never look; bits are only bits.
fn finite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }
