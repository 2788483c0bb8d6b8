// Attention of up to R query rows of one key-value head over a stretch of one page: the weighted sum
// of the values, the largest score and the sum of the weights, for merge.wgsl.
// Workgroup (x, y, z): stretch, block of rows, sequence and key-value head.
@group(0) @binding(0) var<storage, read_write> queries: array<f32>;       // [HEADS, rows, D]
@group(0) @binding(1) var<storage, read_write> key_codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> key_scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> value_codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> value_scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;          // [HEADS, parts, rows, D]
@group(0) @binding(6) var<storage, read_write> states: array<f32>;        // [HEADS, parts, rows, 2]
@group(0) @binding(7) var<storage, read_write> info: array<u32>;

const NOTHING: f32 = -1e30;
const PER_ROW: u32 = GROUP / R;                     // invocations that reduce one row
const STRIPES: u32 = max(GROUP / HEAD_DIM, 1u);     // invocations that share one channel
const DIMS: u32 = (HEAD_DIM + GROUP - 1u) / GROUP;  // channels of one invocation

var<workgroup> query: array<f32, R * HEAD_DIM>;
var<workgroup> weights: array<f32, SCRATCH>;        // [R, TILE], and at the end partial sums
var<workgroup> values: array<f32, VALUE_TILE * HEAD_DIM>;
var<workgroup> reduced: array<f32, GROUP>;
var<workgroup> row_max: array<f32, R>;
var<workgroup> row_sum: array<f32, R>;
var<workgroup> row_keep: array<f32, R>;

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

    for (var i = local; i < R * HEAD_DIM; i += GROUP) {
        let row = first_row + i / HEAD_DIM;
        query[i] = 0.0;
        if (row < rows) { query[i] = queries[(head * rows + row) * HEAD_DIM + i % HEAD_DIM] * scale; }
    }
    if (local < R) {
        row_max[local] = NOTHING;
        row_sum[local] = 0.0;
    }
    var weighted: array<f32, R * DIMS>;
    for (var i = 0u; i < R * DIMS; i++) { weighted[i] = 0.0; }
    workgroupBarrier();

    let begin = group.x * stretch;
    let end = min(begin + stretch, tokens);
    for (var start = begin; start < end; start += TILE) {
        let held = min(TILE, end - start);

        // Scores: an invocation decodes the key of a token once for all rows.
        for (var t = local; t < TILE; t += GROUP) {
            var score: array<f32, R>;
            for (var r = 0u; r < R; r++) { score[r] = 0.0; }
            if (t < held) {
                for (var block = 0u; block < KEY_BLOCKS; block++) {
                    let source = (head * CAPACITY + start + t) * KEY_BLOCKS + block;
                    var codes: array<u32, key_WORDS>;
                    for (var w = 0u; w < key_WORDS; w++) { codes[w] = key_codes[source * key_WORDS + w]; }
                    var scales: array<u32, 2>;
                    for (var s = 0u; s < KEY_SCALES; s++) {
                        let half = source * KEY_SCALES + s;
                        scales[s] = (key_scales[half / 2u] >> (16u * (half % 2u))) & 0xffffu;
                    }
                    var x: array<f32, key_VALUES>;
                    key_decode_block(&codes, &scales, &x);
                    for (var r = 0u; r < R; r++) {
                        let at = r * HEAD_DIM + block * key_VALUES;
                        for (var i = 0u; i < key_VALUES; i++) { score[r] += query[at + i] * x[i]; }
                    }
                }
            }
            let token = first_token + start + t;
            for (var r = 0u; r < R; r++) {
                let row = first_row + r;
                let range = 8u + 2u * (row % steps);
                let seen = t < held && row < rows && token >= info[range] && token < info[range + 1u];
                weights[r * TILE + t] = select(NOTHING, score[r], seen);
            }
        }
        workgroupBarrier();

        // The online softmax: several invocations to a row.
        let r = local / PER_ROW;
        let lane = local % PER_ROW;
        if (r < R) {
            var largest = NOTHING;
            for (var t = lane; t < TILE; t += PER_ROW) { largest = max(largest, weights[r * TILE + t]); }
            reduced[local] = largest;
        }
        workgroupBarrier();
        if (r < R && lane == 0u) {
            var largest = row_max[r];
            for (var i = 0u; i < PER_ROW; i++) { largest = max(largest, reduced[local + i]); }
            row_keep[r] = exp(row_max[r] - largest);
            row_max[r] = largest;
        }
        workgroupBarrier();
        if (r < R) {
            var sum = 0.0;
            for (var t = lane; t < TILE; t += PER_ROW) {
                let score = weights[r * TILE + t];
                let weight = select(exp(score - row_max[r]), 0.0, score <= NOTHING);
                weights[r * TILE + t] = weight;
                sum += weight;
            }
            reduced[local] = sum;
        }
        workgroupBarrier();
        if (r < R && lane == 0u) {
            var sum = row_sum[r] * row_keep[r];
            for (var i = 0u; i < PER_ROW; i++) { sum += reduced[local + i]; }
            row_sum[r] = sum;
        }
        for (var i = 0u; i < R * DIMS; i++) { weighted[i] *= row_keep[i / DIMS]; }

        // Weighted values: some tokens are decoded for all, then an invocation has a channel.
        for (var v = 0u; v < held; v += VALUE_TILE) {
            for (var b = local; b < VALUE_TILE * VALUE_BLOCKS; b += GROUP) {
                let t = v + b / VALUE_BLOCKS;
                let block = b % VALUE_BLOCKS;
                var x: array<f32, value_VALUES>;
                if (t < held) {
                    let source = (head * CAPACITY + start + t) * VALUE_BLOCKS + block;
                    var codes: array<u32, value_WORDS>;
                    for (var w = 0u; w < value_WORDS; w++) { codes[w] = value_codes[source * value_WORDS + w]; }
                    var scales: array<u32, 2>;
                    for (var s = 0u; s < VALUE_SCALES; s++) {
                        let half = source * VALUE_SCALES + s;
                        scales[s] = (value_scales[half / 2u] >> (16u * (half % 2u))) & 0xffffu;
                    }
                    value_decode_block(&codes, &scales, &x);
                }
                for (var i = 0u; i < value_VALUES; i++) {
                    values[(b / VALUE_BLOCKS) * HEAD_DIM + block * value_VALUES + i] = x[i];
                }
            }
            workgroupBarrier();
            let stripe = local / HEAD_DIM;
            if (stripe < STRIPES) {
                for (var k = 0u; k < DIMS; k++) {
                    let channel = local % HEAD_DIM + k * GROUP;
                    if (channel < HEAD_DIM) {
                        for (var t = stripe; t < VALUE_TILE; t += STRIPES) {
                            let value = values[t * HEAD_DIM + channel];
                            for (var r = 0u; r < R; r++) {
                                weighted[r * DIMS + k] += weights[r * TILE + v + t] * value;
                            }
                        }
                    }
                }
            }
            workgroupBarrier();
        }
    }

    // Stripes are added up in the scratch of the weights.
    let stripe = local / HEAD_DIM;
    if (stripe < STRIPES) {
        for (var k = 0u; k < DIMS; k++) {
            let channel = local % HEAD_DIM + k * GROUP;
            if (channel < HEAD_DIM) {
                for (var r = 0u; r < R; r++) {
                    weights[(stripe * R + r) * HEAD_DIM + channel] = weighted[r * DIMS + k];
                }
            }
        }
    }
    workgroupBarrier();
    for (var i = local; i < R * HEAD_DIM; i += GROUP) {
        let row = first_row + i / HEAD_DIM;
        if (row < rows) {
            var sum = 0.0;
            for (var s = 0u; s < STRIPES; s++) { sum += weights[s * R * HEAD_DIM + i]; }
            sums[((head * parts + part) * rows + row) * HEAD_DIM + i % HEAD_DIM] = sum;
        }
    }
    if (local < R && first_row + local < rows) {
        let at = 2u * ((head * parts + part) * rows + first_row + local);
        states[at] = row_max[local];
        states[at + 1u] = row_sum[local];
    }
}
