//! Trees as text: what is printed reads back to the same tree.

use kvr_kernels::formats::digest;
use std::fmt::{self, Display, Formatter};

use super::cursor::is_word;
use super::{Argument, PolicySpec, Rule, Tree, Value};

/// Lists with more numbers than this are printed as a digest where a name is for people.
const LONGEST_LIST: usize = 16;

/// Something of a tree, with lists whole or as digests.
struct Shown<'a, T>(&'a T, Lists);

#[derive(Clone, Copy)]
enum Lists {
    Whole,
    Digests,
}

impl Display for PolicySpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Shown(self, Lists::Whole).fmt(f)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Shown(self, Lists::Whole).fmt(f)
    }
}

impl PolicySpec {
    /// The name with each long list of numbers, such as a codebook, as a digest: it tells two of
    /// them apart but can't be read back.
    pub(crate) fn digested(&self) -> String {
        Shown(self, Lists::Digests).to_string()
    }
}

impl Display for Shown<'_, PolicySpec> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(spec, lists) = *self;
        match &spec.tree {
            Tree::Name(name) => f.write_str(name),
            Tree::Pair { keys, values } => write!(f, "{}:{}", keys.text, values.text),
            Tree::Method { name, arguments } => {
                write!(f, "{}(", name.text)?;
                let shown = |argument: &Argument, f: &mut Formatter<'_>| {
                    if let Some(setting) = &argument.setting {
                        write!(f, "{}=", Quoted(&setting.text))?;
                    }
                    Shown(&argument.value, lists).fmt(f)
                };
                joined(f, arguments, ";", shown)?;
                f.write_str(")")
            }
            Tree::ByLayer { base, rules } => {
                write!(f, "{}[", Shown(&**base, lists))?;
                let shown = |rule: &Rule, f: &mut Formatter<'_>| {
                    write!(f, "{}={}", rule.select, Shown(&rule.policy, lists))
                };
                joined(f, rules, ";", shown)?;
                f.write_str("]")
            }
            Tree::File { path, .. } => Quoted(path).fmt(f),
        }
    }
}

impl Display for Shown<'_, Value> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(value, lists) = *self;
        match value {
            Value::Integer(number) => number.fmt(f),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Boolean(truth) => truth.fmt(f),
            Value::Text(text) => in_quotes(text, f),
            Value::List(_) if matches!(lists, Lists::Digests) && numbers(value) > LONGEST_LIST => {
                write!(f, "#{:016x}", digest(value.to_string().as_bytes()))
            }
            Value::List(values) => {
                f.write_str("[")?;
                joined(f, values, ",", |value, f| Shown(value, lists).fmt(f))?;
                f.write_str("]")
            }
            Value::Table(fields) => {
                f.write_str("{")?;
                let shown = |(name, value): &(String, Value), f: &mut Formatter<'_>| {
                    write!(f, "{}={}", Quoted(name), Shown(value, lists))
                };
                joined(f, fields, ";", shown)?;
                f.write_str("}")
            }
            Value::Policy(policy) => Shown(policy, lists).fmt(f),
        }
    }
}

fn joined<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    separator: &str,
    shown: impl Fn(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        shown(item, f)?;
    }
    Ok(())
}

/// Text in quotes where it is no plain word.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_word(self.0) { f.write_str(self.0) } else { in_quotes(self.0, f) }
    }
}

fn in_quotes(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('"', "\"\""))
}

/// How many numbers a value holds in all.
fn numbers(value: &Value) -> usize {
    match value {
        Value::Integer(_) | Value::Float(_) => 1,
        Value::List(values) => values.iter().map(numbers).sum(),
        Value::Table(fields) => fields.iter().map(|(_, value)| numbers(value)).sum(),
        _ => 0,
    }
}
