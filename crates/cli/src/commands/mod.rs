//! One command a file.

pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod list;
pub(crate) mod logits;
pub(crate) mod memory;

use std::sync::Arc;

use kvr_policy::{KvCachePolicy, Registry};

use crate::args::PolicyArgs;

/// The policies that the flags name, in order, each once.
fn policies(args: &PolicyArgs, registry: &Registry) -> anyhow::Result<Vec<Arc<dyn KvCachePolicy>>> {
    let names = match (args.kvq, args.kvq_key, args.kvq_val) {
        (None, None, None) => args.policy.clone(),
        (Some(bits), ..) => vec![registry.pair_of_bits(bits, bits)?],
        (None, keys, values) => {
            vec![registry.pair_of_bits(keys.unwrap_or(16), values.unwrap_or(16))?]
        }
    };
    let mut policies: Vec<Arc<dyn KvCachePolicy>> = Vec::new();
    for name in names {
        let policy = registry.policy(name.trim())?;
        if policies.iter().all(|p| p.name() != policy.name()) {
            policies.push(policy);
        }
    }
    Ok(policies)
}
