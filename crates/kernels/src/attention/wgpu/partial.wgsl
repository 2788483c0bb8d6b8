// Attention of up to R query rows of one key-value head over a split of one page: the weighted sum
// of the values, the largest score and the sum of the weights, for merge.wgsl.
// Workgroup (x, y, z): split, block of rows, sequence and key-value head.
//
// LANES neighbouring invocations share a token: each decodes EIGHTS groups of eight of its channels and
// multiplies them with all rows, so that a packed word is read once and no unpacked value leaves the
// registers. Only scores and weights go through workgroup memory.
//
// Declared before this text: the sizes (R4: vectors of rows; CLUSTERS: tokens at a time; HALVES:
// vectors of channels of an invocation; TOGETHER: rows that the scratch holds at the end), split.wgsl,
// bindings 1 to 4 (codes and scales of keys and values), and for each side load, which fetches a packed group of eight, decode, and channel, where its values belong.
@group(0) @binding(0) var<storage, read_write> queries: array<vec4<f32>>;   // [HEADS, rows, D / 4]
@group(0) @binding(5) var<storage, read_write> sums: array<vec4<f32>>;      // [HEADS, parts, rows, D / 4]


var<workgroup> query: array<vec4<f32>, R * HALVES * LANES>;
var<workgroup> scratch: array<vec4<f32>, SCRATCH>;            // [U, R4, GROUP], at the end partial sums
var<workgroup> weights: array<vec4<f32>, CLUSTERS * (U + 1) * R4>;

// An invocation's groups of eight; lanes beyond the last one read it again, with queries of zero.
fn eight_of(lane: u32, o: u32) -> u32 { return min(lane + o * LANES, HEAD_DIM / 8u - 1u); }

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let job = job_of(group);
    let head = group.z;
    let first_row = group.y * R;
    let lane = local % LANES;
    let cluster = local / LANES;
    let own = lane % R;                      // the row whose softmax this invocation keeps
    let visible = reads(first_row + own, job.rows, job.steps);

    for (var i = local; i < R * HALVES * LANES; i += GROUP) {
        let row = first_row + i / (HALVES * LANES);
        let half = i / LANES % HALVES;
        let eight = i % LANES + half / 2u * LANES;
        var loaded = vec4<f32>(0.0);
        if (row < job.rows && eight < HEAD_DIM / 8u) {
            let at = (head * job.rows + row) * HEAD_DIM + key_channel(eight, half % 2u);
            loaded = queries[at / 4u] * job.scale;
        }
        query[i] = loaded;
    }
    // Tokens that no row of this block reads are skipped.
    var limit = 0u;
    for (var r = 0u; r < R; r++) { limit = max(limit, reads(first_row + r, job.rows, job.steps).y); }
    let begin = group.x * job.split;
    let end = min(min(begin + job.split, job.tokens), max(limit, job.first_token) - job.first_token);
    // The tokens of this page that the own row reads: a first one and a count.
    let own_first = max(visible.x, job.first_token) - job.first_token;
    let own_count = max(min(end, max(visible.y, job.first_token) - job.first_token), own_first) - own_first;

    // Pages hold whole steps of tokens, so loads behind the last token stay in the page, and are masked.
    let first = head * job.capacity;

    var largest = LOWEST;
    var total = 0.0;
    var weighted: array<vec4<f32>, R * HALVES>;
    for (var i = 0u; i < R * HALVES; i++) { weighted[i] = vec4<f32>(0.0); }
    workgroupBarrier();

    var keys: array<KeyRaw, U * EIGHTS>;
    for (var u = 0u; u < U; u++) {
        let row = first + begin + u * CLUSTERS + cluster;
        for (var o = 0u; o < EIGHTS; o++) { keys[u * EIGHTS + o] = key_load(row, eight_of(lane, o)); }
    }

    for (var start = begin; start < end; start += U * CLUSTERS) {
        var values: array<ValueRaw, U * EIGHTS>;
        for (var u = 0u; u < U; u++) {
            let row = first + start + u * CLUSTERS + cluster;
            for (var o = 0u; o < EIGHTS; o++) { values[u * EIGHTS + o] = value_load(row, eight_of(lane, o)); }
        }

        // What this invocation's channels add to the scores of U tokens.
        var score: array<f32, U * R>;
        for (var i = 0u; i < U * R; i++) { score[i] = 0.0; }
        for (var o = 0u; o < EIGHTS; o++) {
            var key: array<Eight, U>;
            for (var u = 0u; u < U; u++) { key[u] = key_decode(keys[u * EIGHTS + o]); }
            for (var r = 0u; r < R; r++) {
                let low = query[(r * HALVES + 2u * o) * LANES + lane];
                let high = query[(r * HALVES + 2u * o + 1u) * LANES + lane];
                for (var u = 0u; u < U; u++) {
                    var sum = score[u * R + r];
                    sum = fma(low.x, key[u].low.x, sum);
                    sum = fma(low.y, key[u].low.y, sum);
                    sum = fma(low.z, key[u].low.z, sum);
                    sum = fma(low.w, key[u].low.w, sum);
                    sum = fma(high.x, key[u].high.x, sum);
                    sum = fma(high.y, key[u].high.y, sum);
                    sum = fma(high.z, key[u].high.z, sum);
                    sum = fma(high.w, key[u].high.w, sum);
                    score[u * R + r] = sum;
                }
            }
        }
        for (var u = 0u; u < U; u++) {
            for (var q = 0u; q < R4; q++) {
                let at = u * R + 4u * q;
                scratch[(u * R4 + q) * GROUP + local] =
                    vec4<f32>(score[at], score[at + 1u], score[at + 2u], score[at + 3u]);
            }
        }
        // The next keys are loaded while these are computed with; after the last ones, the first again.
        let next = select(begin, start + U * CLUSTERS, start + U * CLUSTERS < end);
        for (var u = 0u; u < U; u++) {
            let row = first + next + u * CLUSTERS + cluster;
            for (var o = 0u; o < EIGHTS; o++) { keys[u * EIGHTS + o] = key_load(row, eight_of(lane, o)); }
        }
        workgroupBarrier();

        // The online softmax of one row and this cluster's tokens. Neighbours begin to add at different
        // places, so that there are no bank conflicts.
        var weight: array<f32, U>;
        var highest = largest;
        for (var u = 0u; u < U; u++) {
            let token = start + u * CLUSTERS + cluster;
            var sum = 0.0;
            for (var l = 0u; l < LANES; l++) {
                let other = (l + cluster + own / 4u * (LANES / 2u)) % LANES;
                sum += scratch[(u * R4 + own / 4u) * GROUP + cluster * LANES + other][own % 4u];
            }
            weight[u] = select(NOTHING, capped(sum, job.soft_cap), token - own_first < own_count);
            highest = max(highest, weight[u]);
        }
        let keep = exp(largest - highest);
        largest = highest;
        total *= keep;
        for (var u = 0u; u < U; u++) {
            weight[u] = exp(weight[u] - highest);
            total += weight[u];
        }
        if (lane < R) {
            for (var u = 0u; u < U; u++) {
                weights[(cluster * (U + 1u) + u) * R4 + own / 4u][own % 4u] = weight[u];
            }
            weights[(cluster * (U + 1u) + U) * R4 + own / 4u][own % 4u] = keep;
        }
        workgroupBarrier();

        // Weighted values.
        for (var q = 0u; q < R4; q++) {
            let kept = weights[(cluster * (U + 1u) + U) * R4 + q];
            if (any(kept != vec4<f32>(1.0))) {
                for (var i = 0u; i < 4u; i++) {
                    for (var h = 0u; h < HALVES; h++) { weighted[(4u * q + i) * HALVES + h] *= kept[i]; }
                }
            }
        }
        for (var u = 0u; u < U; u++) {
            for (var o = 0u; o < EIGHTS; o++) {
                let value = value_decode(values[u * EIGHTS + o]);
                for (var q = 0u; q < R4; q++) {
                    let weight = weights[(cluster * (U + 1u) + u) * R4 + q];
                    for (var i = 0u; i < 4u; i++) {
                        let at = (4u * q + i) * HALVES + 2u * o;
                        weighted[at] = fma(vec4<f32>(weight[i]), value.low, weighted[at]);
                        weighted[at + 1u] = fma(vec4<f32>(weight[i]), value.high, weighted[at + 1u]);
                    }
                }
            }
        }
    }

    // The clusters are merged: their maxima and sums of weights first.
    workgroupBarrier();
    if (lane < R) { scratch[cluster * R + own] = vec4<f32>(largest, total, 0.0, 0.0); }
    workgroupBarrier();
    var highest = LOWEST;
    for (var c = 0u; c < CLUSTERS; c++) { highest = max(highest, scratch[c * R + own].x); }
    if (lane < R) { weights[cluster * R4 + own / 4u][own % 4u] = exp(largest - highest); }
    if (local < R && first_row + local < job.rows) {
        var sum = 0.0;
        for (var c = 0u; c < CLUSTERS; c++) {
            let state = scratch[c * R + own];
            sum += exp(state.x - highest) * state.y;
        }
        sum = sum_of_weights(sum, own_first, own_count, begin);
        states[(head * job.parts + job.part) * job.rows + first_row + local] = vec2<f32>(highest, sum);
    }
    workgroupBarrier();
    for (var q = 0u; q < R4; q++) {
        let kept = weights[cluster * R4 + q];
        for (var i = 0u; i < 4u; i++) {
            for (var h = 0u; h < HALVES; h++) { weighted[(4u * q + i) * HALVES + h] *= kept[i]; }
        }
    }
    // Then their sums of values, as many rows at a time as the scratch holds.
    for (var first = 0u; first < R / TOGETHER; first++) {
        workgroupBarrier();
        for (var i = 0u; i < TOGETHER; i++) {
            for (var h = 0u; h < HALVES; h++) {
                scratch[(i * HALVES + h) * GROUP + local] = weighted[(first * TOGETHER + i) * HALVES + h];
            }
        }
        workgroupBarrier();
        for (var i = local; i < TOGETHER * HALVES * LANES; i += GROUP) {
            var sum = vec4<f32>(0.0);
            for (var c = 0u; c < CLUSTERS; c++) { sum += scratch[i / LANES * GROUP + c * LANES + i % LANES]; }
            let row = first_row + first * TOGETHER + i / (HALVES * LANES);
            let half = i / LANES % HALVES;
            let eight = i % LANES + half / 2u * LANES;
            if (row < job.rows && eight < HEAD_DIM / 8u) {
                let at = ((head * job.parts + job.part) * job.rows + row) * HEAD_DIM + value_channel(eight, half % 2u);
                sums[at / 4u] = sum;
            }
        }
    }
}
