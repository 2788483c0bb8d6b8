//! What `--model` may say, and loading it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kvr_kernels::Context;
use kvr_policy::nearest_names;

use crate::config::RawConfig;
use crate::decoder::{Decoder, build};
use crate::hub::Hub;
use crate::loaders::gguf::GgufSource;
use crate::spec::Geometry;
use crate::tokenizer::Tokenizer;
use crate::weights::{RandomWeights, TensorFiles, read};
use crate::{ModelError, families, geometries, mini};

/// A short name of a model on the hub.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The short name.
    pub name: &'static str,
    /// The repository, `owner/name`.
    pub repository: &'static str,
    /// The built-in geometry that the model has.
    pub geometry: &'static str,
}

/// The short names of models on the hub.
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "tinyllama",
        repository: "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        geometry: "tinyllama",
    },
    Alias {
        name: "tinyllama-base",
        repository: "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
        geometry: "tinyllama",
    },
];

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The model inside the program.
    Mini,
    /// A repository on the hub.
    Hub {
        /// `owner/name`.
        name: String,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
    /// A folder with config.json, tokenizer.json and safetensors.
    Folder(PathBuf),
    /// Random weights in a built-in geometry.
    Random {
        /// Name of the geometry.
        geometry: String,
        /// Seed of the weights.
        seed: u64,
    },
}

impl FromStr for ModelSource {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text == "mini" {
            return Ok(Self::Mini);
        }
        if let Some(rest) = text.strip_prefix("hub:") {
            let (name, revision) = match rest.split_once('@') {
                Some((name, revision)) => (name, Some(revision.to_owned())),
                None => (rest, None),
            };
            if name.split('/').filter(|part| !part.is_empty()).count() != 2 {
                return Err(ModelError::Unknown(format!(
                    "'{text}': a model on the hub is written hub:owner/name[@revision]"
                )));
            }
            return Ok(Self::Hub { name: name.to_owned(), revision });
        }
        if let Some(rest) = text.strip_prefix("random:") {
            let (geometry, seed) = match rest.split_once(':') {
                Some((geometry, seed)) => {
                    let seed = seed.parse().map_err(|_| {
                        ModelError::Unknown(format!(
                            "'{text}': the seed '{seed}' is no whole number"
                        ))
                    })?;
                    (geometry, seed)
                }
                None => (rest, 0),
            };
            if geometries::named(geometry).is_none() {
                return Err(unknown("geometry", geometry, geometries::names()));
            }
            return Ok(Self::Random { geometry: geometry.to_owned(), seed });
        }
        if let Some(alias) = ALIASES.iter().find(|alias| alias.name == text) {
            return Ok(Self::Hub { name: alias.repository.to_owned(), revision: None });
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let known = ["mini"].into_iter().chain(ALIASES.iter().map(|alias| alias.name));
        Err(unknown("model", text, known))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mini => f.write_str("mini"),
            Self::Hub { name, revision: None } => write!(f, "hub:{name}"),
            Self::Hub { name, revision: Some(revision) } => write!(f, "hub:{name}@{revision}"),
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Random { geometry, seed } => write!(f, "random:{geometry}:{seed}"),
        }
    }
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> ModelError {
    let nearest = nearest_names(name, known.clone());
    let hint = if nearest.is_empty() {
        known.collect::<Vec<_>>()
    } else {
        nearest.iter().map(String::as_str).collect()
    };
    ModelError::Unknown(format!(
        "unknown {kind} '{name}' (nearest: {}): a model is a name from `kvr models`, a folder, hub:owner/name[@revision], or random:geometry[:seed]",
        hint.join(", ")
    ))
}

/// A model ready to run.
pub struct Model {
    /// What records call it.
    pub name: String,
    /// The network.
    pub decoder: Decoder,
    /// Its tokenizer; random models and some folders have none.
    pub tokenizer: Option<Tokenizer>,
    /// SHA-256 of the weights; for random weights, of nothing: the name says all.
    pub sha256: Option<String>,
    /// The token that stands for the beginning of a text in `config.json`.
    pub config_bos: Option<u32>,
    /// The token that ends a text in `config.json`.
    pub config_eos: Option<u32>,
}

impl Model {
    /// The token that every window begins with, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        match &self.tokenizer {
            Some(tokenizer) => tokenizer.bos(),
            None => self.config_bos,
        }
    }

    /// The token that ends a text, where the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.config_eos
    }
}

impl ModelSource {
    /// Loads the model onto a device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the parts do not belong together, or the hub fails.
    pub fn load(&self, hub: &Hub, context: &Context) -> Result<Model, ModelError> {
        let name = self.to_string();
        match self {
            Self::Mini => {
                let weights = TensorFiles::embedded("mini/model.safetensors", mini::WEIGHTS)?;
                let config = RawConfig::parse(mini::CONFIG, "mini/config.json")?;
                let tokenizer = Some((mini::TOKENIZER.to_vec(), "mini/tokenizer.json".to_owned()));
                assemble(name, &config, "mini/config.json", weights, tokenizer, context)
            }
            Self::Hub { name: repo, revision } => {
                let folder = hub.model(repo, revision.as_deref())?;
                from_folder(name, &folder, context)
            }
            Self::Folder(folder) => from_folder(name, folder, context),
            Self::Random { geometry, seed } => {
                let spec = geometries::named(geometry)
                    .ok_or_else(|| unknown("geometry", geometry, geometries::names()))?;
                let names = &families::llama().names;
                let decoder =
                    build::decoder(&spec, names, &mut RandomWeights { seed: *seed }, context)?;
                Ok(Model {
                    name,
                    decoder,
                    tokenizer: None,
                    sha256: None,
                    config_bos: Some(1),
                    config_eos: None,
                })
            }
        }
    }
}

/// Layers, heads and context of whatever `text` names: a model, a GGUF, a folder with a config.json,
/// or a built-in geometry. No weights are read.
///
/// # Errors
/// When nothing has that name, or the config can't be used.
pub fn geometry(text: &str, hub: &Hub) -> Result<Geometry, ModelError> {
    let known = |name: &str| geometries::named(name).map(|spec| spec.geometry);
    if let Some(geometry) = known(text) {
        return Ok(geometry);
    }
    if let Some(source) = GgufSource::parse(text)? {
        let gguf = source.open(hub)?;
        let config = gguf.config()?.to_string();
        return RawConfig::parse(config.as_bytes(), gguf.file())?.geometry(gguf.file());
    }
    let folder = match text.parse()? {
        ModelSource::Mini => {
            return RawConfig::parse(mini::CONFIG, "mini/config.json")?
                .geometry("mini/config.json");
        }
        ModelSource::Random { geometry, .. } => {
            return known(&geometry)
                .ok_or_else(|| unknown("geometry", &geometry, geometries::names()));
        }
        ModelSource::Hub { name, revision } => hub.config(&name, revision.as_deref())?,
        ModelSource::Folder(folder) => folder.join("config.json"),
    };
    let file = folder.display().to_string();
    RawConfig::parse(&read(&folder)?, &file)?.geometry(&file)
}

fn from_folder(name: String, folder: &Path, context: &Context) -> Result<Model, ModelError> {
    let path = folder.join("config.json");
    let file = path.display().to_string();
    let config = RawConfig::parse(&read(&path)?, &file)?;
    // The family first: an unknown one is a clearer message than its weights' names.
    families::of(&config, &file)?;
    let weights = TensorFiles::open(folder)?;
    let tokenizer = folder.join("tokenizer.json");
    let tokenizer = match tokenizer.exists() {
        true => Some((read(&tokenizer)?, tokenizer.display().to_string())),
        false => None,
    };
    assemble(name, &config, &file, weights, tokenizer, context)
}

fn assemble(
    name: String,
    config: &RawConfig,
    file: &str,
    mut weights: TensorFiles,
    tokenizer: Option<(Vec<u8>, String)>,
    context: &Context,
) -> Result<Model, ModelError> {
    let family = families::of(config, file)?;
    let spec = (family.spec)(config, file)?;
    let tokenizer = tokenizer
        .map(|(json, file)| Tokenizer::parse(&json, &file, spec.vocab_size))
        .transpose()?;
    let decoder = build::decoder(&spec, &family.names, &mut weights, context)?;
    let sha256 = Some(weights.sha256());
    // Some configs list several; the first is the usual one.
    let token = |value: &Option<serde_json::Value>| {
        let value = value.as_ref()?;
        let id = u32::try_from(value.as_u64().or_else(|| value.get(0)?.as_u64())?).ok()?;
        ((id as usize) < spec.vocab_size).then_some(id)
    };
    let (config_bos, config_eos) = (token(&config.bos_token_id), token(&config.eos_token_id));
    Ok(Model { name, decoder, tokenizer, sha256, config_bos, config_eos })
}
