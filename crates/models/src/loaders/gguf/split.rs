//! Models in several files: `NAME-00001-of-00003.gguf` and so on, as llama.cpp's gguf-split writes.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use crate::ModelError;

/// Which part of how many a file name says it is.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    stem: &'a str,
    number: usize,
    count: usize,
}

/// Digits of a part's number.
const DIGITS: usize = 5;

impl<'a> Part<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let digits = |text: &str| {
            let plain = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
            if plain { text.parse::<usize>().ok() } else { None }
        };
        let (head, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = head.rsplit_once('-')?;
        let (number, count) = (digits(number)?, digits(count)?);
        (1..=count).contains(&number).then_some(Self { stem, number, count })
    }

    fn name(stem: &str, number: usize, count: usize) -> String {
        format!("{stem}-{number:0DIGITS$}-of-{count:0DIGITS$}.gguf")
    }
}

/// The names of all files of the model that a file of this name is, or is a part of, in order.
pub(crate) fn names(name: &str) -> Vec<String> {
    match Part::parse(name) {
        Some(Part { stem, count, .. }) => {
            (1..=count).map(|number| Part::name(stem, number, count)).collect()
        }
        None => vec![name.to_owned()],
    }
}

/// The name without `.gguf`; of parts, only the first has one.
pub(crate) fn stem(name: &str) -> Option<&str> {
    match Part::parse(name) {
        Some(Part { stem, number, .. }) => (number == 1).then_some(stem),
        None => name.strip_suffix(".gguf"),
    }
}

/// Every part of the model that `path` is, or is a part of, the first part first.
pub(super) fn parts(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(vec![path.to_owned()]);
    };
    let names = names(name);
    let count = names.len();
    let mut missing = names.iter().filter(|part| !path.with_file_name(part).exists());
    // A file that is no part is missed when it is opened.
    if count > 1
        && let Some(first) = missing.next()
    {
        let more = match missing.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Err(ModelError::file(
            path.display().to_string(),
            format!(
                "is part of a model in {count} files, and {first}{more} is not beside it: fetch \
                 it too"
            ),
        ));
    }
    Ok(names.iter().map(|part| path.with_file_name(part)).collect())
}

/// Whether a file says itself that it is part `number` (from 0 on) of `count`.
pub(super) fn check(
    metadata: &Metadata<'_>,
    number: usize,
    count: usize,
) -> Result<(), ModelError> {
    let told = metadata.size("split.count")?.unwrap_or(count);
    // Some writers say 0 for a model in one file.
    if told.max(1) != count {
        return Err(metadata.error(
            "split.count",
            format!(
                "is {told}, but {count} files are opened: name the parts as they were, such as \
                 {}, and give the first",
                Part::name("NAME", 1, told.min(99_999))
            ),
        ));
    }
    let told = metadata.size("split.no")?.unwrap_or(number);
    if told != number {
        return Err(metadata.error(
            "split.no",
            format!("is {told}, but the file's name says {number}: give the parts their own names"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_told_from_other_names() {
        let part = Part::parse("m-7b-00002-of-00003.gguf");
        assert_eq!(part, Some(Part { stem: "m-7b", number: 2, count: 3 }));
        for other in ["m.gguf", "m-00004-of-00003.gguf", "m-2-of-3.gguf", "m-00000-of-00003.gguf"] {
            assert_eq!(Part::parse(other), None, "{other}");
        }
    }

    #[test]
    fn missing_parts_are_named() {
        let folder = std::env::temp_dir().join(format!("kvr-split-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let first = folder.join("m-00001-of-00003.gguf");
        for number in [1, 3] {
            std::fs::write(folder.join(Part::name("m", number, 3)), b"").expect("a file");
        }
        let error = parts(&first).expect_err("part 2 is missing").to_string();
        assert!(error.contains("m-00002-of-00003.gguf"), "{error}");
        std::fs::write(folder.join(Part::name("m", 2, 3)), b"").expect("a file");
        let all = parts(&folder.join(Part::name("m", 3, 3))).expect("all parts");
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], first);
        std::fs::remove_dir_all(&folder).expect("a folder to remove");
    }
}
