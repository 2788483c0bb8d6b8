//! What can go wrong in a policy, worded for the person who has to fix it.

use kvr_kernels::KernelError;
use thiserror::Error;

use crate::Place;

/// An error of a policy, a cache or a storage format.
///
/// Every variant names the thing, what was expected, and what to do about it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A format, store or kernel can't do what is asked of it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No policy or format of that name exists.
    #[error("unknown {kind} '{name}': {}", hint_or_list(.hint))]
    Unknown {
        /// "policy", "method", "format" or "width".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// What may be meant; empty where nothing is near.
        hint: String,
    },
    /// A cache can't do what another policy asks of it.
    #[error("{what}: {fix}")]
    Unsupported {
        /// What can't be done.
        what: String,
        /// What to do instead.
        fix: String,
    },
    /// The settings of a method can't be understood.
    #[error("policy '{policy}': {problem}")]
    Settings {
        /// The policy as it was named.
        policy: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// A policy's name can't be understood, or names what does not exist.
    #[error("{}", .place.show(.problem))]
    Spec {
        /// Where in the name.
        place: Place,
        /// What is wrong there, and the fix.
        problem: String,
    },
    /// A policy file can't be understood.
    #[error("policy file {file}:{}{problem}", if problem.contains('\n') { "\n" } else { " " })]
    File {
        /// Its path.
        file: String,
        /// What is wrong in it, and the fix.
        problem: String,
    },
    /// A name is registered twice.
    #[error("{kind} '{name}' is registered twice: give one of them another name")]
    Duplicate {
        /// "policy" or "format".
        kind: &'static str,
        /// The name in question.
        name: String,
    },
}

fn hint_or_list(hint: &str) -> String {
    match hint {
        "" => "`kvr policies` lists what there is".to_owned(),
        hint => format!("{hint} (`kvr policies` lists all)"),
    }
}

/// The at most three of `known` that are spelled most like `name`, nearest first.
///
/// Similarity is Jaro-Winkler, which weighs the beginning of a word more: `k8v3` finds `k8v4`.
pub fn nearest_names<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&name.to_lowercase(), k), k))
        .filter(|(score, _)| *score > 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    // What is much less alike than the best is no help beside it.
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored.retain(|(score, _)| *score > best - 0.1);
    scored.into_iter().take(3).map(|(_, k)| k.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_comes_first() {
        assert_eq!(nearest_names("k8v3", ["fp16", "k8v8", "k8v4", "k4v8"])[0], "k8v8");
        assert!(nearest_names("zzz", ["fp16", "k8v8"]).is_empty());
    }
}
