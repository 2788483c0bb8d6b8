// Attention of up to R query rows of one key-value head over a split of one page, for prompts: what
// partial.wgsl answers, where many rows read what is decoded.
// Workgroup (x, y, z): split, block of rows, sequence and key-value head.
//
// CHUNK tokens at a time are decoded, each once for all rows, into workgroup memory. Of the scores an
// invocation has four rows by SHARE tokens, of the sums eight rows by WIDE vectors of channels: so each
// value that it loads is multiplied several times. Two invocations share the softmax of a row.
//
// Declared before this text: the sizes (D4: vectors of a row; EIGHTS: groups of eight
// channels of an invocation, LAST: the last of all), split.wgsl, bindings 1 to 4 and, for each side, load, decode and channel.
@group(0) @binding(0) var<storage, read_write> queries: array<vec4<f32>>;   // [HEADS, rows, D4]
@group(0) @binding(5) var<storage, read_write> sums: array<vec4<f32>>;      // [HEADS, parts, rows, D4]

// Vectors of a row are swizzled, so that neighbours that read one column of several rows have no bank
// conflicts.
var<workgroup> tile: array<vec4<f32>, CHUNK * D4>;          // [CHUNK, D4]: keys, then values
var<workgroup> weights: array<vec4<f32>, CHUNK * R / 4>;    // [CHUNK, R / 4]: scores, then weights
var<workgroup> keeps: array<vec4<f32>, R / 4>;
var<workgroup> bounds: array<atomic<u32>, 2>;               // the tokens that any row reads

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let job = job_of(group);
    let head = group.z;
    // The last rows read the most tokens of a causal prompt, and begin first.
    let first_row = (groups.y - 1u - group.y) * R;
    let first = head * job.capacity;

    // What this invocation has: of the scores, of the softmax, and of the sums.
    let score_token = local % 8u;
    let score_rows = local / 8u;
    let own = local % R;
    let half = local / R;
    let sum_rows = local / 32u % 2u * 8u + local % 32u / 8u * 2u;
    let sum_channel = local / 64u * 8u + local % 8u;

    if (local < 2u) { atomicStore(&bounds[local], select(0u, 0xffffffffu, local == 0u)); }
    workgroupBarrier();
    let visible = reads(first_row + own, job.rows, job.steps);
    if (visible.y > visible.x) {
        atomicMin(&bounds[0], visible.x);
        atomicMax(&bounds[1], visible.y);
    }
    workgroupBarrier();
    // Tokens that no row of this block reads are skipped.
    let lowest = max(min(atomicLoad(&bounds[0]), job.first_token + job.tokens), job.first_token) - job.first_token;
    let limit = max(atomicLoad(&bounds[1]), job.first_token) - job.first_token;
    let begin = max(group.x * job.split, lowest / CHUNK * CHUNK);
    let end = min(min(group.x * job.split + job.split, job.tokens), limit);
    let own_first = max(visible.x, job.first_token) - job.first_token;
    let own_count = max(min(end, max(visible.y, job.first_token) - job.first_token), own_first) - own_first;

    // Rows beyond the last read the last one, and are masked.
    var query: array<u32, 4>;
    for (var r = 0u; r < 4u; r++) {
        query[r] = (head * job.rows + min(first_row + 4u * score_rows + r, job.rows - 1u)) * D4;
    }
    var largest = LOWEST;
    var total = 0.0;
    var sum: array<vec4<f32>, 8 * WIDE>;
    for (var i = 0u; i < 8u * WIDE; i++) { sum[i] = vec4<f32>(0.0); }

    var keys: array<KeyRaw, EIGHTS>;
    for (var o = 0u; o < EIGHTS; o++) {
        let i = min(o * GROUP + local, LAST);
        keys[o] = key_load(first + min(begin, job.tokens - 1u) / CHUNK * CHUNK + i / (D4 / 2u), i % (D4 / 2u));
    }
    // Pages hold whole chunks of tokens, so loads behind the last token stay in the page, and are masked.
    for (var start = begin; start < end; start += CHUNK) {
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            let token = i / (D4 / 2u);
            let eight = i % (D4 / 2u);
            let key = key_decode(keys[o]);
            tile[token * D4 + ((key_channel(eight, 0u) / 4u) ^ (token % 8u))] = key.low;
            tile[token * D4 + ((key_channel(eight, 1u) / 4u) ^ (token % 8u))] = key.high;
        }
        var values: array<ValueRaw, EIGHTS>;
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            values[o] = value_load(first + start + i / (D4 / 2u), i % (D4 / 2u));
        }
        workgroupBarrier();

        var score: array<vec4<f32>, SHARE>;
        for (var j = 0u; j < SHARE; j++) { score[j] = vec4<f32>(0.0); }
        for (var c = 0u; c < D4; c += 2u) {
            for (var e = 0u; e < 2u; e++) {
                let q0 = queries[query[0] + c + e];
                let q1 = queries[query[1] + c + e];
                let q2 = queries[query[2] + c + e];
                let q3 = queries[query[3] + c + e];
                for (var j = 0u; j < SHARE; j++) {
                    let key = tile[(score_token + 8u * j) * D4 + ((c + e) ^ score_token)];
                    score[j] = fma(vec4<f32>(q0.x, q1.x, q2.x, q3.x), vec4<f32>(key.x), score[j]);
                    score[j] = fma(vec4<f32>(q0.y, q1.y, q2.y, q3.y), vec4<f32>(key.y), score[j]);
                    score[j] = fma(vec4<f32>(q0.z, q1.z, q2.z, q3.z), vec4<f32>(key.z), score[j]);
                    score[j] = fma(vec4<f32>(q0.w, q1.w, q2.w, q3.w), vec4<f32>(key.w), score[j]);
                }
            }
        }
        for (var j = 0u; j < SHARE; j++) {
            var scaled = score[j] * job.scale;
            for (var i = 0u; i < 4u; i++) { scaled[i] = capped(scaled[i], job.soft_cap); }
            weights[(score_token + 8u * j) * (R / 4u) + (score_rows ^ score_token)] = scaled;
        }
        // The next keys are loaded while these are computed with; after the last ones, the first again.
        let next = select(begin, start + CHUNK, start + CHUNK < end);
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            keys[o] = key_load(first + next + i / (D4 / 2u), i % (D4 / 2u));
        }
        workgroupBarrier();

        // The online softmax: both invocations of a row find the largest score, and each computes half of
        // the weights.
        var raw: array<f32, CHUNK / 2>;
        var highest = largest;
        for (var t = 0u; t < CHUNK / 2; t++) {
            let token = half * (CHUNK / 2u) + t;
            let score = weights[token * (R / 4u) + ((own / 4u) ^ (token % 8u))][own % 4u];
            raw[t] = select(NOTHING, score, start + token - own_first < own_count);
            let other = (1u - half) * (CHUNK / 2u) + t;
            let second = weights[other * (R / 4u) + ((own / 4u) ^ (other % 8u))][own % 4u];
            highest = max(highest, max(raw[t], select(NOTHING, second, start + other - own_first < own_count)));
        }
        let keep = exp(largest - highest);
        largest = highest;
        total *= keep;
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            let value = value_decode(values[o]);
            tile[i / (D4 / 2u) * D4 + value_channel(i % (D4 / 2u), 0u) / 4u] = value.low;
            tile[i / (D4 / 2u) * D4 + value_channel(i % (D4 / 2u), 1u) / 4u] = value.high;
        }
        workgroupBarrier();
        for (var t = 0u; t < CHUNK / 2; t++) {
            let token = half * (CHUNK / 2u) + t;
            let weight = exp(raw[t] - highest);
            weights[token * (R / 4u) + ((own / 4u) ^ (token % 8u))][own % 4u] = weight;
            total += weight;
        }
        if (half == 0u) { keeps[own / 4u][own % 4u] = keep; }
        workgroupBarrier();

        // Weighted values.
        for (var q = 0u; q < 2u; q++) {
            let kept = keeps[sum_rows + q];
            if (any(kept != vec4<f32>(1.0))) {
                for (var i = 0u; i < 4u; i++) {
                    for (var w = 0u; w < WIDE; w++) { sum[(4u * q + i) * WIDE + w] *= kept[i]; }
                }
            }
        }
        for (var t = 0u; t < CHUNK; t += 8u) {
            for (var e = 0u; e < 8u; e++) {
                var value: array<vec4<f32>, WIDE>;
                for (var w = 0u; w < WIDE; w++) { value[w] = tile[(t + e) * D4 + sum_channel + 16u * w]; }
                for (var q = 0u; q < 2u; q++) {
                    let weight = weights[(t + e) * (R / 4u) + ((sum_rows + q) ^ e)];
                    for (var i = 0u; i < 4u; i++) {
                        for (var w = 0u; w < WIDE; w++) {
                            let at = (4u * q + i) * WIDE + w;
                            sum[at] = fma(vec4<f32>(weight[i]), value[w], sum[at]);
                        }
                    }
                }
            }
        }
        workgroupBarrier();
    }

    // Both halves of a row have its largest score, and some of its weights each.
    if (half == 1u) { keeps[own / 4u][own % 4u] = total; }
    workgroupBarrier();
    if (half == 0u && first_row + own < job.rows) {
        let both = sum_of_weights(total + keeps[own / 4u][own % 4u], own_first, own_count, begin);
        states[(head * job.parts + job.part) * job.rows + first_row + own] = vec2<f32>(largest, both);
    }
    for (var i = 0u; i < 8u; i++) {
        let row = first_row + 4u * sum_rows + i;
        if (row < job.rows) {
            for (var w = 0u; w < WIDE; w++) {
                sums[((head * job.parts + job.part) * job.rows + row) * D4 + sum_channel + 16u * w] = sum[i * WIDE + w];
            }
        }
    }
}
