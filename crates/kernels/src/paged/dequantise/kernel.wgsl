// Unpacks rows of a page from row info[1] on to [B·Hkv, rows, D]. One invocation unpacks one block.
@group(0) @binding(0) var<storage, read_write> page_codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> page_scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> info: array<u32>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tokens = info[0];
    let id = (group.y * groups.x + group.x) * GROUP + local;
    let block = id % BLOCKS;
    let token = (id / BLOCKS) % tokens;
    let head = id / BLOCKS / tokens;
    if (head >= HEADS) { return; }
    let source = ((head * info[2] + info[1] + token) * BLOCKS + block);
    var codes: array<u32, WORDS>;
    for (var w = 0u; w < WORDS; w++) { codes[w] = page_codes[source * WORDS + w]; }
    var scales: array<u32, SCALE_SLOTS>;
    for (var s = 0u; s < BLOCK_SCALES; s++) {
        let half = source * BLOCK_SCALES + s;
        scales[s] = (page_scales[half / 2u] >> (16u * (half % 2u))) & 0xffffu;
    }
    var x: array<f32, VALUES>;
    decode_block(&codes, &scales, &x);
    let row = (head * tokens + token) * HEAD_DIM + block * VALUES;
    for (var i = 0u; i < VALUES; i++) { rows[row + i] = x[i]; }
}
