//! How long files and lines may be.

use std::path::Path;

use super::source::Source;

/// Lines that a file of code may have at most.
const LONGEST_FILE: usize = 400;

/// Lines that half of the files of code may have at most.
const LARGEST_MEDIAN: usize = 100;

/// Columns that a line of Rust may have at most; rustfmt leaves long strings and comments alone.
const LONGEST_LINE: usize = 100;

/// Lines that a document may have at most.
const DOCUMENTS: [(&str, usize); 2] = [("README.md", 150), ("ARCHITECTURE.md", 150)];

/// Folders whose code is counted.
const CODE: [&str; 3] = ["crates", "xtask", "examples"];

/// Reports files that are too long, a median that is too large, and lines that are too wide.
pub(crate) fn check(files: &[Source], broken: &mut Vec<String>) {
    let mut lengths = Vec::new();
    for file in files {
        let path = file.path.display();
        let lines = file.text.lines().count();
        if is_counted(file) {
            lengths.push(lines);
            if lines > LONGEST_FILE {
                broken.push(format!("{path}: {lines} lines, at most {LONGEST_FILE}: split it"));
            }
        }
        for (name, limit) in DOCUMENTS {
            if file.path == Path::new(name) && lines > limit {
                broken.push(format!("{path}: {lines} lines, at most {limit}"));
            }
        }
        if file.is("rs") {
            for (number, line) in file.lines() {
                let columns = line.chars().count();
                if columns > LONGEST_LINE {
                    broken.push(format!(
                        "{path}:{number}: {columns} columns, at most {LONGEST_LINE}"
                    ));
                }
            }
        }
    }
    if let Some(median) = median(lengths)
        && median > LARGEST_MEDIAN
    {
        broken.push(format!(
            "{}: the median file has {median} lines, at most {LARGEST_MEDIAN}",
            CODE.join(", ")
        ));
    }
}

fn is_counted(file: &Source) -> bool {
    (file.is("rs") || file.is("wgsl")) && CODE.iter().any(|folder| file.path.starts_with(folder))
}

/// The upper of the two middle lengths where their number is even.
fn median(mut lengths: Vec<usize>) -> Option<usize> {
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        check(&[Source { path: path.into(), text: text.to_owned() }], &mut broken);
        broken
    }

    #[test]
    fn long_files_and_lines_are_found() {
        assert!(found("crates/a/src/b.rs", &"x\n".repeat(100)).is_empty());
        assert_eq!(found("crates/a/src/b.rs", &"x\n".repeat(101)).len(), 1, "the median");
        assert_eq!(found("crates/a/src/b.wgsl", &"x\n".repeat(401)).len(), 2, "and the file");
        assert!(found("tests/a.rs", &"x\n".repeat(401)).is_empty(), "not counted");
        assert!(found("a.rs", &"é".repeat(100)).is_empty(), "columns are characters");
        assert_eq!(found("a.rs", &"é".repeat(101)), ["a.rs:1: 101 columns, at most 100"]);
        assert_eq!(found("ARCHITECTURE.md", &"x\n".repeat(151)).len(), 1);
    }

    #[test]
    fn half_of_the_files_are_no_longer_than_the_median() {
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(vec![1, 4, 2, 3]), Some(3));
        assert_eq!(median(vec![]), None);
    }
}
