//! A policy's name as a tree: what `--policy` takes, in memory.
//!
//! ```text
//! k8v4   kivi-2   a4g64                  names of policies and formats
//! q5_1:q4_0                              a format for keys and one for values
//! window(recent=4;policy=k4v4)           a method with settings
//! window(k4v4)                           a first value without a name is the inner policy
//! k8v4[first 2=fp16;5.0=k8v8]            other policies for some layers and heads
//! mine.toml                              what a file says
//! ```
//!
//! Each may stand wherever a policy may, to a depth of [`MAX_DEPTH`]. Values of settings are
//! numbers, `true` and `false`, text (in quotes if it is no plain word; `""` stands for a quote in
//! it), lists `[1, 2]`, tables `{select="0"; policy=fp16}`, and policies. A tree prints as it is
//! read, and what is printed reads back to the same tree.

mod convert;
mod cursor;
mod display;
mod files;
mod parse;
mod selector;
#[cfg(test)]
mod tests;

use crate::Place;

pub(crate) use self::cursor::is_word;
pub(crate) use self::cursor::too_deep;
pub use self::files::PolicyFile;
pub(crate) use self::files::in_file;
pub use self::parse::split_names;
pub use self::selector::{Selector, Span};

/// The most policies, lists and tables inside each other.
pub const MAX_DEPTH: usize = 32;

/// A policy as it was named. Two are equal if their trees are.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// What was named.
    pub tree: Tree,
    /// Where it stands in the text that it was read from.
    pub place: Place,
}

/// The forms that a policy's name has.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A policy, a method with its defaults, or one format for keys and values.
    Name(String),
    /// `keys:values`, two formats.
    Pair {
        /// The format of keys.
        keys: Word,
        /// The format of values.
        values: Word,
    },
    /// `method(setting=value;…)`.
    Method {
        /// The method.
        name: Word,
        /// Its settings, as far as they were given, in the order given.
        arguments: Vec<Argument>,
    },
    /// `base[selector=policy;…]`.
    ByLayer {
        /// The policy of everything that no rule selects.
        base: Box<PolicySpec>,
        /// What others get; later rules win.
        rules: Vec<Rule>,
    },
    /// `FILE.toml`.
    File {
        /// The path as it was typed.
        path: String,
        /// What the file says, once it was read.
        says: Option<Box<PolicyFile>>,
    },
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// One `setting=value`. Only the first may be without a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The setting; `None` for the one that the method declares as its inner policy.
    pub setting: Option<Word>,
    /// Its value.
    pub value: Value,
    /// Where the value stands.
    pub place: Place,
}

/// One `selector=policy`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which layers and heads.
    pub select: Selector,
    /// Their policy.
    pub policy: PolicySpec,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A finite number with a point or an exponent.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// Text in quotes.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A table without a `method`.
    Table(Vec<(String, Value)>),
    /// A plain word or a policy: which of them it is, the setting says.
    Policy(PolicySpec),
}

impl From<Tree> for PolicySpec {
    fn from(tree: Tree) -> Self {
        Self { tree, place: Place::default() }
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), place: Place::default() }
    }
}

impl PolicySpec {
    /// The policy of a plain name, such as `k8v4`.
    pub fn name(name: &str) -> Self {
        Tree::Name(name.to_owned()).into()
    }

    /// `keys:values`, two formats.
    pub fn pair(keys: &str, values: &str) -> Self {
        Tree::Pair { keys: keys.into(), values: values.into() }.into()
    }

    /// `base[selector=policy;…]`.
    pub fn by_layer(base: Self, rules: Vec<Rule>) -> Self {
        Tree::ByLayer { base: Box::new(base), rules }.into()
    }

    /// How deeply policies, lists and tables stand inside each other: 1 for a plain name.
    pub(crate) fn depth(&self) -> usize {
        1 + match &self.tree {
            Tree::Name(_) | Tree::Pair { .. } => 0,
            Tree::Method { arguments, .. } => {
                arguments.iter().map(|argument| argument.value.depth()).max().unwrap_or(0)
            }
            Tree::ByLayer { base, rules } => {
                rules.iter().map(|rule| rule.policy.depth()).fold(base.depth(), usize::max)
            }
            Tree::File { says, .. } => says.as_ref().map_or(0, |file| file.spec.depth()),
        }
    }
}

impl Value {
    fn depth(&self) -> usize {
        match self {
            Self::List(values) => 1 + values.iter().map(Self::depth).max().unwrap_or(0),
            Self::Table(fields) => 1 + fields.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            Self::Policy(policy) => policy.depth(),
            _ => 0,
        }
    }
}

impl Default for PolicySpec {
    /// The 4-bit policy that most methods are measured around.
    fn default() -> Self {
        Self::name("k4v4")
    }
}
