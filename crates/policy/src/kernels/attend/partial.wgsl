// Attention of up to R query rows of one key-value head over a stretch of one page: the weighted sum
// of the values, the largest score and the sum of the weights, for merge.wgsl.
// Workgroup (x, y, z): stretch, block of rows, sequence and key-value head.
//
// What stands before this text: the sizes, bindings 1 to 4 (codes and scales of keys and values), and
// key_read and value_read, which decode some neighbouring values of a row.
@group(0) @binding(0) var<storage, read_write> queries: array<f32>;       // [HEADS, rows, D]
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;          // [HEADS, parts, rows, D]
@group(0) @binding(6) var<storage, read_write> states: array<f32>;        // [HEADS, parts, rows, 2]
@group(0) @binding(7) var<storage, read_write> info: array<u32>;

const NOTHING: f32 = -1e30;
const R4: u32 = R / 4;                       // vectors of rows
const PER_ROW: u32 = GROUP / R;              // invocations that reduce one row
const CHANNELS: u32 = HEAD_DIM / 4;          // vectors of channels
const STRIPES: u32 = GROUP / CHANNELS;       // invocations that share a vector of channels

var<workgroup> query: array<vec4<f32>, R * CHANNELS>;
var<workgroup> weights: array<vec4<f32>, TILE * R4>;   // [TILE, R], and at the end partial sums
var<workgroup> values: array<vec4<f32>, VALUE_TILE * CHANNELS * 9 / 8>;
var<workgroup> reduced: array<f32, GROUP>;
var<workgroup> row_max: array<f32, R>;
var<workgroup> row_sum: array<f32, R>;
var<workgroup> row_keep: array<f32, R>;

// Where a vector of decoded values stands: behind eight of them one place is left free, so that
// invocations that write stretches of eight do not meet in one bank.
fn place(i: u32) -> u32 { return i + (i >> 3u); }

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_token = info[0];
    let tokens = info[1];
    let stretch = info[2];
    let part = info[3] + group.x;
    let parts = info[4];
    let scale = bitcast<f32>(info[5]);
    let steps = info[6];
    let rows = info[7];
    let head = group.z;
    let first_row = group.y * R;

    for (var i = local; i < R * CHANNELS; i += GROUP) {
        let row = first_row + 4u * i / HEAD_DIM;
        var loaded = vec4<f32>(0.0);
        if (row < rows) {
            let at = (head * rows + row) * HEAD_DIM + 4u * i % HEAD_DIM;
            loaded = vec4<f32>(queries[at], queries[at + 1u], queries[at + 2u], queries[at + 3u]) * scale;
        }
        query[i] = loaded;
    }
    if (local < R) {
        row_max[local] = NOTHING;
        row_sum[local] = 0.0;
    }
    var weighted: array<vec4<f32>, R>;
    for (var r = 0u; r < R; r++) { weighted[r] = vec4<f32>(0.0); }
    workgroupBarrier();

    // Tokens that no row of this block reads are not looked at.
    var limit = 0u;
    for (var r = 0u; r < R; r++) {
        if (first_row + r < rows) { limit = max(limit, info[8u + 2u * ((first_row + r) % steps) + 1u]); }
    }
    let begin = group.x * stretch;
    let end = min(min(begin + stretch, tokens), max(limit, first_token) - first_token);
    for (var start = begin; start < end; start += TILE) {
        let held = min(TILE, end - start);

        // Scores: an invocation decodes the key of a token once for all rows.
        for (var t = local; t < TILE; t += GROUP) {
            var score: array<f32, R>;
            for (var r = 0u; r < R; r++) { score[r] = 0.0; }
            if (t < held) {
                let row = head * CAPACITY + start + t;
                for (var at = 0u; at < HEAD_DIM; at += KEY_READ) {
                    var x: array<f32, KEY_READ>;
                    key_read(row, at, &x);
                    for (var r = 0u; r < R; r++) {
                        for (var i = 0u; i < KEY_READ / 4; i++) {
                            let key = vec4<f32>(x[4u * i], x[4u * i + 1u], x[4u * i + 2u], x[4u * i + 3u]);
                            score[r] += dot(query[(r * HEAD_DIM + at) / 4u + i], key);
                        }
                    }
                }
            }
            let token = first_token + start + t;
            for (var r = 0u; r < R; r++) {
                let row = first_row + r;
                let range = 8u + 2u * (row % steps);
                let seen = t < held && row < rows && token >= info[range] && token < info[range + 1u];
                score[r] = select(NOTHING, score[r], seen);
            }
            for (var q = 0u; q < R4; q++) {
                weights[t * R4 + q] =
                    vec4<f32>(score[4u * q], score[4u * q + 1u], score[4u * q + 2u], score[4u * q + 3u]);
            }
        }
        workgroupBarrier();

        // The online softmax: several invocations to a row.
        // Rows are the faster index, as in the memory of the weights, so that banks do not meet.
        let r = local % R;
        let lane = local / R;
        var peak = NOTHING;
        for (var t = lane; t < TILE; t += PER_ROW) { peak = max(peak, weights[t * R4 + r / 4u][r % 4u]); }
        reduced[local] = peak;
        workgroupBarrier();
        if (lane == 0u) {
            var largest = row_max[r];
            for (var i = 0u; i < PER_ROW; i++) { largest = max(largest, reduced[i * R + r]); }
            row_keep[r] = exp(row_max[r] - largest);
            row_max[r] = largest;
        }
        workgroupBarrier();
        var part_sum = 0.0;
        for (var t = lane; t < TILE; t += PER_ROW) {
            let score = weights[t * R4 + r / 4u][r % 4u];
            let weight = select(exp(score - row_max[r]), 0.0, score <= NOTHING);
            weights[t * R4 + r / 4u][r % 4u] = weight;
            part_sum += weight;
        }
        reduced[local] = part_sum;
        workgroupBarrier();
        if (lane == 0u) {
            var sum = row_sum[r] * row_keep[r];
            for (var i = 0u; i < PER_ROW; i++) { sum += reduced[i * R + r]; }
            row_sum[r] = sum;
        }
        for (var r = 0u; r < R; r++) { weighted[r] *= row_keep[r]; }

        // Weighted values: some tokens are decoded for all, then an invocation has a channel.
        for (var v = 0u; v < held; v += VALUE_TILE) {
            for (var b = local; b < VALUE_TILE * HEAD_DIM / VALUE_READ; b += GROUP) {
                let t = v + b * VALUE_READ / HEAD_DIM;
                var x: array<f32, VALUE_READ>;
                if (t < held) { value_read(head * CAPACITY + start + t, b * VALUE_READ % HEAD_DIM, &x); }
                for (var i = 0u; i < VALUE_READ / 4; i++) {
                    values[place(b * VALUE_READ / 4u + i)] =
                        vec4<f32>(x[4u * i], x[4u * i + 1u], x[4u * i + 2u], x[4u * i + 3u]);
                }
            }
            workgroupBarrier();
            let stripe = local / CHANNELS;
            if (stripe < STRIPES) {
                for (var t = stripe; t < VALUE_TILE; t += STRIPES) {
                    let value = values[place(t * CHANNELS + local % CHANNELS)];
                    for (var q = 0u; q < R4; q++) {
                        let weight = weights[(v + t) * R4 + q];
                        for (var i = 0u; i < 4u; i++) { weighted[4u * q + i] += weight[i] * value; }
                    }
                }
            }
            workgroupBarrier();
        }
    }

    // Stripes are added up in the scratch of the weights, some rows at a time.
    for (var q = 0u; q < 4u; q++) {
        for (var i = 0u; i < R4; i++) { weights[i * GROUP + local] = weighted[q * R4 + i]; }
        workgroupBarrier();
        for (var i = local; i < R4 * CHANNELS; i += GROUP) {
            let row = first_row + q * R4 + i / CHANNELS;
            if (row < rows) {
                var sum = vec4<f32>(0.0);
                for (var s = 0u; s < STRIPES; s++) {
                    sum += weights[i / CHANNELS * GROUP + s * CHANNELS + i % CHANNELS];
                }
                let at = ((head * parts + part) * rows + row) * HEAD_DIM + 4u * (i % CHANNELS);
                sums[at] = sum.x;
                sums[at + 1u] = sum.y;
                sums[at + 2u] = sum.z;
                sums[at + 3u] = sum.w;
            }
        }
        workgroupBarrier();
    }
    if (local < R && first_row + local < rows) {
        let at = 2u * ((head * parts + part) * rows + first_row + local);
        states[at] = row_max[local];
        states[at + 1u] = row_sum[local];
    }
}
