//! Words that have no place in code and documents.

use std::path::Path;

use super::source::Source;

/// What is left over from work that is not finished.
const UNFINISHED: [&str; 4] = ["todo!(", "unimplemented!(", "#[ignore", "dbg!("];

/// Words of our own where the field has one of its own: say fix, question, predicted, unnormalised.
const PRIVATE: [&str; 7] =
    ["mend", "mends", "riddle", "foretold", "give_way", "unturned", "settled"];

/// Reports unfinished code, private words, and files that don't open with what they are.
pub(crate) fn check(files: &[Source], broken: &mut Vec<String>) {
    for file in files {
        let (path, rust) = (file.path.display(), file.is("rs"));
        // This file names the words.
        let code = (rust || file.is("wgsl")) && !file.path.ends_with("tidy/words.rs");
        if code {
            for word in UNFINISHED.into_iter().filter(|word| file.text.contains(word)) {
                broken.push(format!("{path}: {word} has no place on main"));
            }
        }
        if (code || file.is("md")) && !file.path.starts_with("results") {
            for (number, line) in file.lines() {
                for word in private(line) {
                    broken.push(format!("{path}:{number}: '{word}': use the field's word"));
                }
            }
        }
        let first = file.text.lines().next().unwrap_or_default();
        if rust && file.path.starts_with("crates") && !first.starts_with("//") {
            broken.push(format!("{path}: does not say on top what it is"));
        }
        // Models and evaluation speak to policies through the interface only.
        let general = ["crates/models/src", "crates/eval/src"].map(Path::new);
        let concrete = ["builtin::", "kvr_policy::methods", "PackedCache"];
        if general.iter().any(|folder| file.path.starts_with(folder))
            && concrete.iter().any(|name| file.text.contains(name))
        {
            broken.push(format!("{path}: names a concrete policy"));
        }
    }
}

/// The private words of a line: whole words, or whole parts of a name, in any case.
fn private(line: &str) -> impl Iterator<Item = &'static str> {
    let line = line.to_lowercase();
    PRIVATE.into_iter().filter(move |word| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            ![before, after].into_iter().flatten().any(char::is_alphanumeric)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found() {
        let found = |line: &str| private(line).collect::<Vec<_>>();
        assert_eq!(found("the Mend: {mend}"), ["mend"]);
        assert_eq!(found("fn the_mend()"), ["mend"]);
        assert_eq!(found("hub::give_way(x)"), ["give_way"]);
        assert!(found("we recommend to amend mendacious settlements").is_empty());
        assert!(found("give way").is_empty());
    }
}
