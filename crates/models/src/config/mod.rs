//! Reading `config.json`: one value a key, in whatever clothes programs put it.

mod lenient;
mod rope;
mod shape;
mod unsupported;

use serde_json::{Map, Value};

use crate::ModelError;

pub(crate) use rope::{RopeKeys, rope};
pub(crate) use shape::{Heads, heads, windows};
pub(crate) use unsupported::refuse_unsupported;

/// The largest number that a size in a config may be: far above any model, far below overflow.
pub(crate) const LARGEST: usize = 1 << 24;

/// The keys of a config, or of an object inside one. Keys that nobody asks for are ignored, and
/// `null` is the same as a missing key.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    values: Map<String, Value>,
    /// The file, for messages.
    file: String,
    /// What stands before keys in messages: `rope_scaling.` inside that object.
    path: String,
}

impl Config {
    /// Parses the text of a config; `file` is for messages.
    pub(crate) fn parse(text: &[u8], file: &str) -> Result<Self, ModelError> {
        let value = lenient::parse(text).map_err(|e| {
            ModelError::file(file, format!("is no valid JSON ({e}): fetch the file again"))
        })?;
        Self::from_value(value, file)
    }

    /// A config that some other file describes, with the keys of a `config.json`.
    pub(crate) fn from_value(value: Value, file: &str) -> Result<Self, ModelError> {
        match value {
            Value::Object(values) => {
                Ok(Self { values, file: file.to_owned(), path: String::new() })
            }
            _ => Err(ModelError::file(file, "is no JSON object, as model configs are")),
        }
    }

    /// Nothing of the same file: what an object that is not there holds.
    pub(crate) fn empty(&self) -> Self {
        Self { values: Map::new(), ..self.clone() }
    }

    /// The same keys, and those of `defaults` that are not there.
    pub(crate) fn or(mut self, defaults: Value) -> Self {
        if let Value::Object(defaults) = defaults {
            for (key, value) in defaults {
                self.values.entry(key).or_insert(value);
            }
        }
        self
    }

    /// The same keys but one.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.values.shift_remove(key);
        self
    }

    /// The value of a key that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// An error about this file.
    pub(crate) fn error(&self, problem: impl Into<String>) -> ModelError {
        ModelError::file(&self.file, problem)
    }

    /// An error that names a key and its value.
    pub(crate) fn wrong(&self, key: &str, expected: &str) -> ModelError {
        let value = self.values.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        let short: String = value.chars().take(60).collect();
        let dots = if short.len() < value.len() { " …" } else { "" };
        self.error(format!("{}{key} is {short}{dots}, expected {expected}", self.path))
    }

    /// An error that names a key that is not there.
    pub(crate) fn missing(&self, key: &str) -> ModelError {
        self.error(format!(
            "{}{key} is missing: this config describes no decoder that kvr knows",
            self.path
        ))
    }

    /// A size that has to be there, at least 1.
    pub(crate) fn size(&self, key: &str) -> Result<usize, ModelError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size, at least 1, where the key is there.
    pub(crate) fn optional_size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        if number.fract() != 0.0 {
            return Err(self.wrong(key, "a whole number"));
        }
        if !(1.0..=LARGEST as f64).contains(&number) {
            return Err(self.wrong(key, &format!("1 to {LARGEST}")));
        }
        Ok(Some(number as usize))
    }

    /// A finite number, where the key is there; numbers in quotes are numbers.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_f64(),
        };
        match number {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.wrong(key, "a number")),
        }
    }

    /// A number above 0, where the key is there.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.number(key)? {
            Some(number) if number <= 0.0 => Err(self.wrong(key, "a number above 0")),
            number => Ok(number),
        }
    }

    /// A number above 0 that has to be there.
    pub(crate) fn needs_positive(&self, key: &str) -> Result<f64, ModelError> {
        self.positive(key)?.ok_or_else(|| self.wrong(key, "a number above 0"))
    }

    /// Whether a key is true, `default` where it is not there.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => match value.as_u64() {
                Some(number @ 0..=1) => Ok(number == 1),
                _ => Err(self.wrong(key, "true or false")),
            },
        }
    }

    /// A word, where the key is there.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a word in quotes")),
        }
    }

    /// A list, where the key is there.
    pub(crate) fn list(&self, key: &str) -> Result<Option<&[Value]>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(key, "a list")),
        }
    }

    /// An object inside this one, where the key is there and it holds something.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Self>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(values)) if values.is_empty() => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self {
                values: values.clone(),
                file: self.file.clone(),
                path: format!("{}{key}.", self.path),
            })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    /// The tokens that a key names, one or several; what is no token is left out.
    pub(crate) fn tokens(&self, key: &str) -> Vec<u32> {
        let token = |value: &Value| u32::try_from(value.as_u64()?).ok();
        match self.get(key) {
            Some(Value::Array(values)) => values.iter().filter_map(token).collect(),
            Some(value) => token(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text.as_bytes(), "config.json").expect("JSON")
    }

    #[test]
    fn numbers_in_other_clothes_are_read() {
        let config = config(r#"{"a": 2048.0, "b": "1e-5", "c": "2048", "d": null, "e": 1}"#);
        assert_eq!(config.size("a").expect("a size"), 2048);
        assert_eq!(config.positive("b").expect("a number"), Some(1e-5));
        assert_eq!(config.size("c").expect("a size"), 2048);
        assert_eq!(config.optional_size("d").expect("null is missing"), None);
        assert!(config.flag("e", false).expect("a flag"));
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        let config = config(r#"{"a": 2.5, "b": "many", "c": Infinity, "in": {"d": -1}}"#);
        let said = |error: ModelError| error.to_string();
        assert_eq!(
            said(config.size("a").expect_err("no size")),
            "config.json: a is 2.5, expected a whole number"
        );
        assert!(said(config.size("b").expect_err("no size")).contains(r#"b is "many""#));
        assert!(said(config.number("c").expect_err("none")).contains(r#"c is "Infinity""#));
        let inside = config.section("in").expect("an object").expect("with something");
        assert!(said(inside.needs_positive("d").expect_err("negative")).contains("in.d is -1"));
        assert!(said(inside.needs_positive("x").expect_err("missing")).contains("in.x is missing"));
    }
}
