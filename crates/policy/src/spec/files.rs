//! Policies in files: a `FILE.toml` in a name is replaced by what the file says.
//!
//! A file has `method = "…"`, settings, and perhaps a `name` and an `about`. A setting may name
//! another file, relative to the one that it stands in. Files are opened by a closure of the
//! caller: this crate reads none.

use std::path::{Component, Path, PathBuf};

use super::{MAX_DEPTH, PolicySpec, Tree, Value};
use crate::PolicyError;

/// The most files that one name may read: files may name others twice, and those others again.
const MAX_FILES: usize = 1000;

/// What a policy file says.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// What the policy calls itself.
    pub name: Option<String>,
    /// One line about it.
    pub about: Option<String>,
    /// The policy.
    pub spec: PolicySpec,
}

impl PolicyFile {
    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// When it is no TOML, has no `method`, or a value can't be understood.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let table = text.parse::<toml::Table>().map_err(|e| unplaced(e.to_string().trim_end()))?;
        Self::from_table(table)
    }

    /// As [`parse`](Self::parse), of a table that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn from_table(mut table: toml::Table) -> Result<Self, PolicyError> {
        let text = |table: &mut toml::Table, key: &str| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(unplaced(&format!("{key} = {other} is no text"))),
        };
        let (name, about) = (text(&mut table, "name")?, text(&mut table, "about")?);
        let Some(method) = text(&mut table, "method")? else {
            let problem = "there is no `method = \"…\"`: `kvr policies` lists the methods";
            return Err(unplaced(problem));
        };
        Ok(Self { name, about, spec: PolicySpec::method(&method, table)? })
    }
}

fn unplaced(problem: &str) -> PolicyError {
    PolicyError::Spec { place: crate::Place::default(), problem: problem.to_owned() }
}

impl PolicySpec {
    /// What a file at `path` says, as a tree that goes by the file's name.
    pub fn file(path: &str, says: PolicyFile) -> Self {
        Tree::File { path: path.to_owned(), says: Some(Box::new(says)) }.into()
    }

    /// Reads every file that it names, and those that these name. `read` gets paths that are
    /// relative where the name's are, and answers with the text or with what is wrong.
    ///
    /// # Errors
    /// When a file can't be read or understood, or names itself by way of others.
    pub fn read_files(
        mut self,
        read: &mut dyn FnMut(&Path) -> Result<String, String>,
    ) -> Result<Self, PolicyError> {
        let mut reader = Reader { read, count: 0, open: Vec::new() };
        reader.expand(&mut self)?;
        Ok(self)
    }

    /// The tree with every file that was read replaced by what it says.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        let replaced = visit(&mut self, &mut |spec| {
            while let Tree::File { says: Some(file), .. } = &mut spec.tree {
                let inner = file.spec.clone();
                *spec = inner;
            }
            Ok(())
        });
        debug_assert!(replaced.is_ok(), "replacing fails nowhere");
        self
    }
}

struct Reader<'a> {
    read: &'a mut dyn FnMut(&Path) -> Result<String, String>,
    count: usize,
    /// The files that are being read, each named by the one before.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn expand(&mut self, spec: &mut PolicySpec) -> Result<(), PolicyError> {
        visit(spec, &mut |spec| {
            let PolicySpec { tree: Tree::File { path, says }, place } = spec else { return Ok(()) };
            if says.is_some() {
                return Ok(());
            }
            let file = self.file(path).map_err(|error| match error {
                // Where in this text the file is named, unless it is the whole text.
                Problem::Here(problem) => PolicyError::Spec { place: place.clone(), problem },
                Problem::Inside(error) => error,
            })?;
            *says = Some(Box::new(file));
            Ok(())
        })
    }

    fn file(&mut self, path: &str) -> Result<PolicyFile, Problem> {
        let folder = self.open.last().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        let full = plain(&folder.join(path));
        let shown = full.display().to_string();
        let here = |problem: String| Problem::Here(format!("policy file {shown}: {problem}"));
        if self.open.contains(&full) {
            let chain: Vec<_> = self.open.iter().map(|file| file.display().to_string()).collect();
            let chain = chain.join(" names ");
            return Err(here(format!("names itself: {chain} names {shown}")));
        }
        if self.open.len() == MAX_DEPTH || self.count == MAX_FILES {
            return Err(here(format!(
                "too many files: at most {MAX_FILES}, and {MAX_DEPTH} inside each other"
            )));
        }
        self.count += 1;
        let text = (self.read)(&full).map_err(here)?;
        let inside = |error| Problem::Inside(in_file(&shown, error));
        let mut file = PolicyFile::parse(&text).map_err(inside)?;
        self.open.push(full);
        let done = self.expand(&mut file.spec);
        self.open.pop();
        done.map_err(inside)?;
        Ok(file)
    }
}

/// Why a file can't be had.
enum Problem {
    /// Something is wrong with the place that names it.
    Here(String),
    /// Something is wrong in it.
    Inside(PolicyError),
}

/// `error`, with the file that it is in said first.
pub(crate) fn in_file(file: &str, error: PolicyError) -> PolicyError {
    match error {
        error @ PolicyError::File { .. } => error,
        other => PolicyError::File { file: file.to_owned(), problem: other.to_string() },
    }
}

/// The path without `.` and, where a folder is named before it, `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        let folder = matches!(plain.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if folder => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Calls `f` for every policy of a tree, the outer before the inner. What a file says is inside.
fn visit(
    spec: &mut PolicySpec,
    f: &mut dyn FnMut(&mut PolicySpec) -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    f(spec)?;
    match &mut spec.tree {
        Tree::Name(_) | Tree::Pair { .. } => Ok(()),
        Tree::Method { arguments, .. } => {
            arguments.iter_mut().try_for_each(|argument| visit_value(&mut argument.value, f))
        }
        Tree::ByLayer { base, rules } => {
            visit(base, f)?;
            rules.iter_mut().try_for_each(|rule| visit(&mut rule.policy, f))
        }
        Tree::File { says, .. } => says.as_mut().map_or(Ok(()), |file| visit(&mut file.spec, f)),
    }
}

fn visit_value(
    value: &mut Value,
    f: &mut dyn FnMut(&mut PolicySpec) -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    match value {
        Value::Policy(policy) => visit(policy, f),
        Value::List(values) => values.iter_mut().try_for_each(|value| visit_value(value, f)),
        Value::Table(fields) => fields.iter_mut().try_for_each(|(_, v)| visit_value(v, f)),
        _ => Ok(()),
    }
}
