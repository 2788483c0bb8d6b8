//! Tables in documents are copies of tables in results/, between markers:
//!
//! ```text
//! <!-- table: results/…/table.md -->
//! …
//! <!-- end of table -->
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::source::{self, Source};

/// Begins a line that names the source of a table.
const START: &str = "\n<!-- table: ";
/// Ends what is replaced.
const END: &str = "<!-- end of table -->";

/// The document with every marked table replaced by its source.
fn renewed(root: &Path, document: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = document;
    while let Some(at) = rest.find(START) {
        let marker_end = rest[at..].find("-->").context("a table marker is not closed")? + at;
        let source = rest[at + START.len()..marker_end].trim();
        let table =
            std::fs::read_to_string(root.join(source)).with_context(|| source.to_owned())?;
        let Some(end) = rest[marker_end..].find(END) else {
            bail!("the table from {source} has no '{END}'");
        };
        out.push_str(&rest[..marker_end + 3]);
        out.push_str(&format!("\n\n{}\n\n", table.trim_end()));
        rest = &rest[marker_end + end..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Reports documents whose tables are not those in results/.
pub(crate) fn stale(root: &Path, files: &[Source], broken: &mut Vec<String>) -> Result<()> {
    for file in files.iter().filter(|file| file.is("md")) {
        let path = file.path.display();
        if renewed(root, &file.text).with_context(|| path.to_string())? != file.text {
            broken.push(format!("{path}: a table is stale: run `cargo xtask tables`"));
        }
    }
    Ok(())
}

/// Rewrites the tables.
pub(crate) fn write(root: &Path) -> Result<()> {
    for file in source::read(root)?.iter().filter(|file| file.is("md")) {
        let new = renewed(root, &file.text).with_context(|| file.path.display().to_string())?;
        if new != file.text {
            std::fs::write(root.join(&file.path), new)?;
            println!("{}", file.path.display());
        }
    }
    Ok(())
}
