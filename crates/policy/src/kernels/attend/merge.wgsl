// Joins the parts of one query row: workgroup (row, sequence and key-value head).
@group(0) @binding(0) var<storage, read_write> sums: array<f32>;      // [HEADS, parts, rows, D]
@group(0) @binding(1) var<storage, read_write> states: array<f32>;    // [HEADS, parts, rows, 2]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;    // [HEADS, rows, D]
@group(0) @binding(3) var<storage, read_write> log_sums: array<f32>;  // [HEADS, rows]
@group(0) @binding(4) var<storage, read_write> info: array<u32>;

const NOTHING: f32 = -1e30;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let parts = info[0];
    let rows = info[1];
    let row = group.x;
    let head = group.y;
    var largest = NOTHING;
    for (var p = 0u; p < parts; p++) {
        largest = max(largest, states[2u * ((head * parts + p) * rows + row)]);
    }
    var sum = 0.0;
    for (var p = 0u; p < parts; p++) {
        let at = 2u * ((head * parts + p) * rows + row);
        sum += exp(states[at] - largest) * states[at + 1u];
    }
    let nothing = largest <= NOTHING || sum == 0.0;
    for (var channel = local; channel < HEAD_DIM; channel += GROUP) {
        var total = 0.0;
        for (var p = 0u; p < parts; p++) {
            let part = (head * parts + p) * rows + row;
            total += exp(states[2u * part] - largest) * sums[part * HEAD_DIM + channel];
        }
        output[(head * rows + row) * HEAD_DIM + channel] = select(total / sum, 0.0, nothing);
    }
    if (local == 0u) {
        log_sums[head * rows + row] = select(largest + log(sum), NOTHING, nothing);
    }
}
