//! No circle between files of different folders: what is below knows nothing of what is above.
//!
//! In each folder, its files and subfolders are the nodes of a graph, and a use of one by another,
//! at any depth, is an arrow. A circle is broken where a subfolder is in it. Directly under `src/`
//! a file is a room of its own, so there every circle counts. Uses are read from the source, not
//! compiled: `use`, and paths in code; a re-export counts for the file that defines the name.

mod modules;
mod paths;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use self::modules::{Arrow, Crate};
use super::source::Source;

/// Pairs of files shown for each arrow of a circle.
const SHOWN: usize = 3;

/// Reports the circles of every crate.
pub(crate) fn check(files: &[Source], broken: &mut Vec<String>) {
    let mut crates: BTreeMap<String, Vec<(Vec<&str>, &str)>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        let parts: Vec<&str> = file.path.iter().filter_map(|part| part.to_str()).collect();
        if let Some(src) = parts.iter().position(|part| *part == "src") {
            let name = parts[..=src].join("/");
            crates.entry(name).or_default().push((parts[src + 1..].to_vec(), &file.text));
        }
    }
    for (name, sources) in crates {
        let arrows = Crate::new(&sources).arrows();
        let paths: Vec<&[&str]> = sources.iter().map(|(parts, _)| parts.as_slice()).collect();
        broken.extend(circles(&name, &paths, &arrows));
    }
}

/// The arrows between the children of one folder.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Arrow>>>;

/// A report for each circle.
fn circles(name: &str, paths: &[&[&str]], arrows: &[Arrow]) -> Vec<String> {
    let mut folders: BTreeMap<&[&str], Graph<'_>> = BTreeMap::new();
    for arrow in arrows {
        let (from, to) = (paths[arrow.from], paths[arrow.to]);
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let graph = folders.entry(&from[..shared]).or_default();
        let ends = graph.entry(from[shared]).or_default();
        ends.entry(to[shared]).or_default().push(arrow);
    }
    let mut reports = Vec::new();
    for (folder, graph) in &folders {
        for circle in components(graph) {
            let of_folders = circle.iter().any(|node| !node.ends_with(".rs"));
            if of_folders || folder.is_empty() {
                let place = [&[name], *folder].concat().join("/");
                let circle: Vec<&str> = circle.into_iter().collect();
                let mut text = format!("{place}: a circle of {}", circle.join(", "));
                for arrow in shown(graph, &circle) {
                    let [from, to] = [arrow.from, arrow.to].map(|file| paths[file].join("/"));
                    let Arrow { line, path, .. } = arrow;
                    text.push_str(&format!("\n    {name}/{from}:{line}: {path} is in {to}"));
                }
                reports.push(text);
            }
        }
    }
    reports
}

/// Some uses for each arrow of a circle, one for a pair of files.
fn shown<'a>(graph: &'a Graph<'_>, circle: &[&str]) -> Vec<&'a Arrow> {
    let within = graph.iter().filter(|(from, _)| circle.contains(from));
    let pairs = within.flat_map(|(_, ends)| ends.iter().filter(|(to, _)| circle.contains(to)));
    let of_pair = |arrows: &Vec<&'a Arrow>| {
        let mut arrows = arrows.clone();
        arrows.dedup_by_key(|arrow| (arrow.from, arrow.to));
        arrows.truncate(SHOWN);
        arrows
    };
    pairs.flat_map(|(_, arrows)| of_pair(arrows)).collect()
}

/// Sets of more than one node each of which reaches every other.
fn components<'a>(graph: &Graph<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&'a str>> =
        graph.keys().map(|node| (*node, reach(graph, node))).collect();
    let mut found: Vec<BTreeSet<&'a str>> = Vec::new();
    for (node, ends) in &reached {
        let back = |end: &&&str| reached.get(**end).is_some_and(|ends| ends.contains(node));
        let component: BTreeSet<&str> = ends.iter().filter(back).copied().collect();
        if component.len() > 1 && !found.contains(&component) {
            found.push(component);
        }
    }
    found
}

/// The nodes that a node reaches, itself among them if it lies on a circle.
fn reach<'a>(graph: &Graph<'a>, node: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        for end in graph.get(node).into_iter().flat_map(|ends| ends.keys()) {
            if seen.insert(*end) {
                open.push(end);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("crates/x/src/{path}").into(),
            text: (*text).to_owned(),
        };
        let mut broken = Vec::new();
        check(&files.iter().map(source).collect::<Vec<_>>(), &mut broken);
        broken
    }

    #[test]
    fn a_circle_of_folders_is_found_through_a_re_export() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use b::d::D;"),
            ("a/mod.rs", "pub mod c;"),
            ("a/c.rs", "use crate::D;"),
            ("b/mod.rs", "pub mod d;\nmod e;"),
            ("b/d.rs", "pub struct D;"),
            ("b/e.rs", "fn f() {\n crate::a::c::g() }"),
        ];
        let found = reports(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/x/src: a circle of a, b\n"), "{found:?}");
        assert!(found[0].contains("src/a/c.rs:1: crate::D is in b/d.rs"), "{found:?}");
        assert!(found[0].contains("src/b/e.rs:2: crate::a::c::g is in a/c.rs"), "{found:?}");
        assert!(reports(&files[..5]).is_empty());
    }

    #[test]
    fn files_of_one_folder_may_need_each_other_but_not_those_above() {
        let flat = [("a/b.rs", "use super::c::C;"), ("a/c.rs", "pub struct C;\nuse super::b::B;")];
        assert!(reports(&flat).is_empty());
        let rooms = [("b.rs", "use crate::c::C;"), ("c.rs", "pub struct C;\nuse crate::b::B;")];
        assert_eq!(reports(&rooms).len(), 1, "files under src/ are rooms");
        let nested = [
            ("a/mod.rs", "mod b;\npub trait T {}\nfn f() { b::c::g() }"),
            ("a/b/mod.rs", "pub mod c;"),
            ("a/b/c.rs", "use crate::a::T;\npub fn g() {}"),
        ];
        let found = reports(&nested);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/x/src/a: a circle of b, mod.rs"), "{found:?}");
    }
}
