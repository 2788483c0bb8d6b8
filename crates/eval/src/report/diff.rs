//! Two results compared, and what makes them different experiments.

use serde::Serialize;

use crate::record::Record;

/// One cell of two results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // Flat and named like the records' fields.
pub struct Pair {
    pub policy: String,
    pub ctx: usize,
    /// Whether nothing differs that decides quality.
    pub comparable: bool,
    /// Everything that differs, with both values.
    pub differs: Vec<String>,
    pub perplexity_before: Option<f64>,
    pub perplexity_after: Option<f64>,
    pub perplexity_change_percent: Option<f64>,
    /// Of two unpaired measurements: an upper bound, since the texts are the same.
    pub perplexity_change_stderr_percent: Option<f64>,
    pub bytes_change_percent: Option<f64>,
    pub prefill_change_percent: Option<f64>,
    pub decode_change_percent: Option<f64>,
}

/// Pairs every record of `after` with the most similar record of `before` under the same policy;
/// what only one of them has is left out of the pairs but said in `differs` of a pair of its own.
pub fn pairs(before: &[Record], after: &[Record]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut used = vec![false; before.len()];
    for new in after {
        let candidates = before.iter().enumerate();
        let alike = candidates.filter(|(i, old)| !used[*i] && old.cell.policy == new.cell.policy);
        match alike.min_by_key(|(_, old)| differences(old, new).len()) {
            Some((i, old)) => {
                used[i] = true;
                pairs.push(pair(old, new));
            }
            None => pairs.push(alone(new, "only in the second")),
        }
    }
    let left = before.iter().zip(used).filter(|(_, used)| !used);
    pairs.extend(left.map(|(old, _)| alone(old, "only in the first")));
    pairs
}

/// What decides quality and differs, with both values.
fn differences(old: &Record, new: &Record) -> Vec<String> {
    let (a, b) = (&old.cell, &new.cell);
    let optional = |x: Option<f64>| x.map_or_else(|| "none".to_owned(), |x| x.to_string());
    let facts = [
        ("model", a.model.clone(), b.model.clone()),
        ("weights", short(a.model_sha256.as_deref()), short(b.model_sha256.as_deref())),
        ("dataset", a.dataset.clone(), b.dataset.clone()),
        ("text", short(Some(&a.dataset_sha256)), short(Some(&b.dataset_sha256))),
        ("settings of the policy", a.policy_config.clone(), b.policy_config.clone()),
        ("protocol", a.protocol.clone(), b.protocol.clone()),
        ("protocol version", a.protocol_version.to_string(), b.protocol_version.to_string()),
        ("mode", a.mode.clone(), b.mode.clone()),
        ("ctx", a.ctx.to_string(), b.ctx.to_string()),
        ("stride", optional(a.stride.map(|s| s as f64)), optional(b.stride.map(|s| s as f64))),
        ("depth", optional(a.depth_percent), optional(b.depth_percent)),
        ("windows", a.chunks.to_string(), b.chunks.to_string()),
        ("seed", a.seed.to_string(), b.seed.to_string()),
    ];
    let differs = facts.into_iter().filter(|(_, old, new)| old != new);
    differs.map(|(what, old, new)| format!("{what} {old} → {new}")).collect()
}

fn short(digest: Option<&str>) -> String {
    digest.map_or_else(|| "random".to_owned(), |d| d.chars().take(8).collect())
}

fn pair(old: &Record, new: &Record) -> Pair {
    let mut differs = differences(old, new);
    let comparable = differs.is_empty();
    // These change speed, or say where to look; quality stays comparable.
    let (a, b) = (&old.provenance, &new.provenance);
    for (what, old, new) in [
        ("revision", &a.git_rev, &b.git_rev),
        ("device", &a.device, &b.device),
        ("backend", &a.backend, &b.backend),
        ("burn", &a.burn_version, &b.burn_version),
    ] {
        if old != new {
            differs.push(format!("{what} {old} → {new}"));
        }
    }
    let change = |old: Option<f64>, new: Option<f64>| Some(100.0 * (new? / old? - 1.0));
    let speed =
        |r: &Record, f: fn(&crate::record::Speed) -> Option<f64>| r.speed.as_ref().and_then(f);
    let (before, after) = (old.quality.as_ref(), new.quality.as_ref());
    let stderr = || Some(100.0 * before?.nll_stderr?.hypot(after?.nll_stderr?));
    Pair {
        policy: new.cell.policy.clone(),
        ctx: new.cell.ctx,
        comparable,
        differs,
        perplexity_before: before.map(|q| q.perplexity),
        perplexity_after: after.map(|q| q.perplexity),
        // From losses, which are finite where perplexities are beyond f64.
        perplexity_change_percent: before
            .zip(after)
            .map(|(before, after)| 100.0 * (after.nll - before.nll).exp_m1()),
        perplexity_change_stderr_percent: stderr(),
        bytes_change_percent: change(
            Some(old.memory.bytes_per_token),
            Some(new.memory.bytes_per_token),
        ),
        prefill_change_percent: change(
            speed(old, |s| s.prefill_tok_s),
            speed(new, |s| s.prefill_tok_s),
        ),
        decode_change_percent: change(
            speed(old, |s| s.decode_tok_s),
            speed(new, |s| s.decode_tok_s),
        ),
    }
}

fn alone(record: &Record, why: &str) -> Pair {
    let quality = record.quality.as_ref().map(|q| q.perplexity);
    let first = why.ends_with("first");
    Pair {
        policy: record.cell.policy.clone(),
        ctx: record.cell.ctx,
        comparable: false,
        differs: vec![why.to_owned()],
        perplexity_before: quality.filter(|_| first),
        perplexity_after: quality.filter(|_| !first),
        perplexity_change_percent: None,
        perplexity_change_stderr_percent: None,
        bytes_change_percent: None,
        prefill_change_percent: None,
        decode_change_percent: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn other_modes_and_hashes_can_not_be_compared() {
        let old = record("k8v4");
        let mut new = old.clone();
        new.provenance.git_rev = "other".to_owned();
        let same = pairs(std::slice::from_ref(&old), std::slice::from_ref(&new));
        assert!(same[0].comparable && same[0].differs[0].contains("revision"), "{same:?}");
        assert_eq!(same[0].perplexity_change_percent, Some(0.0));
        new.cell.mode = "decode".to_owned();
        new.cell.dataset_sha256 = "cc".to_owned();
        let other = pairs(&[old], &[new]);
        assert!(!other[0].comparable);
        assert!(other[0].differs.iter().any(|d| d == "mode cache-read → decode"), "{other:?}");
        assert!(other[0].differs.iter().any(|d| d == "text bb → cc"), "{other:?}");
    }

    #[test]
    fn the_most_similar_record_is_the_partner_and_strangers_stand_alone() {
        let mut long = record("k8v4");
        long.cell.ctx = 2048;
        let old = [record("k8v4"), long.clone(), record("fp16")];
        let got = pairs(&old, &[long, record("k4v4")]);
        assert!(got[0].comparable && got[0].ctx == 2048);
        let why: Vec<_> = got[1..].iter().map(|p| p.differs[0].as_str()).collect();
        assert_eq!(why, ["only in the second", "only in the first", "only in the first"]);
    }
}
