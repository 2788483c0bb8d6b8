//! A method: a family of policies with settings, each setting with a name, a unit and a default.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::{
    Context, KvCachePolicy, LayerCache, LayerGeometry, LayerRows, PolicyError, Promise, Registry,
};
use crate::{error::nearest_names, notation};

/// A family of policies. Its fields are the settings that `--policy FILE.toml` and
/// `name(setting=value;…)` take, and `Default` gives their defaults.
pub trait Method: Default + Serialize + DeserializeOwned + 'static {
    /// The name that `method = "…"` and `name(…)` use.
    const NAME: &'static str;
    /// One line for `kvr policies`.
    const SUMMARY: &'static str;
    /// The paper or program that it comes from.
    const SOURCE: &'static str;

    /// What each setting means, in the order of the fields.
    fn settings() -> Vec<Setting>;

    /// The policy with these settings. `registry` knows the policies and formats that settings
    /// name; what the policy calls itself is replaced by what it was asked for as.
    ///
    /// # Errors
    /// When a setting makes no sense, or names what does not exist.
    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError>;

    /// Fits settings to what a model wrote on a text, one entry a layer: `kvr calibrate`.
    ///
    /// # Errors
    /// When the method has nothing to fit, or a setting makes no sense.
    fn calibrate(&mut self, rows: &[LayerRows]) -> Result<(), PolicyError> {
        let _ = rows;
        Err(PolicyError::Unsupported {
            what: format!("{} has nothing to calibrate", Self::NAME),
            fix: "use it as it is".to_owned(),
        })
    }
}

/// One setting of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// The unit of its value, such as `tokens`.
    pub unit: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A method as a registry holds it.
#[derive(Clone)]
pub struct MethodEntry {
    /// See [`Method::NAME`].
    pub name: &'static str,
    /// See [`Method::SUMMARY`].
    pub summary: &'static str,
    /// See [`Method::SOURCE`].
    pub source: &'static str,
    /// See [`Method::settings`].
    pub settings: Vec<Setting>,
    /// The default of every setting.
    pub defaults: toml::Table,
    build: Build,
    calibrate: Calibrate,
}

/// Settings fitted to what a model wrote.
type Calibrate = fn(toml::Table, &[LayerRows]) -> Result<toml::Table, PolicyError>;

/// Makes the policy of some settings, and says all settings with the defaults filled in.
type Build = fn(toml::Table, &Registry) -> Result<(Arc<dyn KvCachePolicy>, toml::Table), String>;

impl MethodEntry {
    pub(crate) fn new<M: Method>() -> Self {
        let table = |method: &M| {
            toml::Table::try_from(method).unwrap_or_else(|e| unreachable!("settings are TOML: {e}"))
        };
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            source: M::SOURCE,
            settings: M::settings(),
            defaults: table(&M::default()),
            build: |settings, registry| {
                let method: M = read(settings)?;
                let full = toml::Table::try_from(&method).map_err(|e| e.to_string())?;
                Ok((method.policy(registry).map_err(|e| e.to_string())?, full))
            },
            calibrate: |settings, rows| {
                let wrong = |problem| PolicyError::Settings { policy: M::NAME.to_owned(), problem };
                let mut method: M = read(settings).map_err(wrong)?;
                method.calibrate(rows)?;
                let table = toml::Table::try_from(&method).map_err(|e| wrong(e.to_string()))?;
                let name = ("method".to_owned(), M::NAME.into());
                Ok(std::iter::once(name).chain(table).collect())
            },
        }
    }

    /// The policy that is called `name` and has these settings.
    pub(crate) fn policy(
        &self,
        name: &str,
        settings: toml::Table,
        registry: &Registry,
    ) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        self.check(name, &settings)?;
        let wrong = |problem| PolicyError::Settings { policy: name.to_owned(), problem };
        let (policy, full) = (self.build)(settings, registry).map_err(wrong)?;
        let config = notation::write(self.name, &full);
        Ok(Arc::new(Named { name: name.to_owned(), config, policy }))
    }

    /// The settings, with what can be fitted fitted to `rows`, as a table that
    /// [`Registry::policy_of_table`] takes.
    ///
    /// # Errors
    /// As [`Method::calibrate`].
    pub fn calibrated(
        &self,
        settings: toml::Table,
        rows: &[LayerRows],
    ) -> Result<toml::Table, PolicyError> {
        self.check(self.name, &settings)?;
        (self.calibrate)(settings, rows)
    }

    /// Refuses settings that the method does not have.
    fn check(&self, name: &str, settings: &toml::Table) -> Result<(), PolicyError> {
        let known = || self.settings.iter().map(|setting| setting.name);
        if let Some(unknown) = settings.keys().find(|key| known().all(|name| name != *key)) {
            let nearest = nearest_names(unknown, known());
            let hint = nearest.first().map_or(String::new(), |near| format!(", nearest: '{near}'"));
            let problem = format!(
                "{} has no setting '{unknown}'{hint} (`kvr policies {}` lists them)",
                self.name, self.name
            );
            return Err(PolicyError::Settings { policy: name.to_owned(), problem });
        }
        Ok(())
    }
}

fn read<M: Method>(settings: toml::Table) -> Result<M, String> {
    settings.try_into().map_err(|e| {
        // The first line says what is wrong; the rest quotes a text that is not there.
        e.to_string().lines().next().unwrap_or_default().to_owned()
    })
}

/// A policy that a setting names: by name or notation, or as a table of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a policy: a name such as \"k8v4\", or a table with a `method`")]
pub enum Nested {
    /// What [`Registry::policy`] takes.
    Name(String),
    /// What [`Registry::policy_of_table`] takes.
    Table(toml::Table),
}

impl Nested {
    /// The policy itself.
    ///
    /// # Errors
    /// As [`Registry::policy`].
    pub fn policy(&self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        match self {
            Self::Name(name) => registry.policy(name),
            Self::Table(table) => registry.policy_of_table(&self.to_string(), table.clone()),
        }
    }
}

impl Default for Nested {
    /// The 4-bit policy that most methods are measured around.
    fn default() -> Self {
        Self::Name("k4v4".to_owned())
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Table(table) => {
                let mut settings = table.clone();
                let method = settings.remove("method");
                let method = method.as_ref().and_then(|m| m.as_str()).unwrap_or("?");
                f.write_str(&notation::write(method, &settings))
            }
        }
    }
}

/// A policy under the name that it was asked for as, with the settings behind it.
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

    fn promise(&self) -> Promise {
        self.policy.promise()
    }
}
