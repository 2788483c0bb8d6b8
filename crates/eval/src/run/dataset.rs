//! Texts to evaluate on.

use std::io::Read;
use std::path::Path;

use kvr_models::{Hub, hex};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::EvalError;

/// A text and where it came from.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What records call it.
    pub name: String,
    /// The text, byte for byte as in its file.
    pub text: String,
    /// SHA-256 of the text.
    pub sha256: String,
}

/// A line of `kvr datasets`.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// What it is.
    pub title: String,
    /// Its licence, as an SPDX expression.
    pub licence: String,
    /// File inside the program.
    pub file: Option<String>,
    /// Dataset repository on the hub.
    pub repository: Option<String>,
    /// Archive in that repository.
    pub archive: Option<String>,
    /// The text inside the archive.
    pub member: Option<String>,
    /// SHA-256 that the text must have.
    pub sha256: Option<String>,
}

/// A file of the repository's datasets/.
macro_rules! dataset_file {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/", $path))
    };
}

const SAMPLE: &str = dataset_file!("sample/sample.txt");

const MANIFESTS: [(&str, &str); 2] = [
    ("sample", dataset_file!("sample/manifest.toml")),
    ("wikitext-2", dataset_file!("wikitext-2/manifest.toml")),
];

/// The datasets that have a name.
pub fn manifests() -> Vec<(&'static str, Manifest)> {
    let parse = |text| toml::from_str(text).expect("manifests are part of the program, and tested");
    MANIFESTS.iter().map(|(name, text)| (*name, parse(text))).collect()
}

fn manifest(name: &str) -> Option<Manifest> {
    manifests().into_iter().find(|(known, _)| *known == name).map(|(_, manifest)| manifest)
}

impl Dataset {
    /// The dataset that `--dataset` names: `sample`, `wikitext-2`, `wikitext-2:PATH` or a text
    /// file.
    ///
    /// # Errors
    /// When it can't be found or fetched, is empty, is not UTF-8, or is not what its name says.
    pub fn load(text: &str, hub: &Hub) -> Result<Self, EvalError> {
        if text == "sample" {
            return Self::of("sample", SAMPLE.as_bytes().to_vec(), "sample");
        }
        if let Some(manifest) = manifest(text) {
            let (bytes, file) = fetch(text, &manifest, hub)?;
            return Self::checked(text, bytes, &manifest, &file);
        }
        if let Some((name, path)) = text.split_once(':')
            && let Some(manifest) = manifest(name)
        {
            return Self::checked(name, read(Path::new(path))?, &manifest, path);
        }
        let path = Path::new(text);
        if !path.exists() {
            let known: Vec<_> = MANIFESTS.iter().map(|(name, _)| *name).collect();
            return Err(EvalError::Dataset(format!(
                "no dataset and no file is called '{text}' (datasets: {}): give a name or the path \
                of a text file",
                known.join(", ")
            )));
        }
        let mut dataset = Self::of(text, read(path)?, text)?;
        // A file that is a known text is recorded under that text's name.
        let known = |m: &Manifest| m.sha256.as_deref() == Some(dataset.sha256.as_str());
        if let Some((name, _)) = manifests().into_iter().find(|(_, m)| known(m)) {
            dataset.name = name.to_owned();
        }
        Ok(dataset)
    }

    /// Stands for the texts that synthetic protocols make themselves.
    pub fn synthetic() -> Self {
        let sha256 = hex(&Sha256::digest(b""));
        Self { name: "synthetic".to_owned(), text: String::new(), sha256 }
    }

    /// A text given as bytes.
    ///
    /// # Errors
    /// When it is empty or not UTF-8.
    pub fn of(name: &str, bytes: Vec<u8>, file: &str) -> Result<Self, EvalError> {
        let sha256 = hex(&Sha256::digest(&bytes));
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            EvalError::Dataset(format!(
                "{file}: is not UTF-8 from byte {at} on: convert it first (iconv -t utf-8)"
            ))
        })?;
        if text.trim().is_empty() {
            return Err(EvalError::Dataset(format!(
                "{file}: is empty: give a text to evaluate on"
            )));
        }
        Ok(Self { name: name.to_owned(), text, sha256 })
    }

    fn checked(
        name: &str,
        bytes: Vec<u8>,
        manifest: &Manifest,
        file: &str,
    ) -> Result<Self, EvalError> {
        let dataset = Self::of(name, bytes, file)?;
        match &manifest.sha256 {
            Some(expected) if *expected != dataset.sha256 => Err(EvalError::Dataset(format!(
                "{file}: is not {name}: its SHA-256 is {}, expected {expected}: delete it and \
                fetch it again, or evaluate it under its own path",
                dataset.sha256
            ))),
            _ => Ok(dataset),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EvalError> {
    std::fs::read(path).map_err(|source| EvalError::File {
        path: path.to_owned(),
        verb: "read",
        source,
    })
}

/// The text of a named dataset out of its archive on the hub, and the archive's path.
fn fetch(name: &str, manifest: &Manifest, hub: &Hub) -> Result<(Vec<u8>, String), EvalError> {
    let (Some(repository), Some(archive), Some(member)) =
        (&manifest.repository, &manifest.archive, &manifest.member)
    else {
        return Err(EvalError::Dataset(format!("{name}: its manifest names no archive")));
    };
    let path = hub.dataset_file(repository, archive)?;
    let damaged = |e: zip::result::ZipError| {
        EvalError::Dataset(format!(
            "{}: is not a valid archive of {name} ({e}): delete it and run again",
            path.display()
        ))
    };
    let file = std::fs::File::open(&path).map_err(|source| EvalError::File {
        path: path.clone(),
        verb: "read",
        source,
    })?;
    let mut archive = zip::ZipArchive::new(file).map_err(damaged)?;
    let mut member = archive.by_name(member).map_err(damaged)?;
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes).map_err(|e| damaged(e.into()))?;
    Ok((bytes, path.display().to_string()))
}
