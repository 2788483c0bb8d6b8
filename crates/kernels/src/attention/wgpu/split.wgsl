// Shared by the programs that read a KV split.
@group(0) @binding(6) var<storage, read_write> states: array<vec2<f32>>;    // [HEADS, parts, rows]
@group(0) @binding(7) var<storage, read_write> info: array<u32>;

const NOTHING: f32 = -1e30;                  // the score of a token that a row does not read
const LOWEST: f32 = -1e29;                   // below every score, and still far above NOTHING

// Eight values of a row.
struct Eight { low: vec4<f32>, high: vec4<f32> }

// The tokens that a row reads, from one to before another.
fn reads(row: u32, rows: u32, steps: u32) -> vec2<u32> {
    if (row >= rows) { return vec2<u32>(0u, 0u); }
    let at = 10u + 2u * (row % steps);
    return vec2<u32>(info[at], info[at + 1u]);
}

// The work of a workgroup, as the host wrote it.
struct Job {
    first_token: u32,       // of the page
    tokens: u32,            // that the page holds
    split: u32,             // tokens of a workgroup
    part: u32,              // of `parts` answers, this workgroup's
    parts: u32,
    scale: f32,
    steps: u32,
    rows: u32,
    capacity: u32,          // tokens from one head to the next
    soft_cap: f32,          // of scores; 0 is none
}

fn job_of(group: vec3<u32>) -> Job {
    return Job(info[0], info[1], info[2], info[3] + group.x, info[4], bitcast<f32>(info[5]), info[6], info[7], info[8], bitcast<f32>(info[9]));
}

// A score that is capped, if any is. Some tanh of large numbers are no number; an infinite score must not
// become one.
fn capped(score: f32, cap: f32) -> f32 {
    if (cap == 0.0) { return score; }
    let lost = (bitcast<u32>(score) & 0x7f800000u) == 0x7f800000u;
    return select(cap * tanh(clamp(score / cap, -15.0, 15.0)), not_a_number(bitcast<u32>(score)), lost);
}

// A NaN can't be written as a constant; whatever bits are set beside these, it is one.
fn not_a_number(bits: u32) -> f32 { return bitcast<f32>(0x7fc00000u | bits); }

// The weights' sum of a row that reads `count` tokens from `first` on, of which this workgroup sees those from
// `begin` on. Where it sees some and all have a weight of 0, their scores were -inf, and the sum is no number.
fn sum_of_weights(total: f32, first: u32, count: u32, begin: u32) -> f32 {
    let lost = total == 0.0 && first + count > max(begin, first);
    return select(total, not_a_number(info[6]), lost);
}
