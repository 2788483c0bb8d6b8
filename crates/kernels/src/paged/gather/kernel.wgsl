// Copies packed rows of one page to another. One invocation copies a unit of the target: one row,
// or two rows where two rows share a word of scales.
@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_codes: array<u32>;
@group(0) @binding(3) var<storage, read_write> to_scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> info: array<u32>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = info[0];
    let count = info[1];
    let units = info[2];
    let id = (group.y * groups.x + group.x) * GROUP + local;
    let head = id / units;
    if (head >= HEADS) { return; }
    let unit = at / UNIT + id % units;
    for (var r = 0u; r < UNIT; r++) {
        let row = unit * UNIT + r;
        if (row < at || row >= at + count) { continue; }
        let source = head * info[3] + info[5u + row - at];
        let to_row = head * info[4] + row;
        for (var w = 0u; w < ROW_WORDS; w++) {
            to_codes[to_row * ROW_WORDS + w] = codes[source * ROW_WORDS + w];
        }
        for (var s = 0u; s < SCALES; s++) {
            let from_half = source * SCALES + s;
            let bits = (scales[from_half / 2u] >> (16u * (from_half % 2u))) & 0xffffu;
            let to_half = to_row * SCALES + s;
            let shift = 16u * (to_half % 2u);
            let other = to_scales[to_half / 2u] & ~(0xffffu << shift);
            to_scales[to_half / 2u] = other | (bits << shift);
        }
    }
}
