//! The names that `--policy` understands, as a value that a program builds and passes on.

mod build;
mod entry;
mod hints;
mod method;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use kvr_kernels::formats::FormatFamily;

use crate::compose::Pair;
use crate::spec::{PolicyFile, PolicySpec, is_word};
use crate::{Format, KvCachePolicy, PolicyError};

use self::names::BITS;

pub use self::entry::MethodEntry;
pub use self::method::Method;

/// One named policy.
#[derive(Clone)]
pub struct PolicyEntry {
    /// The policy itself.
    pub policy: Arc<dyn KvCachePolicy>,
    /// One line for `kvr policies`.
    pub summary: String,
    /// What the name stands for, canonical; `None` where a program added the policy itself.
    spec: Option<PolicySpec>,
}

/// Policies, methods and formats by name. There is no global one: build it, add your own, pass it
/// to the CLI.
#[derive(Clone, Default)]
pub struct Registry {
    policies: BTreeMap<String, PolicyEntry>,
    methods: BTreeMap<&'static str, MethodEntry>,
    formats: BTreeMap<String, Arc<dyn Format>>,
    families: Vec<FormatFamily>,
}

impl Registry {
    /// A registry that knows nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry of formats, families of formats, and the policies that are named after pairs of
    /// them.
    pub fn of_formats(all: Vec<Arc<dyn Format>>, families: Vec<FormatFamily>) -> Self {
        let formats = all.into_iter().map(|format| (format.name().to_owned(), format)).collect();
        let mut registry = Self { formats, families, ..Self::default() };
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
        let (Some(key), Some(value)) = (self.formats.get(keys), self.formats.get(values)) else {
            return;
        };
        let policy = Pair::new(name, key.clone(), value.clone());
        let summary = format!("keys in {keys}, values in {values}");
        let spec = PolicySpec::pair(keys, values);
        let entry = PolicyEntry { policy: Arc::new(policy), summary, spec: Some(spec) };
        self.policies.insert(name.to_owned(), entry);
    }

    /// Adds a policy of one's own under its own name.
    ///
    /// # Errors
    /// When the name is taken, or is no plain word.
    pub fn add_policy(
        &mut self,
        policy: Arc<dyn KvCachePolicy>,
        summary: impl Into<String>,
    ) -> Result<(), PolicyError> {
        self.insert(policy.name(), PolicyEntry { policy, summary: summary.into(), spec: None })
    }

    fn insert(&mut self, name: String, entry: PolicyEntry) -> Result<(), PolicyError> {
        if self.policies.contains_key(&name) || self.methods.contains_key(name.as_str()) {
            return Err(PolicyError::Duplicate { kind: "policy", name });
        }
        if !is_word(&name) || name.contains(':') || name.ends_with(".toml") {
            return Err(PolicyError::Settings {
                policy: name,
                problem: "a name is one word without brackets and : ; , = \"".to_owned(),
            });
        }
        self.policies.insert(name, entry);
        Ok(())
    }

    /// Adds a method: its name with default settings, and `name(setting=value;…)`, become policies.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_method<M: Method>(&mut self) -> Result<(), PolicyError> {
        if self.policies.contains_key(M::NAME) || self.methods.contains_key(M::NAME) {
            return Err(PolicyError::Duplicate { kind: "method", name: M::NAME.to_owned() });
        }
        self.methods.insert(M::NAME, MethodEntry::new::<M>());
        Ok(())
    }

    /// Adds the policy of a TOML text under the `name` in it.
    ///
    /// # Errors
    /// When the text is broken or the name is missing or taken.
    pub fn add_preset(&mut self, text: &str) -> Result<(), PolicyError> {
        let file = PolicyFile::parse(text)?;
        let name = file.name.clone().unwrap_or_default();
        let summary = file.about.clone().unwrap_or_default();
        let spec = PolicySpec::file(&name, file);
        let (policy, spec) = (self.build(&spec)?, Some(self.canonical(&spec)?));
        self.insert(name, PolicyEntry { policy, summary, spec })
    }

    /// Adds a storage format of one's own; it can then stand on either side of a pair.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_format(&mut self, format: Arc<dyn Format>) -> Result<(), PolicyError> {
        let name = format.name().to_owned();
        if self.format(&name).is_ok() {
            return Err(PolicyError::Duplicate { kind: "format", name });
        }
        self.formats.insert(name, format);
        Ok(())
    }

    /// The method of that name.
    ///
    /// # Errors
    /// When there is none; the error carries the nearest names.
    pub fn method(&self, name: &str) -> Result<&MethodEntry, PolicyError> {
        self.methods.get(name).ok_or_else(|| PolicyError::Unknown {
            kind: "method",
            name: name.to_owned(),
            hint: hints::method(self, name),
        })
    }

    /// Whether a plain name stands for a policy.
    fn knows(&self, name: &str) -> bool {
        self.policies.contains_key(name)
            || self.methods.contains_key(name)
            || self.known_format(name).is_some_and(|format| format.is_ok())
    }

    /// Every named policy, in the order of names.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &PolicyEntry)> {
        self.policies.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Every method, in the order of names.
    pub fn methods(&self) -> impl Iterator<Item = &MethodEntry> {
        self.methods.values()
    }

    /// Every format that has a name of its own, in the order of names.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<dyn Format>> {
        self.formats.values()
    }

    /// Every family of formats.
    pub fn families(&self) -> &[FormatFamily] {
        &self.families
    }
}
