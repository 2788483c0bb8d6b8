//! Which policy for which layer: sensitivities measured one at a time, then a knapsack.
//!
//! Each part of the model (a layer, or a key-value head of a layer) gets each candidate while all
//! others keep the baseline, on a calibration text; its loss is the KL divergence from the
//! baseline. Losses are taken to add up, which holds for small ones. The idea is KVTuner's (Li et
//! al. 2025).

pub mod front;

use std::collections::BTreeMap;
use std::sync::Arc;

use kvr_policy::spec::Rule;
use kvr_policy::{KvCachePolicy, PolicySpec, Registry};
use serde::Serialize;

use self::front::Choice;
use crate::EvalError;
use crate::record::Record;

/// What is searched.
#[derive(Debug, Clone)]
pub struct Search {
    /// The policy that losses are measured against.
    pub baseline: PolicySpec,
    /// The policies that a part may get.
    pub candidates: Vec<PolicySpec>,
    /// Layers of the model.
    pub layers: usize,
    /// Key-value heads, where each chooses for itself; 1 where a layer chooses.
    pub heads: usize,
}

impl Search {
    /// How a rule selects each part.
    fn selectors(&self) -> Vec<String> {
        let parts = (0..self.layers).flat_map(|l| (0..self.heads).map(move |h| (l, h)));
        let name = |(layer, head)| match self.heads {
            1 => format!("{layer}"),
            _ => format!("{layer}.{head}"),
        };
        parts.map(name).collect()
    }

    /// The policies to evaluate: the baseline, each candidate everywhere (for its bytes), and each
    /// candidate in each part alone.
    ///
    /// # Errors
    /// When one does not exist.
    pub fn policies(&self, registry: &Registry) -> Result<Vec<Arc<dyn KvCachePolicy>>, EvalError> {
        let mut specs = vec![self.baseline.clone()];
        specs.extend(self.candidates.iter().cloned());
        for part in self.selectors() {
            for candidate in &self.candidates {
                let rule = rule(&part, candidate)?;
                specs.push(PolicySpec::by_layer(self.baseline.clone(), vec![rule]));
            }
        }
        specs.iter().map(|spec| Ok(registry.build(spec)?)).collect()
    }

    /// Losses and bytes from the records of [`policies`](Self::policies), in their order.
    ///
    /// # Errors
    /// When records lack a divergence.
    pub fn measured(&self, records: &[Record]) -> Result<Measured, EvalError> {
        let count = self.candidates.len();
        let kld = |record: &Record| {
            record.divergence.as_ref().map(|d| d.kld_mean).ok_or_else(|| {
                EvalError::Setting(format!(
                    "candidate {} is the baseline: search among policies that lose something",
                    record.cell.policy
                ))
            })
        };
        let (uniform, alone) = records[1..].split_at(count);
        let parts = (self.layers * self.heads) as f64;
        let losses = alone.chunks(count).map(|part| part.iter().map(kld).collect());
        Ok(Measured {
            losses: losses.collect::<Result<_, _>>()?,
            bytes: uniform.iter().map(|r| r.memory.bytes_per_token / parts).collect(),
            uniform: uniform.iter().map(kld).collect::<Result<_, _>>()?,
        })
    }

    /// A choice as a policy file. It says itself what candidates that are files say.
    ///
    /// # Errors
    /// Never in practice: tables of text are TOML.
    pub fn policy_file(
        &self,
        name: &str,
        about: &str,
        choice: &Choice,
    ) -> Result<String, EvalError> {
        let whole = |candidate: usize| self.candidates[candidate].clone().without_files();
        let base = self.most_common(choice);
        let rules = self.runs(choice).into_iter().filter(|(_, candidate)| *candidate != base);
        let file = File {
            name: name.to_owned(),
            about: about.to_owned(),
            method: "by-layer",
            policy: whole(base),
            rules: rules.map(|(part, c)| rule(&part, &whole(c))).collect::<Result<_, _>>()?,
        };
        toml::to_string(&file).map_err(|e| EvalError::Setting(format!("policy file: {e}")))
    }

    /// A choice in one line, `k8v4[0=k8v8;3-5=k4v4]`.
    ///
    /// # Errors
    /// Never in practice: every part is a selector.
    pub fn notation(&self, choice: &Choice) -> Result<PolicySpec, EvalError> {
        let base = self.most_common(choice);
        let rules = self.runs(choice).into_iter().filter(|(_, candidate)| *candidate != base);
        let rules = rules.map(|(part, c)| rule(&part, &self.candidates[c]));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let base = self.candidates[base].clone();
        Ok(if rules.is_empty() { base } else { PolicySpec::by_layer(base, rules) })
    }

    fn most_common(&self, choice: &Choice) -> usize {
        let mut counts = BTreeMap::new();
        choice.candidates.iter().for_each(|c| *counts.entry(*c).or_insert(0) += 1);
        counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(candidate, _)| candidate)
    }

    /// Neighbouring layers of one candidate as one selector; heads stand alone.
    fn runs(&self, choice: &Choice) -> Vec<(String, usize)> {
        if self.heads > 1 {
            return self.selectors().into_iter().zip(choice.candidates.iter().copied()).collect();
        }
        let mut first = 0;
        let runs = choice.candidates.chunk_by(|a, b| a == b).map(|run| {
            let (from, to) = (first, first + run.len() - 1);
            first += run.len();
            let select = if from == to { from.to_string() } else { format!("{from}-{to}") };
            (select, run[0])
        });
        runs.collect()
    }
}

/// What was measured on the calibration text.
#[derive(Debug, Clone)]
pub struct Measured {
    /// KL divergence in nats, `[part][candidate]`, the candidate in that part alone.
    pub losses: Vec<Vec<f64>>,
    /// Bytes per token of each candidate in one part.
    pub bytes: Vec<f64>,
    /// KL divergence of each candidate everywhere: what the sum of its losses should come near to.
    pub uniform: Vec<f64>,
}

fn rule(part: &str, policy: &PolicySpec) -> Result<Rule, EvalError> {
    let select = part.parse().map_err(EvalError::Setting)?;
    Ok(Rule { select, policy: policy.clone() })
}

#[derive(Serialize)]
struct File {
    name: String,
    about: String,
    method: &'static str,
    policy: PolicySpec,
    rules: Vec<Rule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_become_files_that_read_back() {
        let candidates = ["k8v4", "k4v4", "k8v8"].map(PolicySpec::name).to_vec();
        let baseline = PolicySpec::name("fp16");
        let search = Search { baseline, candidates, layers: 6, heads: 1 };
        let notation = |search: &Search, choice: &Choice| {
            search.notation(choice).expect("a policy").to_string()
        };
        let choice = Choice { candidates: vec![2, 0, 0, 1, 1, 0], bytes: 0.0, loss: 0.0 };
        assert_eq!(notation(&search, &choice), "k8v4[0=k8v8;3-4=k4v4]");
        let file = search.policy_file("found", "a test", &choice).expect("a file");
        let registry = Registry::builtin();
        let policy = registry.policy_of_toml("x", &file).expect("a policy");
        assert_eq!(policy.name(), "found");
        assert!(policy.config().contains("3-4"), "{}", policy.config());
        let heads = Search { heads: 2, layers: 3, ..search };
        assert_eq!(notation(&heads, &choice), "k8v4[0.0=k8v8;1.1=k4v4;2.0=k4v4]");
        assert_eq!(heads.policies(&registry).expect("policies").len(), 1 + 3 + 18);
    }
}
