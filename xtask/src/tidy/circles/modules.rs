//! The modules of a crate, and which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Kind, Outline, Path, outline};

/// Re-exports followed before a path is given up.
const DEEPEST: usize = 16;

/// A use of one file by another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    /// Index of the file that uses.
    pub(super) from: usize,
    /// Index of the file that defines what is used.
    pub(super) to: usize,
    pub(super) line: usize,
    /// The path as it is written.
    pub(super) path: String,
}

/// A module, named by its path from the root of the crate.
type Module = Vec<String>;

/// The files of a crate by what they define.
pub(super) struct Crate {
    outlines: Vec<(Module, Outline)>,
    /// Every module with its file; the inline ones too.
    files: BTreeMap<Module, usize>,
    /// What each module defines.
    items: BTreeSet<(Module, String)>,
    /// What each module imports or exports.
    imports: BTreeMap<Module, Vec<Path>>,
}

/// The module of a file: its path within `src/`, without extension.
pub(super) fn module_of(parts: &[&str]) -> Module {
    let mut module: Module = parts.iter().map(|part| part.trim_end_matches(".rs").into()).collect();
    if module.last().is_some_and(|last| last == "mod")
        || ["lib", "main"].map(|root| vec![root.to_owned()]).contains(&module)
    {
        module.pop();
    }
    module
}

impl Crate {
    /// Reads the files of a crate: each one's path within `src/`, in parts, and its text.
    pub(super) fn new(sources: &[(Vec<&str>, &str)]) -> Self {
        let mut new = Self {
            outlines: Vec::new(),
            files: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
        };
        for (index, (parts, text)) in sources.iter().enumerate() {
            let (module, outline) = (module_of(parts), outline(text));
            new.files.insert(module.clone(), index);
            let within = |inside: &[String]| [module.as_slice(), inside].concat();
            for (inside, name) in &outline.items {
                new.items.insert((within(inside), name.clone()));
            }
            for path in &outline.paths {
                new.files.insert(within(&path.inside), index);
                if path.kind != Kind::Inline {
                    new.imports.entry(within(&path.inside)).or_default().push(path.clone());
                }
            }
            new.outlines.push((module, outline));
        }
        new
    }

    /// Every use of one file by another, re-exports apart.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, (module, outline)) in self.outlines.iter().enumerate() {
            for path in outline.paths.iter().filter(|path| path.kind != Kind::Export) {
                let at = [module.as_slice(), &path.inside].concat();
                let to = self
                    .start(&at, &path.segments, path.kind)
                    .and_then(|(base, rest)| self.definer(&base, rest, DEEPEST));
                if let Some(to) = to.filter(|to| *to != from) {
                    let path_text = path.segments.join("::");
                    arrows.insert(Arrow { from, to, line: path.line, path: path_text });
                }
            }
        }
        arrows.into_iter().collect()
    }

    /// Where a path written in module `at` begins, and what is left of it; `None` for other crates.
    fn start<'a>(
        &self,
        at: &Module,
        segments: &'a [String],
        kind: Kind,
    ) -> Option<(Module, &'a [String])> {
        let mut base = at.clone();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                // A child module, or in code a name that this module imported.
                let imported = || {
                    let imports = self.imports.get(at).into_iter().flatten();
                    kind == Kind::Inline && imports.clone().any(|path| path.alias == name)
                };
                if !self.files.contains_key(&child(at, name)) && !imported() {
                    return None;
                }
            }
        }
        Some((base, rest))
    }

    /// The file that defines what `rest` leads to from module `base`.
    fn definer(&self, base: &Module, rest: &[String], deepest: usize) -> Option<usize> {
        let Some((name, after)) = rest.split_first() else {
            return self.files.get(base).copied();
        };
        let own = self.files.get(base).copied();
        if name == "*" || deepest == 0 {
            return own;
        }
        let inner = child(base, name);
        if self.files.contains_key(&inner) {
            return self.definer(&inner, after, deepest);
        }
        if self.items.contains(&(base.clone(), name.clone())) {
            return own;
        }
        let imports = self.imports.get(base).into_iter().flatten();
        if let Some(path) = imports.clone().find(|path| path.alias == *name) {
            let (start, left) = self.start(base, &path.segments, path.kind)?;
            return self.definer(&start, &[left, after].concat(), deepest - 1);
        }
        for path in imports.filter(|path| path.alias == "*") {
            let Some((start, left)) = self.start(base, &path.segments, path.kind) else { continue };
            let target = [start, left[..left.len().saturating_sub(1)].to_vec()].concat();
            if target != *base && self.defines(&target, name) {
                return self.definer(&target, rest, deepest - 1);
            }
        }
        own
    }

    /// Whether a module defines or imports a name.
    fn defines(&self, module: &Module, name: &str) -> bool {
        self.files.contains_key(&child(module, name))
            || self.items.contains(&(module.clone(), name.to_owned()))
            || self.imports.get(module).into_iter().flatten().any(|path| path.alias == name)
    }
}

fn child(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> =
            files.iter().map(|(path, text)| (path.split('/').collect(), *text)).collect();
        let arrows = Crate::new(&sources).arrows();
        let name = |index: usize| files[index].0;
        arrows.iter().map(|a| format!("{}:{} {}", name(a.from), a.line, name(a.to))).collect()
    }

    #[test]
    fn modules_follow_folders() {
        assert_eq!(module_of(&["lib.rs"]), Vec::<String>::new());
        assert_eq!(module_of(&["a", "mod.rs"]), ["a"]);
        assert_eq!(module_of(&["a", "b.rs"]), ["a", "b"]);
    }

    #[test]
    fn re_exports_lead_to_the_file_that_defines() {
        let files = [
            ("lib.rs", "mod a;\npub mod b;\npub use a::Foo;\npub use a::c::*;"),
            ("a/mod.rs", "pub mod c;\npub struct Foo;"),
            ("a/c.rs", "pub fn bar() {}"),
            ("b.rs", "use crate::Foo;\nfn x() { crate::bar() }"),
        ];
        assert_eq!(arrows(&files), ["b.rs:1 a/mod.rs", "b.rs:2 a/c.rs"]);
    }

    #[test]
    fn super_and_child_modules_are_followed() {
        let files = [
            ("a/mod.rs", "mod b;\nfn f() { b::g(); std::mem::take(x) }"),
            ("a/b.rs", "mod tests { use super::*;\n use super::super::f; use burn::a; }"),
        ];
        assert_eq!(arrows(&files), ["a/mod.rs:2 a/b.rs", "a/b.rs:2 a/mod.rs"]);
    }

    #[test]
    fn names_of_imported_modules_are_followed() {
        let files = [
            ("a.rs", "use crate::b;\nfn f() { b::c::g() }"),
            ("b/mod.rs", "pub mod c;"),
            ("b/c.rs", "pub fn g() {}"),
        ];
        assert_eq!(arrows(&files), ["a.rs:1 b/mod.rs", "a.rs:2 b/c.rs"]);
    }
}
