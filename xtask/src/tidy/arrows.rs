//! Which crate may depend on which: `kernels ← policy ← models ← eval ← cli`.

use std::path::Path;

use anyhow::{Context, Result};

/// Crates from the lowest to the highest: folder and package. Each may depend on those before it.
const LAYERS: [(&str, &str); 5] = [
    ("kernels", "kvr-kernels"),
    ("policy", "kvr-policy"),
    ("models", "kvr-models"),
    ("eval", "kvr-eval"),
    ("cli", "kvr"),
];

/// Reports dependencies upwards, and crates that have no layer.
pub(crate) fn check(root: &Path, broken: &mut Vec<String>) -> Result<()> {
    for (height, (folder, _)) in LAYERS.iter().enumerate() {
        match std::fs::read_to_string(root.join("crates").join(folder).join("Cargo.toml")) {
            Ok(manifest) => upwards(&manifest, height, broken),
            Err(e) => broken.push(format!("crates/{folder}/Cargo.toml: {e}")),
        }
    }
    for entry in std::fs::read_dir(root.join("crates")).context("crates/")? {
        let name = entry?.file_name();
        if LAYERS.iter().all(|(folder, _)| name != *folder) {
            let name = name.display();
            broken.push(format!("crates/{name}: has no place in the layers (xtask, arrows.rs)"));
        }
    }
    Ok(())
}

/// Reports the dependencies of a manifest on its own layer or a higher one.
fn upwards(manifest: &str, height: usize, broken: &mut Vec<String>) {
    let mut of_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            of_dependencies = line.contains("dependencies");
            continue;
        }
        let package = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let layer = LAYERS.iter().position(|(_, known)| *known == package);
        if of_dependencies && layer.is_some_and(|layer| layer >= height) {
            broken.push(format!("crates/{} must not depend on {package}", LAYERS[height].0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_upwards_are_found() {
        let manifest = "[package]\nname = \"kvr-models\"\n\
            [dependencies]\nkvr-policy.workspace = true\n\
            [dev-dependencies]\nkvr-eval.workspace = true\nkvr = { path = \"../cli\" }\n";
        let mut broken = Vec::new();
        upwards(manifest, 2, &mut broken);
        let said = ["kvr-eval", "kvr"].map(|p| format!("crates/models must not depend on {p}"));
        assert_eq!(broken, said);
        broken.clear();
        upwards(manifest, 0, &mut broken);
        assert_eq!(broken.len(), 3);
    }
}
