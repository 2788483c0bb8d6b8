// Attention of up to ROWS query rows of one key-value head over a split of one page, on a GPU's matrix
// units: what partial.wgsl answers, with f16 products and f32 sums.
// Workgroup (x, y, z): split, block of rows, sequence and key-value head.
//
// CHUNK tokens at a time are decoded, each once for all rows, into f16 in workgroup memory. SUBGROUPS subgroups
// share the T by T tiles of scores and of sums; each keeps its tiles of the queries and of the sums in
// registers. SHARERS neighbouring invocations share the softmax of a row.
//
// Declared before this text: sizes (R: rows, padded to whole tiles; ROW, WEIGHT_ROW: vectors of a row of
// the tile and of the weights; SCORE_ROW: scores of a row; SCORES, HALVES: sizes of the buffers; EIGHTS: groups of eight
// channels of an invocation, LAST: the last of all; SHARE: tokens of a sharer; OWN: tiles of sums of a subgroup), the types Left, Right and Sum,
// split.wgsl, bindings 1 to 4 and, for each side, load, halves and channel_at.
@group(0) @binding(0) var<storage, read_write> queries: array<f32>;         // [HEADS, rows, D]
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;            // [HEADS, parts, rows, D]

const LOG_SHIFT: f32 = 6.0;                       // weights are e^6 times as large, so that f16 holds small ones,
const SLACK: f32 = 4.0;                      // and may grow by e^4 before the sums are rescaled

// One variable that begins with vectors of f32, so that every matrix begins at a multiple of 16 bytes.
struct Work {
    keeps: array<vec4<f32>, R / 4>,
    scores: array<f32, SCORES>,                    // in between and at the end, sums
    halves: array<vec4<f16>, HALVES>,              // at first queries, then keys or values, and weights
    limits: array<u32, SUBGROUPS>,                     // the tokens that a subgroup's rows read end here
    raised: u32,                                   // whether a row's largest score has grown
}
var<workgroup> work: Work;

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let job = job_of(group);
    let head = group.z;
    let first_row = group.y * ROWS;
    let begin = group.x * job.split;
    let first = head * job.capacity;

    var keys: array<KeyRaw, EIGHTS>;
    for (var o = 0u; o < EIGHTS; o++) {
        let i = min(o * GROUP + local, LAST);
        keys[o] = key_load(first + begin + i / (HEAD_DIM / 8u), i % (HEAD_DIM / 8u));
    }
    if (local == 0u) { work.raised = 0u; }
    for (var i = local; i < R * HEAD_DIM; i += GROUP) {
        let row = i / HEAD_DIM;
        let at = i % HEAD_DIM;
        var loaded = 0.0;
        if (row < ROWS && first_row + row < job.rows) {
            loaded = queries[(head * job.rows + first_row + row) * HEAD_DIM + key_channel_at(at / 8u, at % 8u)];
        }
        work.halves[row * ROW + at / 4u][at % 4u] = f16(loaded * job.scale);
    }
    // Tokens that no row of this block reads are skipped. The tokens of this page that this
    // invocation's row reads: a first one and a count.
    let share = lane % SHARERS;
    let own_row = (subgroup * LANES + lane) / SHARERS;
    let visible = select(vec2<u32>(0u, 0u), reads(first_row + own_row, job.rows, job.steps), own_row < ROWS);
    var limit = visible.y;
    for (var bit = 0u; bit < LANE_BITS; bit++) { limit = max(limit, subgroupShuffleXor(limit, 1u << bit)); }
    if (lane == 0u) { work.limits[subgroup] = limit; }
    workgroupBarrier();
    for (var t = 0u; t < SUBGROUPS; t++) { limit = max(limit, work.limits[t]); }
    let end = min(min(begin + job.split, job.tokens), max(limit, job.first_token) - job.first_token);
    let own_first = max(visible.x, job.first_token) - job.first_token;
    let own_count = max(min(end, max(visible.y, job.first_token) - job.first_token), own_first) - own_first;
    var largest = LOWEST;
    var total = 0.0;

    // The tiles of this subgroup: one of scores, OWN of sums.
    let score_tile = min(subgroup, R / T * CHUNK_TILES - 1u);
    let score_row = score_tile / CHUNK_TILES * T;
    let score_token = score_tile % CHUNK_TILES * T;
    var query: array<Left, HEAD_TILES>;
    for (var k = 0u; k < HEAD_TILES; k++) { query[k] = coopLoadT<Left>(&work.halves[score_row * ROW + k * T / 4u], ROW); }
    var sum: array<Sum, OWN>;
    workgroupBarrier();

    // Pages hold whole chunks of tokens, so loads behind the last token stay in the page, and are masked.
    for (var start = begin; start < end; start += CHUNK) {
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            let at = i / (HEAD_DIM / 8u) * ROW + 2u * (i % (HEAD_DIM / 8u));
            let halves = key_halves(keys[o]);
            work.halves[at] = halves.low;
            work.halves[at + 1u] = halves.high;
        }
        var values: array<ValueRaw, EIGHTS>;
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            values[o] = value_load(first + start + i / (HEAD_DIM / 8u), i % (HEAD_DIM / 8u));
        }
        workgroupBarrier();
        var score = Sum();
        for (var k = 0u; k < HEAD_TILES; k++) {
            let right = coopLoad<Right>(&work.halves[score_token * ROW + k * T / 4u], ROW);
            score = coopMultiplyAdd(query[k], right, score);
        }
        coopStoreT(score, &work.scores[score_row * SCORE_ROW + score_token], SCORE_ROW);
        // The next keys are loaded while these are computed with; after the last ones, the first again.
        let next = select(begin, start + CHUNK, start + CHUNK < end);
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            keys[o] = key_load(first + next + i / (HEAD_DIM / 8u), i % (HEAD_DIM / 8u));
        }
        workgroupBarrier();

        // The online softmax. Sums are rescaled only where a score exceeds the largest one by SLACK.
        var scores: array<f32, SHARE>;
        var highest = NOTHING;
        for (var p = 0u; p < SHARE; p++) {
            let token = p * SHARERS + share;
            let score = capped(work.scores[own_row * SCORE_ROW + token], job.soft_cap);
            scores[p] = select(NOTHING, score, start + token - own_first < own_count);
            highest = max(highest, scores[p]);
        }
        for (var bit = 0u; bit < SHARER_BITS; bit++) { highest = max(highest, subgroupShuffleXor(highest, 1u << bit)); }
        var keep = 1.0;
        if (highest > largest + SLACK) {
            keep = exp(largest - highest);
            largest = highest;
            total *= keep;
            work.raised = 1u;
        }
        for (var p = 0u; p < SHARE; p++) {
            let weight = f16(exp(scores[p] - (largest - LOG_SHIFT)));
            let token = p * SHARERS + share;
            work.halves[CHUNK * ROW + own_row * WEIGHT_ROW + token / 4u][token % 4u] = weight;
            total += f32(weight);
        }
        if (share == 0u) { work.keeps[own_row / 4u][own_row % 4u] = keep; }
        for (var o = 0u; o < EIGHTS; o++) {
            let i = min(o * GROUP + local, LAST);
            let at = i / (HEAD_DIM / 8u) * ROW + 2u * (i % (HEAD_DIM / 8u));
            let halves = value_halves(values[o]);
            work.halves[at] = halves.low;
            work.halves[at + 1u] = halves.high;
        }
        workgroupBarrier();
        // A loop of at most one iteration: compilers accept barriers in an `if` only under uniform control flow.
        for (var scaled = false; !scaled; scaled = true) {
            if (work.raised == 0u) { break; }
            for (var s = 0u; s < OWN; s++) {
                let row = min(s * SUBGROUPS + subgroup, R / T * HEAD_TILES - 1u) / HEAD_TILES * T;
                coopStoreT(sum[s], &work.scores[subgroup * T * T], T);
                workgroupBarrier();
                if (local == 0u) { work.raised = 0u; }
                for (var i = lane; i < T * T; i += LANES) {
                    work.scores[subgroup * T * T + i] *= work.keeps[(row + i / T) / 4u][i / T % 4u];
                }
                workgroupBarrier();
                sum[s] = coopLoadT<Sum>(&work.scores[subgroup * T * T], T);
            }
        }

        for (var s = 0u; s < OWN; s++) {
            let tile = min(s * SUBGROUPS + subgroup, R / T * HEAD_TILES - 1u);
            let row = CHUNK * ROW + tile / HEAD_TILES * T * WEIGHT_ROW;
            let channel = tile % HEAD_TILES * T;
            for (var k = 0u; k < CHUNK_TILES; k++) {
                let left = coopLoadT<Left>(&work.halves[row + k * T / 4u], WEIGHT_ROW);
                let right = coopLoadT<Right>(&work.halves[k * T * ROW + channel / 4u], ROW);
                sum[s] = coopMultiplyAdd(left, right, sum[s]);
            }
        }
        workgroupBarrier();
    }

    for (var bit = 0u; bit < SHARER_BITS; bit++) { total += subgroupShuffleXor(total, 1u << bit); }
    if (share == 0u && own_row < ROWS && first_row + own_row < job.rows) {
        total = sum_of_weights(total, own_first, own_count, begin);
        states[(head * job.parts + job.part) * job.rows + first_row + own_row] = vec2<f32>(largest - LOG_SHIFT, total);
    }
    for (var s = 0u; s < OWN; s++) {
        let tile = min(s * SUBGROUPS + subgroup, R / T * HEAD_TILES - 1u);
        coopStoreT(sum[s], &work.scores[subgroup * T * T], T);
        workgroupBarrier();
        for (var i = lane; i < T * T; i += LANES) {
            let row = tile / HEAD_TILES * T + i / T;
            let at = tile % HEAD_TILES * T + i % T;
            if (row < ROWS && first_row + row < job.rows) {
                sums[((head * job.parts + job.part) * job.rows + first_row + row) * HEAD_DIM + value_channel_at(at / 8u, at % 8u)] =
                    work.scores[subgroup * T * T + i];
            }
        }
        workgroupBarrier();
    }
}
