//! What a file says of modules: which it holds, what it defines, imports, re-exports and names.

use super::tokens::{Token, tokens};

/// A path as it is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// Its segments; a glob's last segment is `*`.
    pub(super) segments: Vec<String>,
    /// The name that it is imported under; that of its last segment where it is not an import.
    pub(super) alias: String,
    pub(super) line: usize,
    /// The inline modules around it.
    pub(super) inside: Vec<String>,
    pub(super) kind: Kind,
}

/// How a path is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In a `use` that only this module sees.
    Import,
    /// In a `pub use` of a name that the file itself does not need.
    Export,
    /// In code.
    Inline,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Names that the file defines: the inline modules around them, and the name.
    pub(super) items: Vec<(Vec<String>, String)>,
    /// Every path that may lead to another module of the crate.
    pub(super) paths: Vec<Path>,
}

/// Words before the name of an item.
const ITEMS: [&str; 10] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod", "macro_rules"];

/// Reads a file.
pub(super) fn outline(source: &str) -> Outline {
    let tokens = tokens(source);
    let mut out = Outline::default();
    // Names in code, for telling which re-exports the file needs itself.
    let mut names: Vec<(Vec<String>, &str)> = Vec::new();
    // Inline modules, each with the depth of braces that it began at.
    let mut modules: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0usize, 0);
    while let Some(token) = tokens.get(at) {
        let inside = || modules.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
        match token.text {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                modules.retain(|(_, began)| *began < depth + 1);
            }
            "use" => {
                let public = is_public(&tokens[..at]);
                let end = tokens[at..].iter().position(|t| t.text == ";").unwrap_or(0) + at;
                let tree = &tokens[at + 1..end.max(at + 1)];
                let kind = if public { Kind::Export } else { Kind::Import };
                let base = Path {
                    segments: Vec::new(),
                    alias: String::new(),
                    line: token.line,
                    inside: inside(),
                    kind,
                };
                use_tree(tree, &base, &mut out.paths);
                at = end.max(at + 1);
                continue;
            }
            // The path in `pub(in path)` is not a use of it.
            "pub" if next(1) == "(" => {
                at += tokens[at..].iter().position(|t| t.text == ")").unwrap_or(1);
                continue;
            }
            word if ITEMS.contains(&word) => {
                let name = if word == "macro_rules" { next(2) } else { next(1) };
                // `fn(u8)`, `*const T`: no names.
                if tokens.get(at + 1).is_some_and(Token::is_name) || word == "macro_rules" {
                    out.items.push((inside(), name.to_owned()));
                    if word == "mod" && next(2) == "{" {
                        modules.push((name.to_owned(), depth + 1));
                        depth += 1;
                        at += 3;
                        continue;
                    }
                }
            }
            _ if token.is_name() => {
                let start = at;
                while next_is_segment(&tokens, at) {
                    at += 2;
                }
                let after_path = start > 0 && tokens[start - 1].text == "::";
                let segments: Vec<String> =
                    tokens[start..=at].iter().step_by(2).map(|t| t.text.to_owned()).collect();
                if !after_path {
                    names.push((inside(), token.text));
                }
                if segments.len() > 1 && !after_path {
                    out.paths.push(Path {
                        alias: segments.last().cloned().unwrap_or_default(),
                        segments,
                        line: token.line,
                        inside: inside(),
                        kind: Kind::Inline,
                    });
                }
            }
            _ => {}
        }
        at += 1;
    }
    for path in out.paths.iter_mut().filter(|path| path.kind == Kind::Export) {
        let needed =
            |(inside, name): &(Vec<String>, &str)| *inside == path.inside && *name == path.alias;
        if names.iter().any(needed) {
            path.kind = Kind::Import;
        }
    }
    out
}

/// Whether the tokens end in a visibility: `pub`, `pub(crate)`, `pub(in a::b)`.
fn is_public(before: &[Token<'_>]) -> bool {
    match before.last().map(|token| token.text) {
        Some("pub") => true,
        Some(")") => {
            let open = before.iter().rposition(|token| token.text == "(");
            open.is_some_and(|open| open > 0 && before[open - 1].text == "pub")
        }
        _ => false,
    }
}

fn next_is_segment(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|token| token.text == "::")
        && tokens.get(at + 2).is_some_and(Token::is_name)
}

/// Adds the paths of a `use` tree, without `use` and `;`, each begun with `base`.
fn use_tree(tree: &[Token<'_>], base: &Path, paths: &mut Vec<Path>) {
    let mut path = base.clone();
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        match token.text {
            "{" => {
                for part in list(&tree[at + 1..]) {
                    use_tree(part, &path, paths);
                }
                return;
            }
            "as" => {
                path.alias = tree.get(at + 1).map_or(String::new(), |token| token.text.to_owned());
                break;
            }
            "::" => {}
            // `use a::{self}` imports a.
            "self" if !path.segments.is_empty() => {}
            text => {
                path.segments.push(text.to_owned());
                path.alias = text.to_owned();
                path.line = token.line;
            }
        }
        at += 1;
    }
    if !path.segments.is_empty() {
        paths.push(path);
    }
}

/// The parts of a list between braces, the opening one left out.
fn list<'a, 'b>(tokens: &'a [Token<'b>]) -> Vec<&'a [Token<'b>]> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "," | "}" if depth == 0 => {
                if at > start {
                    parts.push(&tokens[start..at]);
                }
                start = at + 1;
                if token.text == "}" {
                    break;
                }
            }
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: &str) -> Vec<(String, Kind)> {
        let paths = outline(source).paths;
        paths.into_iter().map(|path| (path.segments.join("::"), path.kind)).collect()
    }

    #[test]
    fn use_trees_are_unfolded() {
        let source = "use crate::a::{self, b::{C, D as E}, f::*};\nuse super::g;";
        let want = ["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::f::*", "super::g"];
        let found: Vec<String> = said(source).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, want);
        assert_eq!(outline(source).paths[2].alias, "E");
    }

    #[test]
    fn re_exports_that_the_file_needs_are_imports() {
        let export = "pub use self::a::B;\npub(crate) use self::a::C;\n";
        assert!(said(export).iter().all(|(_, kind)| *kind == Kind::Export));
        let needed = said(&format!("{export}fn f() -> B {{}}"));
        assert_eq!([needed[0].1, needed[1].1], [Kind::Import, Kind::Export]);
    }

    #[test]
    fn paths_in_code_are_found_and_visibilities_are_not() {
        let source = "pub(in crate::a) fn f() { crate::b::g::<super::C>(\"crate::d::e\") }";
        let want = ["crate::b::g", "super::C"].map(|path| (path.to_owned(), Kind::Inline));
        assert_eq!(said(source), want);
    }

    #[test]
    fn inline_modules_nest() {
        let outline =
            outline("fn a() { { } }\nmod b { mod c { use super::x; } fn d() {} }\nfn e() {}");
        let items: Vec<String> = outline
            .items
            .iter()
            .map(|(inside, name)| {
                [inside.as_slice(), std::slice::from_ref(name)].concat().join("::")
            })
            .collect();
        assert_eq!(items, ["a", "b", "b::c", "b::d", "e"]);
        assert_eq!(outline.paths[0].inside, ["b", "c"]);
    }
}
