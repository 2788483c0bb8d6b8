// Joins the parts of one query row: workgroup (row, sequence and key-value head).
@group(0) @binding(0) var<storage, read_write> sums: array<vec4<f32>>;    // [HEADS, parts, rows, D / 4]
@group(0) @binding(1) var<storage, read_write> states: array<vec2<f32>>;  // [HEADS, parts, rows]
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;  // [HEADS, rows, D / 4]
@group(0) @binding(3) var<storage, read_write> log_sums: array<f32>;      // [HEADS, rows]
@group(0) @binding(4) var<storage, read_write> info: array<u32>;

const NOTHING: f32 = -1e30;
const CHANNELS: u32 = HEAD_DIM / 4u;               // vectors of channels
const STRIPES: u32 = max(1u, GROUP / CHANNELS);    // invocations that share one

var<workgroup> reduced: array<f32, GROUP>;
var<workgroup> joined: array<vec4<f32>, STRIPES * CHANNELS>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let parts = info[0];
    let rows = info[1];
    let row = group.x;
    let first = group.y * parts * rows + row;

    // The largest score and the sum of weights: every invocation has some of the parts.
    var highest = NOTHING;
    for (var p = local; p < parts; p += GROUP) { highest = max(highest, states[first + p * rows].x); }
    reduced[local] = highest;
    workgroupBarrier();
    for (var i = 0u; i < GROUP; i++) { highest = max(highest, reduced[i]); }
    workgroupBarrier();
    var part_sum = 0.0;
    for (var p = local; p < parts; p += GROUP) {
        let state = states[first + p * rows];
        part_sum += exp(state.x - highest) * state.y;
    }
    reduced[local] = part_sum;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < GROUP; i++) { sum += reduced[i]; }
    let nothing = sum == 0.0;

    for (var i = local; i < STRIPES * CHANNELS; i += GROUP) {
        var total = vec4<f32>(0.0);
        for (var p = i / CHANNELS; p < parts; p += STRIPES) {
            let part = first + p * rows;
            total += exp(states[part].x - highest) * sums[part * CHANNELS + i % CHANNELS];
        }
        joined[i] = total;
    }
    workgroupBarrier();
    for (var channel = local; channel < CHANNELS; channel += GROUP) {
        var total = vec4<f32>(0.0);
        for (var s = 0u; s < STRIPES; s++) { total += joined[s * CHANNELS + channel]; }
        let at = (group.y * rows + row) * CHANNELS + channel;
        output[at] = select(total / sum, vec4<f32>(0.0), nothing);
    }
    if (local == 0u) {
        log_sums[group.y * rows + row] = select(highest + log(sum), NOTHING, nothing);
    }
}
