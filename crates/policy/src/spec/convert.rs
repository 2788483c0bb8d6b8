//! Trees from TOML and back: the settings of a method pass through serde as a TOML table.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Argument, PolicyFile, PolicySpec, Tree, Value, Word};
use crate::{Place, PolicyError};

impl Value {
    /// A value of a TOML file: a string is a policy where it reads as one, and else text.
    ///
    /// # Errors
    /// When a number is not finite, or a table with a `method` is no policy.
    pub(crate) fn from_toml(value: toml::Value) -> Result<Self, PolicyError> {
        Ok(match value {
            toml::Value::Integer(number) => Self::Integer(number),
            toml::Value::Float(number) if !number.is_finite() => {
                let problem = format!("{number} is no finite number");
                return Err(PolicyError::Spec { place: Place::default(), problem });
            }
            toml::Value::Float(number) => Self::Float(number),
            toml::Value::Boolean(truth) => Self::Boolean(truth),
            toml::Value::Datetime(date) => Self::Text(date.to_string()),
            // A number in quotes stays text.
            toml::Value::String(text) => match text.parse() {
                Ok(policy @ Self::Policy(_)) => policy,
                _ => Self::Text(text),
            },
            toml::Value::Array(values) => {
                Self::List(values.into_iter().map(Self::from_toml).collect::<Result<_, _>>()?)
            }
            toml::Value::Table(table) if table.contains_key("method") => {
                Self::Policy(PolicyFile::from_table(table)?.spec)
            }
            toml::Value::Table(table) => Self::Table(
                table
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::from_toml(value)?)))
                    .collect::<Result<_, PolicyError>>()?,
            ),
        })
    }

    /// The inverse of [`from_toml`](Self::from_toml); policies become text,
    /// files what they say.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match self {
            Self::Integer(number) => toml::Value::Integer(*number),
            Self::Float(number) => toml::Value::Float(*number),
            Self::Boolean(truth) => toml::Value::Boolean(*truth),
            Self::Text(text) => toml::Value::String(text.clone()),
            Self::List(values) => toml::Value::Array(values.iter().map(Self::to_toml).collect()),
            Self::Table(fields) => toml::Value::Table(
                fields.iter().map(|(name, value)| (name.clone(), value.to_toml())).collect(),
            ),
            Self::Policy(policy) => toml::Value::String(policy.clone().without_files().to_string()),
        }
    }

    /// The value as a policy.
    ///
    /// # Errors
    /// When it is a number, or text that is no policy.
    pub(crate) fn to_policy(&self) -> Result<PolicySpec, PolicyError> {
        match self {
            Self::Policy(policy) => Ok(policy.clone()),
            Self::Text(text) => text.parse(),
            other => Err(PolicyError::Spec {
                place: Place::default(),
                problem: format!("{other} is no policy: write a name such as k8v4"),
            }),
        }
    }
}

impl PolicySpec {
    /// A method with the settings of a table.
    pub(crate) fn method(name: &str, settings: toml::Table) -> Result<Self, PolicyError> {
        let argument = |(name, value): (String, toml::Value)| {
            Ok(Argument {
                setting: Some(Word::from(name.as_str())),
                value: Value::from_toml(value)?,
                place: Place::default(),
            })
        };
        let arguments = settings.into_iter().map(argument).collect::<Result<_, PolicyError>>()?;
        Ok(Tree::Method { name: name.into(), arguments }.into())
    }
}

impl Serialize for PolicySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = PolicySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy: a name such as \"k8v4\", or a table with a `method`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PolicySpec, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PolicySpec, A::Error> {
        let table = toml::Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PolicyFile::from_table(table).map_err(A::Error::custom)?.spec)
    }
}
