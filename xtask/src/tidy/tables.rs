//! Tables in documents are copies of tables in results/, between markers:
//!
//! ```text
//! <!-- table: results/…/table.md -->
//! …
//! <!-- end of table -->
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

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

fn documents(root: &Path, files: &[PathBuf]) -> Result<Vec<(PathBuf, String)>> {
    let markdown = files.iter().filter(|f| f.extension().is_some_and(|e| e == "md"));
    markdown.map(|f| Ok((f.clone(), std::fs::read_to_string(root.join(f))?))).collect()
}

/// Reports documents whose tables are not those in results/.
pub(crate) fn stale(root: &Path, files: &[PathBuf], broken: &mut Vec<String>) -> Result<()> {
    for (file, text) in documents(root, files)? {
        if renewed(root, &text).with_context(|| file.display().to_string())? != text {
            broken.push(format!("{}: a table is stale: run `cargo xtask tables`", file.display()));
        }
    }
    Ok(())
}

/// Writes the tables anew.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (file, text) in documents(root, &super::tracked(root)?)? {
        let new = renewed(root, &text).with_context(|| file.display().to_string())?;
        if new != text {
            std::fs::write(root.join(&file), new)?;
            println!("{}", file.display());
        }
    }
    Ok(())
}
