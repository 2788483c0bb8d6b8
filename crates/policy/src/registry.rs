//! The names that `--policy` understands, as a value that a program builds and passes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::nearest_names;
use crate::method::{Method, MethodEntry};
use crate::methods::quantise::Pair;
use crate::wrap::ByLayer;
use crate::{Format, KvCachePolicy, PolicyError, notation};
use kvr_kernels::formats::{self, FormatFamily};

/// One named policy.
#[derive(Clone)]
pub struct PolicyEntry {
    /// The policy itself.
    pub policy: Arc<dyn KvCachePolicy>,
    /// One line for `kvr policies`.
    pub summary: String,
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

/// What the bits in names such as `k8v4` stand for.
pub(crate) const BITS: [(u32, &str); 5] =
    [(32, "f32"), (16, "f16"), (8, "q8_0"), (5, "q5_0"), (4, "q4_0")];

impl Registry {
    /// A registry that knows nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry of these formats, families of formats, and pairs called `name`.
    pub(crate) fn of_formats(all: Vec<Arc<dyn Format>>, families: Vec<FormatFamily>) -> Self {
        let formats = all.into_iter().map(|format| (format.name().to_owned(), format)).collect();
        Self { formats, families, ..Self::default() }
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
        if self.policies.contains_key(&name) || self.methods.contains_key(name.as_str()) {
            return Err(PolicyError::Duplicate { kind: "policy", name });
        }
        self.policies.insert(name, PolicyEntry { policy, summary: summary.into() });
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
        let policy = self.policy_of_toml("", text)?;
        let about = toml::from_str::<toml::Table>(text).ok().and_then(|mut t| t.remove("about"));
        let summary = about.as_ref().and_then(|about| about.as_str()).unwrap_or_default();
        self.add_policy(policy, summary)
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

    /// The policy of that name; the pair `<key format>:<value format>`, or one format for both; a method with settings,
    /// `name(setting=value;…)`; or one that differs between layers and heads,
    /// `base[selector=policy;…]` (see [`ByLayer`]).
    ///
    /// # Errors
    /// When no such policy or format exists (the error carries the nearest names), or a setting is
    /// wrong.
    pub fn policy(&self, name: &str) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        if let Some(entry) = self.policies.get(name) {
            return Ok(entry.policy.clone());
        }
        if let Some(method) = self.methods.get(name) {
            return method.policy(name, toml::Table::new(), self);
        }
        if name.ends_with(']') || (name.contains('[') && !name.contains('(')) {
            return Ok(Arc::new(ByLayer::parse(name, self)?));
        }
        if name.contains('(') {
            let (method, settings) = self.method_and_settings(name)?;
            return method.policy(name, settings, self);
        }
        if let Some((keys, values)) = name.split_once(':') {
            return Ok(Arc::new(Pair::new(name, self.format(keys)?, self.format(values)?)));
        }
        match self.format(name) {
            Ok(format) => return Ok(Arc::new(Pair::new(name, format.clone(), format))),
            Err(wrong @ PolicyError::Settings { .. }) => return Err(wrong),
            Err(_) => {}
        }
        let known = self.policies.keys().map(String::as_str).chain(self.methods.keys().copied());
        let nearest = nearest_names(name, known);
        Err(PolicyError::Unknown { kind: "policy", name: name.to_owned(), nearest })
    }

    /// The policy of a TOML text: `method`, its settings, and perhaps a `name` and an `about`.
    /// Without a name in the text the policy is called `name`.
    ///
    /// # Errors
    /// When the text is no TOML, or a method or setting does not exist.
    pub fn policy_of_toml(
        &self,
        name: &str,
        text: &str,
    ) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let table = text.parse::<toml::Table>().map_err(|e| PolicyError::Settings {
            policy: name.to_owned(),
            problem: e.to_string().trim_end().replace('\n', " "),
        })?;
        self.policy_of_table(name, table)
    }

    /// As [`policy_of_toml`](Self::policy_of_toml), of a table that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn policy_of_table(
        &self,
        name: &str,
        mut table: toml::Table,
    ) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let text = |table: &mut toml::Table, key: &str| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(PolicyError::Settings {
                policy: name.to_owned(),
                problem: format!("{key} = {other} is no text"),
            }),
        };
        let given = text(&mut table, "name")?;
        text(&mut table, "about")?;
        let Some(method) = text(&mut table, "method")? else {
            return Err(PolicyError::Settings {
                policy: name.to_owned(),
                problem: "there is no `method = \"…\"`: `kvr policies` lists the methods"
                    .to_owned(),
            });
        };
        self.method(&method)?.policy(given.as_deref().unwrap_or(name), table, self)
    }

    /// A method and settings, as `name` or `name(setting=value;…)` says.
    ///
    /// # Errors
    /// When there is no such method, or the notation is broken.
    pub fn method_and_settings(
        &self,
        text: &str,
    ) -> Result<(&MethodEntry, toml::Table), PolicyError> {
        if !text.contains('(') {
            return Ok((self.method(text)?, toml::Table::new()));
        }
        let (name, settings) = notation::parse(text)?;
        Ok((self.method(name)?, settings))
    }

    /// The method of that name.
    ///
    /// # Errors
    /// When there is none; the error carries the nearest names.
    pub fn method(&self, name: &str) -> Result<&MethodEntry, PolicyError> {
        self.methods.get(name).ok_or_else(|| PolicyError::Unknown {
            kind: "method",
            name: name.to_owned(),
            nearest: nearest_names(name, self.methods.keys().copied()),
        })
    }

    /// The storage format of that name: one that was added, or one of a family, such as `a4g64`.
    ///
    /// # Errors
    /// When no such format exists; the error carries the nearest names.
    pub fn format(&self, name: &str) -> Result<Arc<dyn Format>, PolicyError> {
        if let Some(format) = self.formats.get(name) {
            return Ok(format.clone());
        }
        if let Some((inner, count)) = name.split_once('+') {
            return outliers(self.format(inner)?, count)
                .map_err(|problem| PolicyError::Settings { policy: name.to_owned(), problem });
        }
        if let Some(format) = self.families.iter().find_map(|family| (family.parse)(name)) {
            return format
                .map_err(|problem| PolicyError::Settings { policy: name.to_owned(), problem });
        }
        let known = self.formats.keys().map(String::as_str);
        let families = self.families.iter().map(|family| family.example);
        Err(PolicyError::Unknown {
            kind: "format",
            name: name.to_owned(),
            nearest: nearest_names(name, known.chain(families)),
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

/// A format with `count` values of each block kept apart, as in `nf3g64+1`.
fn outliers(inner: Arc<dyn Format>, count: &str) -> Result<Arc<dyn Format>, String> {
    let count = count.parse().map_err(|_| format!("'{count}' is no number"))?;
    Ok(Arc::new(formats::Outliers::new(inner, count)?))
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

    #[test]
    fn every_setting_is_explained_and_every_method_stands_by_its_defaults() {
        let registry = Registry::builtin();
        for method in registry.methods() {
            let mut known: Vec<_> = method.settings.iter().map(|s| s.name).collect();
            known.sort_unstable();
            let fields: Vec<_> = method.defaults.keys().map(String::as_str).collect();
            assert!(
                fields.iter().all(|field| known.contains(field)),
                "{}: {fields:?}",
                method.name
            );
        }
    }

    #[test]
    fn unknown_settings_come_with_the_nearest_name() {
        let registry = Registry::builtin();
        let said = |name: &str| registry.policy(name).err().expect("an error").to_string();
        let error = said("window(recnt=4)");
        assert!(error.contains("'recnt'") && error.contains("'recent'"), "{error}");
        let error = said("windw(recent=4)");
        assert!(error.contains("window"), "{error}");
        let error = registry.policy_of_toml("mine", "method = \"window\"\nrecnt = 4\n");
        assert!(error.err().expect("an error").to_string().contains("'recent'"));
    }
}
