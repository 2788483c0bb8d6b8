//! From a policy's tree to the policy: the one door, and the canonical form that it goes through.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{MethodEntry, Registry, hints};
use crate::compose::{ByLayer, Pair};
use crate::spec::{Argument, MAX_DEPTH, PolicyFile, PolicySpec, Rule, Tree, Value, Word};
use crate::{Compression, Context, KvCachePolicy, LayerCache, LayerGeometry, Place, PolicyError};

impl Registry {
    /// The policy of a name, in any of the forms of [`spec`](crate::spec).
    ///
    /// # Errors
    /// With the place in `name` where no such policy, format or setting exists, or that can't be
    /// understood.
    pub fn policy(&self, name: &str) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        self.build(&name.parse()?)
    }

    /// The policy of a tree. It is called as the tree prints, or by the name in the file that it
    /// is, and its settings are the canonical form.
    ///
    /// # Errors
    /// As [`policy`](Self::policy), and when a file was not read or a method refuses its settings.
    pub fn build(&self, spec: &PolicySpec) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let canonical = self.canonical(spec)?;
        let name = self.label(spec, &canonical);
        let policy = self.make(&name, &canonical)?;
        // A policy that a program added says itself what its settings are.
        let config = match canonical.tree {
            Tree::Name(_) => policy.config(),
            _ => canonical.digested(),
        };
        Ok(Arc::new(Named { name, config, policy }))
    }

    /// The policy of a canonical tree.
    fn make(
        &self,
        name: &str,
        canonical: &PolicySpec,
    ) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        match &canonical.tree {
            Tree::Name(own) => match self.policies.get(own) {
                Some(entry) => Ok(entry.policy.clone()),
                None => Err(hints::unknown_policy(self, own)),
            },
            Tree::File { says: Some(file), .. } => self.build(&file.spec),
            Tree::File { says: None, path } => Err(unread(path)),
            Tree::Pair { keys, values } => {
                let (keys, values) = (self.format(&keys.text)?, self.format(&values.text)?);
                Ok(Arc::new(Pair::new(name, keys, values)))
            }
            Tree::Method { name: method, arguments } => {
                let settings = arguments.iter().filter_map(|argument| {
                    Some((argument.setting.as_ref()?.text.clone(), argument.value.to_toml()))
                });
                self.method(&method.text)?.build(settings.collect(), self)
            }
            Tree::ByLayer { base, rules } => {
                let rules =
                    rules.iter().map(|rule| Ok((rule.select.clone(), self.build(&rule.policy)?)));
                let rules = rules.collect::<Result<Vec<_>, PolicyError>>()?;
                Ok(Arc::new(ByLayer::new(name, self.build(base)?, rules)))
            }
        }
    }

    /// The tree that says all: named policies and files are replaced by what they stand for, every
    /// setting is there, in the order in which its method declares it. Two policies are the same
    /// if their canonical trees are.
    ///
    /// # Errors
    /// With the place in `spec` where something does not exist or can't be understood.
    pub fn canonical(&self, spec: &PolicySpec) -> Result<PolicySpec, PolicyError> {
        if spec.depth() > MAX_DEPTH {
            return Err(crate::spec::too_deep(spec.place.clone()));
        }
        self.filled(spec)
    }

    fn filled(&self, spec: &PolicySpec) -> Result<PolicySpec, PolicyError> {
        let PolicySpec { tree, place } = spec;
        match tree {
            Tree::Name(name) => self.named(name).map_err(|error| placed(error, place)),
            Tree::Pair { keys, values } => {
                for side in [keys, values] {
                    self.format(&side.text).map_err(|error| placed(error, &side.place))?;
                }
                Ok(tree.clone().into())
            }
            Tree::Method { name, arguments } => {
                let method = self.method(&name.text).map_err(|e| placed(e, &name.place))?;
                self.filled_method(method, name, arguments)
            }
            Tree::ByLayer { base, rules } => {
                let filled =
                    |rule: &Rule| Ok(Rule { policy: self.filled(&rule.policy)?, ..rule.clone() });
                let rules = rules.iter().map(filled).collect::<Result<_, PolicyError>>()?;
                Ok(PolicySpec::by_layer(self.filled(base)?, rules))
            }
            Tree::File { says: Some(file), path } => {
                self.filled(&file.spec).map_err(|error| crate::spec::in_file(path, error))
            }
            Tree::File { says: None, path } => Err(placed(unread(path), place)),
        }
    }

    /// What a policy is called: as it was typed; a file by the name in it or by its own, unless
    /// another policy has that.
    fn label(&self, spec: &PolicySpec, canonical: &PolicySpec) -> String {
        let Tree::File { path, says } = &spec.tree else { return spec.to_string() };
        let given = says.as_ref().and_then(|file| file.name.clone());
        let stem = || Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = given.or_else(stem).unwrap_or_else(|| path.clone());
        match self.named(&name) {
            Ok(other) if other != *canonical => path.clone(),
            _ => name,
        }
    }

    /// What a plain name stands for: a policy, a method with its defaults, or one format twice.
    fn named(&self, name: &str) -> Result<PolicySpec, PolicyError> {
        if let Some(entry) = self.policies.get(name) {
            return Ok(entry.spec.clone().unwrap_or_else(|| PolicySpec::name(name)));
        }
        if let Some(method) = self.methods.get(name) {
            return self.filled_method(method, &name.into(), &[]);
        }
        match self.known_format(name) {
            Some(format) => {
                format?;
                Ok(Tree::Pair { keys: name.into(), values: name.into() }.into())
            }
            None => Err(hints::unknown_policy(self, name)),
        }
    }

    fn filled_method(
        &self,
        method: &MethodEntry,
        name: &Word,
        arguments: &[Argument],
    ) -> Result<PolicySpec, PolicyError> {
        let mut given = toml::Table::new();
        let mut inner = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (setting, argument) in method.assign(name, arguments)? {
            let value = if setting.is_policy() {
                let spec = argument.value.to_policy().map_err(|e| placed(e, &argument.place))?;
                let spec = self.filled(&spec)?;
                let text = toml::Value::String(spec.to_string());
                inner.insert(setting.name, spec);
                text
            } else {
                argument.value.to_toml()
            };
            given.insert(setting.name.to_owned(), value);
            places.insert(setting.name, &argument.place);
        }
        let (full, short) = method.fill(given).map_err(|(setting, problem)| {
            let place = setting.and_then(|setting| places.get(&*setting).copied());
            PolicyError::Spec { place: place.unwrap_or(&name.place).clone(), problem }
        })?;
        if let Some(short) = short {
            return self.filled(&short);
        }
        let arguments = method.settings.iter().filter_map(|setting| {
            let value = full.get(setting.name)?.clone();
            Some((setting, value, inner.remove(setting.name)))
        });
        let arguments = arguments.map(|(setting, value, inner)| {
            let value = match inner {
                Some(spec) => Value::Policy(spec),
                None if setting.is_policy() => {
                    Value::Policy(self.filled(&Value::from_toml(value)?.to_policy()?)?)
                }
                None => Value::from_toml(value)?,
            };
            let setting = Some(setting.name.into());
            Ok(Argument { setting, value, place: Place::default() })
        });
        let arguments = arguments.collect::<Result<_, PolicyError>>()?;
        Ok(Tree::Method { name: method.name.into(), arguments }.into())
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
        let file = PolicyFile::parse(text).map_err(|error| crate::spec::in_file(name, error))?;
        self.build(&PolicySpec::file(name, file))
    }

    /// A method and its settings, of a name such as `kvquant(key_bits=3)`.
    ///
    /// # Errors
    /// When there is no such method or setting, or the name can't be understood.
    pub fn method_and_settings(
        &self,
        text: &str,
    ) -> Result<(&MethodEntry, toml::Table), PolicyError> {
        let spec: PolicySpec = text.parse()?;
        let (name, arguments) = match &spec.tree {
            Tree::Name(name) => (&Word::from(name.as_str()), &[][..]),
            Tree::Method { name, arguments } => (name, &arguments[..]),
            _ => {
                let problem = "this is no method: write one, such as kvquant(key_bits=3)";
                let problem = problem.to_owned();
                return Err(PolicyError::Spec { place: spec.place, problem });
            }
        };
        let method = self.method(&name.text).map_err(|error| placed(error, &name.place))?;
        let settings = method.assign(name, arguments)?.into_iter();
        let settings =
            settings.map(|(setting, argument)| (setting.name.to_owned(), argument.value.to_toml()));
        Ok((method, settings.collect()))
    }
}

fn unread(path: &str) -> PolicyError {
    let problem = format!("policy file {path}: it was not read: see PolicySpec::read_files");
    PolicyError::Spec { place: Place::default(), problem }
}

/// `error` with the place of what it is about, where it has none.
fn placed(error: PolicyError, place: &Place) -> PolicyError {
    match error {
        PolicyError::Spec { place: own, problem } if own.is_nowhere() => {
            PolicyError::Spec { place: place.clone(), problem }
        }
        error @ (PolicyError::Unknown { .. } | PolicyError::Settings { .. }) => {
            PolicyError::Spec { place: place.clone(), problem: error.to_string() }
        }
        other => other,
    }
}

/// A policy under the name that was typed, with its full settings.
struct Named {
    name: String,
    config: String,
    policy: Arc<dyn KvCachePolicy>,
}

impl KvCachePolicy for Named {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn config(&self) -> String {
        self.config.clone()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        self.policy.layer(layer, context)
    }

    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        Some(&*self.policy)
    }

    fn compression(&self) -> Option<Compression> {
        self.policy.compression()
    }
}
