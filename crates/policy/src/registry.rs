//! The names that `--policy` understands, as a value that a program builds and passes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtin::pair::Pair;
use crate::error::nearest_names;
use crate::wrap::ByLayer;
use crate::{Format, KvCachePolicy, PolicyError, formats};

/// One named policy.
#[derive(Clone)]
pub struct PolicyEntry {
    /// The policy itself.
    pub policy: Arc<dyn KvCachePolicy>,
    /// One line for `kvr policies`.
    pub summary: String,
}

/// Policies and formats by name. There is no global one: build it, add your own, pass it to the CLI.
#[derive(Clone, Default)]
pub struct Registry {
    policies: BTreeMap<String, PolicyEntry>,
    formats: BTreeMap<String, Arc<dyn Format>>,
}

/// What the bits in names such as `k8v4` stand for.
const BITS: [(u32, &str); 5] = [(32, "f32"), (16, "f16"), (8, "q8_0"), (5, "q5_0"), (4, "q4_0")];

impl Registry {
    /// A registry that knows nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The eight formats, and the policies that are named after pairs of them.
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for format in formats::all() {
            registry.formats.insert(format.name().to_owned(), format);
        }
        for (name, keys, values) in
            [("fp32", "f32", "f32"), ("fp16", "f16", "f16"), ("bf16", "bf16", "bf16")]
        {
            registry.add_pair(name, keys, values);
        }
        for (key_bits, keys) in BITS {
            for (value_bits, values) in BITS {
                if key_bits < 16 || value_bits < 16 {
                    registry.add_pair(&format!("k{key_bits}v{value_bits}"), keys, values);
                }
            }
        }
        registry
    }

    fn add_pair(&mut self, name: &str, keys: &str, values: &str) {
        let policy = Pair::new(name, self.formats[keys].clone(), self.formats[values].clone());
        let summary = format!("keys in {keys}, values in {values}");
        self.policies.insert(name.to_owned(), PolicyEntry { policy: Arc::new(policy), summary });
    }

    /// Adds a policy of one's own under its own name.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_policy(
        &mut self,
        policy: Arc<dyn KvCachePolicy>,
        summary: impl Into<String>,
    ) -> Result<(), PolicyError> {
        let name = policy.name();
        if self.policies.contains_key(&name) {
            return Err(PolicyError::Duplicate { kind: "policy", name });
        }
        self.policies.insert(name, PolicyEntry { policy, summary: summary.into() });
        Ok(())
    }

    /// Adds a storage format of one's own; it can then stand on either side of a pair.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_format(&mut self, format: Arc<dyn Format>) -> Result<(), PolicyError> {
        let name = format.name().to_owned();
        if self.formats.contains_key(&name) {
            return Err(PolicyError::Duplicate { kind: "format", name });
        }
        self.formats.insert(name, format);
        Ok(())
    }

    /// The policy of that name, the pair `<key format>:<value format>`, or one that differs between
    /// layers and heads, `base[selector=policy;…]` (see [`ByLayer`]).
    ///
    /// # Errors
    /// When no such policy or format exists; the error carries the nearest names.
    pub fn policy(&self, name: &str) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        if let Some(entry) = self.policies.get(name) {
            return Ok(entry.policy.clone());
        }
        if name.contains('[') {
            return Ok(Arc::new(ByLayer::parse(name, &|part| self.policy(part))?));
        }
        if let Some((keys, values)) = name.split_once(':') {
            return Ok(Arc::new(Pair::new(name, self.format(keys)?, self.format(values)?)));
        }
        let nearest = nearest_names(name, self.policies.keys().map(String::as_str));
        Err(PolicyError::Unknown { kind: "policy", name: name.to_owned(), nearest })
    }

    /// The storage format of that name.
    ///
    /// # Errors
    /// When no such format exists; the error carries the nearest names.
    pub fn format(&self, name: &str) -> Result<Arc<dyn Format>, PolicyError> {
        self.formats.get(name).cloned().ok_or_else(|| PolicyError::Unknown {
            kind: "format",
            name: name.to_owned(),
            nearest: nearest_names(name, self.formats.keys().map(String::as_str)),
        })
    }

    /// The name of the pair that stores keys in `key_bits` and values in `value_bits`.
    ///
    /// # Errors
    /// When no format stands for that number of bits.
    pub fn pair_of_bits(&self, key_bits: u32, value_bits: u32) -> Result<String, PolicyError> {
        let format = |bits: u32| {
            BITS.iter().find(|(b, _)| *b == bits).map(|(_, name)| *name).ok_or_else(|| {
                PolicyError::Unknown {
                    kind: "width",
                    name: format!("{bits} bits"),
                    nearest: BITS.iter().map(|(b, _)| b.to_string()).collect(),
                }
            })
        };
        let (keys, values) = (format(key_bits)?, format(value_bits)?);
        Ok(match (key_bits, value_bits) {
            (32, 32) => "fp32".to_owned(),
            (16, 16) => "fp16".to_owned(),
            _ if self.policies.contains_key(&format!("k{key_bits}v{value_bits}")) => {
                format!("k{key_bits}v{value_bits}")
            }
            _ => format!("{keys}:{values}"),
        })
    }

    /// Every named policy, in the order of names.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &PolicyEntry)> {
        self.policies.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Every format, in the order of names.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<dyn Format>> {
        self.formats.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_pairs_mean_the_same_formats() {
        let registry = Registry::builtin();
        let named = registry.policy("k8v4").expect("a built-in policy");
        let pair = registry.policy("q8_0:q4_0").expect("a pair of built-in formats");
        assert_eq!(named.config(), pair.config());
        assert_eq!(pair.name(), "q8_0:q4_0");
        assert_eq!(registry.pair_of_bits(8, 4).as_deref(), Ok("k8v4"));
        assert_eq!(registry.pair_of_bits(16, 16).as_deref(), Ok("fp16"));
    }

    #[test]
    fn an_unknown_name_comes_with_its_neighbours() {
        let registry = Registry::builtin();
        let error = registry.policy("k8v3").err().expect("no such policy").to_string();
        assert!(error.contains("'k8v3'") && error.contains("k8v4"), "{error}");
        let error = registry.policy("q8_0:q4_2").err().expect("no such format").to_string();
        assert!(error.contains("'q4_2'") && error.contains("q4_0"), "{error}");
        assert!(registry.pair_of_bits(7, 4).is_err());
    }
}
