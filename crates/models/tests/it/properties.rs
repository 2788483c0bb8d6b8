//! Damaged files of every kind are refused or read, and never end the program.

use burn::tensor::Device;
use kvr_kernels::Context;
use kvr_models::ModelSource;
use kvr_testing::{copy, model_golden};
use proptest::prelude::*;

use crate::support::no_hub;

/// A copy of a golden model, to be damaged.
fn a_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = ["config.json", "model.safetensors"];
    copy(&files, &model_golden("llama-mha-tied"), folder.path());
    folder
}

fn load(folder: &std::path::Path) -> Result<kvr_models::Model, kvr_models::ModelError> {
    ModelSource::Folder(folder.to_owned()).load(&no_hub(), &Context::new(&Device::flex()))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Bytes of the header are changed, or the file is cut.
    #[test]
    fn mutated_safetensors_headers(
        edits in prop::collection::vec((0usize..2600, any::<u8>()), 1..6),
        cut in prop::option::of(0usize..500_000),
    ) {
        let folder = a_model();
        let path = folder.path().join("model.safetensors");
        let mut bytes = std::fs::read(&path).expect("weights");
        for (at, value) in edits {
            bytes[at] = value;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        std::fs::write(&path, &bytes).expect("writable");
        if let Err(error) = load(folder.path()) {
            prop_assert!(error.to_string().contains("model.safetensors"), "names no file: {error}");
        }
    }

    /// Numbers and words of the config are replaced.
    #[test]
    fn mutated_configs(
        line in 0usize..40,
        value in prop_oneof![
            Just("0"), Just("-1"), Just("1"), Just("3"), Just("0.5"), Just("1e400"),
            Just("18446744073709551615"), Just("16777216"), Just("null"), Just("true"),
            Just("\"\""), Just("[]"), Just("{}"),
        ],
    ) {
        let folder = a_model();
        let path = folder.path().join("config.json");
        let text = std::fs::read_to_string(&path).expect("a config");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = line % lines.len();
        if let Some((key, rest)) = lines[line].split_once(": ") {
            let comma = if rest.ends_with(',') { "," } else { "" };
            lines[line] = format!("{key}: {value}{comma}");
        }
        std::fs::write(&path, lines.join("\n")).expect("writable");
        if let Err(error) = load(folder.path()) {
            let text = error.to_string();
            let named = ["config.json", "model.safetensors"].iter().any(|file| text.contains(file));
            prop_assert!(named, "names no file: {text}");
        }
    }
}
