//! A method as a registry holds it: without its type, its settings as a table.

use std::sync::Arc;

use super::{Method, Registry};
use crate::error::nearest_names;
use crate::spec::{Argument, PolicySpec, Tree, Value, Word};
use crate::{KvCachePolicy, LayerRows, PolicyError, Setting};

/// A method as a registry holds it.
#[derive(Clone)]
pub struct MethodEntry {
    /// See [`Method::NAME`].
    pub name: &'static str,
    /// See [`Method::SUMMARY`].
    pub summary: &'static str,
    /// See [`Method::SOURCE`].
    pub source: &'static str,
    /// See [`Method::INNER`].
    pub inner: &'static str,
    /// See [`Method::settings`].
    pub settings: Vec<Setting>,
    /// The default of every setting.
    pub defaults: toml::Table,
    build: Build,
    fill: Fill,
    calibrate: Calibrate,
}

/// Settings fitted to what a model wrote.
type Calibrate = fn(toml::Table, &[LayerRows]) -> Result<toml::Table, PolicyError>;

/// Makes the policy of some settings.
type Build = fn(toml::Table, &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError>;

/// Fills in the defaults.
type Fill = fn(toml::Table) -> Result<Filled, String>;

/// All settings of a method, and its shorter form where it has one.
type Filled = (toml::Table, Option<PolicySpec>);

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
            inner: M::INNER,
            build: |settings, registry| {
                let wrong = |problem| PolicyError::Settings { policy: M::NAME.to_owned(), problem };
                read::<M>(settings).map_err(wrong)?.policy(registry)
            },
            fill: |settings| {
                let method: M = read(settings)?;
                let full = toml::Table::try_from(&method).map_err(|e| e.to_string())?;
                Ok((full, method.short()))
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

    /// The policy that has these settings.
    pub(crate) fn build(
        &self,
        settings: toml::Table,
        registry: &Registry,
    ) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        (self.build)(settings, registry)
    }

    /// All settings, with the defaults filled in, and the shorter form of the name.
    ///
    /// # Errors
    /// With the setting that is wrong, where it is one alone, and what is wrong.
    pub(crate) fn fill(&self, given: toml::Table) -> Result<Filled, (Option<String>, String)> {
        (self.fill)(given.clone()).map_err(|problem| {
            let alone = given.into_iter().find_map(|(name, value)| {
                let problem = (self.fill)([(name.clone(), value)].into_iter().collect()).err()?;
                Some((Some(name), problem))
            });
            alone.unwrap_or((None, problem))
        })
    }

    /// Which setting each argument sets.
    ///
    /// # Errors
    /// With the place of a setting that does not exist or is given twice.
    pub(crate) fn assign<'a>(
        &self,
        name: &Word,
        arguments: &'a [Argument],
    ) -> Result<Vec<(Setting, &'a Argument)>, PolicyError> {
        let mut assigned: Vec<(Setting, &Argument)> = Vec::new();
        for argument in arguments {
            let (wanted, place) = match &argument.setting {
                Some(setting) => (setting.text.as_str(), &setting.place),
                None => (self.inner, &argument.place),
            };
            let wrong = |problem: String| PolicyError::Spec { place: place.clone(), problem };
            let known = self.settings.iter().find(|setting| setting.name == wanted);
            let Some(setting) = known else {
                return Err(wrong(match &argument.setting {
                    Some(_) => self.no_setting(wanted),
                    None => self.no_inner(&name.text, &argument.value),
                }));
            };
            if argument.setting.is_none()
                && let Some(problem) = self.forgotten_equals(&argument.value)
            {
                return Err(wrong(problem));
            }
            if assigned.iter().any(|(other, _)| other.name == wanted) {
                return Err(wrong(format!("'{wanted}' is given twice: once without its name")));
            }
            assigned.push((*setting, argument));
        }
        Ok(assigned)
    }

    fn no_setting(&self, unknown: &str) -> String {
        let nearest = nearest_names(unknown, self.settings.iter().map(|setting| setting.name));
        let hint = nearest.first().map_or(String::new(), |near| format!(", nearest: '{near}'"));
        let all: Vec<&str> = self.settings.iter().map(|setting| setting.name).collect();
        format!("{} has no setting '{unknown}'{hint}: it has {}", self.name, all.join(", "))
    }

    fn no_inner(&self, name: &str, value: &Value) -> String {
        self.forgotten_equals(value).unwrap_or_else(|| {
            format!("{name} takes no inner policy: write setting=value (`kvr policies {name}`)")
        })
    }

    /// `window(recent 4)` or `window(recent)`: a setting, and no policy.
    fn forgotten_equals(&self, value: &Value) -> Option<String> {
        let Value::Policy(PolicySpec { tree: Tree::Name(word), .. }) = value else { return None };
        let (first, rest) = word.split_once([' ', ':']).unwrap_or((word, "…"));
        let setting = self.settings.iter().find(|setting| setting.name == first)?;
        Some(format!("the setting '{first}' has no '=': write {}={}", setting.name, rest.trim()))
    }

    /// The settings, with what can be fitted fitted to `rows`, as a table that
    /// [`PolicyFile::from_table`](crate::spec::PolicyFile::from_table) takes.
    ///
    /// # Errors
    /// As [`Method::calibrate`].
    pub fn calibrated(
        &self,
        settings: toml::Table,
        rows: &[LayerRows],
    ) -> Result<toml::Table, PolicyError> {
        (self.calibrate)(settings, rows)
    }
}

fn read<M: Method>(settings: toml::Table) -> Result<M, String> {
    // Without the place, which is in a text that is not there.
    settings.try_into().map_err(|e: toml::de::Error| e.message().to_owned())
}
