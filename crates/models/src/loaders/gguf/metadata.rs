//! The metadata of a GGUF: keys and values, and how a caller asks for one of a certain kind.

use std::collections::BTreeMap;

use super::cursor::{Cursor, quoted};
use super::value::{Array, Value};
use crate::ModelError;

/// Where each key's value stands in the file.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<String, usize>);

/// The fewest bytes of a key and its value: a length, a type, one byte.
const LEAST: usize = 8 + 4 + 1;

impl Index {
    /// Fewest bytes of one entry.
    pub(super) const fn least_bytes() -> usize {
        LEAST
    }

    /// Reads `count` keys and values; `file` is for messages.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        count: usize,
        file: &str,
    ) -> Result<Self, ModelError> {
        let mut index = Self::default();
        for number in 1..=count {
            let fault = cursor.fault("");
            let what = || format!("key {number} of {count}");
            let key = cursor.text().map_err(|f| f.inside(file, &what()))?;
            let start = cursor.at();
            Value::read(cursor).map_err(|f| f.inside(file, &format!("key {}", quoted(key))))?;
            if index.0.insert(key.to_owned(), start).is_some() {
                let problem = "it is there twice: the file is damaged, fetch it again".to_owned();
                let fault = super::cursor::Fault { problem, ..fault };
                return Err(fault.inside(file, &format!("key {}", quoted(key))));
            }
        }
        Ok(index)
    }
}

/// The keys and values of one file.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    pub(super) file: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) index: &'a Index,
}

impl<'a> Metadata<'a> {
    /// Every key, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.index.0.keys().map(String::as_str)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let start = *self.index.0.get(key)?;
        // Read once already when the file was opened.
        Value::read(&mut Cursor::new(self.bytes, start)).ok()
    }

    /// A text, if the key is there.
    ///
    /// # Errors
    /// When its value is something else.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.typed(key, "a text", |value| value.text())
    }

    /// A whole number that is not negative, of any width.
    ///
    /// # Errors
    /// When its value is something else.
    pub fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.typed(key, "a whole number from 0 on", |value| value.size())
    }

    /// A number of any type.
    ///
    /// # Errors
    /// When its value is something else, or not finite.
    pub fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.typed(key, "a finite number", |value| value.number().filter(|x| x.is_finite()))
    }

    /// True or false.
    ///
    /// # Errors
    /// When its value is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An array.
    ///
    /// # Errors
    /// When its value is something else.
    pub fn array(&self, key: &str) -> Result<Option<Array<'a>>, ModelError> {
        self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array.clone()),
            _ => None,
        })
    }

    /// `value` of a key that has to be there.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, ModelError> {
        value.ok_or_else(|| {
            self.error(key, "is missing: convert the model again with a current llama.cpp")
        })
    }

    /// An error about a key.
    pub(super) fn error(&self, key: &str, problem: impl std::fmt::Display) -> ModelError {
        ModelError::file(self.file, format!("key {key:?} {problem}"))
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(&value) {
            Some(value) => Ok(Some(value)),
            None => {
                let got = match &value {
                    Value::Array(_) => value.kind().to_owned(),
                    Value::Text(text) => quoted(text),
                    Value::Unsigned(n) => n.to_string(),
                    Value::Signed(n) => n.to_string(),
                    Value::Float(x) => x.to_string(),
                    Value::Bool(flag) => flag.to_string(),
                };
                Err(self.error(key, format!("is {got}, expected {expected}: fetch the file again")))
            }
        }
    }
}
