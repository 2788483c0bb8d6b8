//! What `--model` may say, and loading it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kvr_kernels::Context;
use kvr_policy::nearest_names;

use crate::aliases::{self, ALIASES};
use crate::config::Config;
use crate::decoder::{Decoder, build};
use crate::gguf_source::GgufSource;
use crate::hub::Hub;
use crate::loaders::gguf::{Gguf, GgufWeights};
use crate::spec::Geometry;
use crate::tokenizer::Tokenizer;
use crate::weights::{RandomWeights, TensorFiles, read};
use crate::{ModelError, families, geometries, mini};

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
    /// A GGUF, here or on the hub.
    Gguf(GgufSource),
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
        if let Some(gguf) = GgufSource::parse(text)? {
            return Ok(Self::Gguf(gguf));
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
        if let Some(alias) = aliases::named(text) {
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
            Self::Gguf(gguf) => write!(f, "{gguf}"),
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
        "unknown {kind} '{name}' (nearest: {}): a model is a name from `kvr models`, a folder, \
         hub:owner/name[@revision], or random:geometry[:seed]",
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
    /// The tokens that end a text in `config.json`.
    pub config_eos: Vec<u32>,
}

impl Model {
    /// The token that every window begins with, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        match &self.tokenizer {
            Some(tokenizer) => tokenizer.bos(),
            None => self.config_bos,
        }
    }

    /// The tokens that end a text; the first is the usual one.
    pub fn eos(&self) -> &[u32] {
        &self.config_eos
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
                let config = Config::parse(mini::CONFIG, "mini/config.json")?;
                let tokenizer = Some((mini::TOKENIZER.to_vec(), "mini/tokenizer.json".to_owned()));
                assemble(name, &config, weights, tokenizer, context)
            }
            Self::Hub { name: repo, revision } => {
                let folder = hub.model(repo, revision.as_deref())?;
                from_folder(name, &folder, context)
            }
            Self::Folder(folder) => from_folder(name, folder, context),
            Self::Gguf(source) => from_gguf(name, &source.open(hub)?, context),
            Self::Random { geometry, seed } => {
                let (family, mut spec) = geometries::model(geometry)
                    .ok_or_else(|| unknown("geometry", geometry, geometries::names()))?;
                // Random norms are 1 as they are.
                spec.norm_offset = 0.0;
                let mut weights = RandomWeights { seed: *seed };
                let decoder = build::decoder(&spec, &family.names, &mut weights, context)?;
                Ok(Model {
                    name,
                    decoder,
                    tokenizer: None,
                    sha256: None,
                    config_bos: Some(1),
                    config_eos: Vec::new(),
                })
            }
        }
    }
}

/// Layers, heads and context of whatever `text` names: a model, a GGUF, a folder with a
/// config.json, or a built-in geometry. No weights are read, and of an alias nothing at all.
///
/// # Errors
/// When nothing has that name, or the config can't be used.
pub fn geometry(text: &str, hub: &Hub) -> Result<Geometry, ModelError> {
    let built_in = aliases::named(text).map_or(text, |alias| alias.geometry);
    if let Some(geometry) = geometries::named(built_in) {
        return Ok(geometry);
    }
    let of = |config: Config| Ok(families::read(&config)?.1.geometry);
    let folder = match text.parse()? {
        ModelSource::Gguf(source) => {
            let gguf = source.open(hub)?;
            return of(Config::parse(gguf.config()?.to_string().as_bytes(), gguf.file())?);
        }
        ModelSource::Mini => return of(Config::parse(mini::CONFIG, "mini/config.json")?),
        ModelSource::Random { geometry, .. } => {
            return geometries::named(&geometry)
                .ok_or_else(|| unknown("geometry", &geometry, geometries::names()));
        }
        ModelSource::Hub { name, revision } => hub.config(&name, revision.as_deref())?,
        ModelSource::Folder(folder) => folder.join("config.json"),
    };
    let file = folder.display().to_string();
    of(Config::parse(&read(&folder)?, &file)?)
}

fn from_folder(name: String, folder: &Path, context: &Context) -> Result<Model, ModelError> {
    let path = folder.join("config.json");
    let file = path.display().to_string();
    let config = Config::parse(&read(&path)?, &file)?;
    // The config first: what it says is a clearer message than its weights' names.
    families::read(&config)?;
    let weights = TensorFiles::open(folder)?;
    let tokenizer = folder.join("tokenizer.json");
    let tokenizer = match tokenizer.exists() {
        true => Some((read(&tokenizer)?, tokenizer.display().to_string())),
        false => None,
    };
    assemble(name, &config, weights, tokenizer, context)
}

/// A GGUF in its own order of channels, with its weights as they are packed.
fn from_gguf(name: String, gguf: &Gguf, context: &Context) -> Result<Model, ModelError> {
    let config = Config::parse(gguf.config()?.to_string().as_bytes(), gguf.file())?;
    let (family, spec) = families::read(&config)?;
    let special = gguf.special_tokens()?;
    let mut weights = GgufWeights::new(gguf)?;
    let decoder = build::decoder(&spec, &family.names, &mut weights, context)?;
    Ok(Model {
        name,
        decoder,
        tokenizer: Some(gguf.tokenizer()?),
        sha256: Some(gguf.sha256()),
        config_bos: special.bos,
        config_eos: special.eos.into_iter().chain(special.eot).collect(),
    })
}

fn assemble(
    name: String,
    config: &Config,
    mut weights: TensorFiles,
    tokenizer: Option<(Vec<u8>, String)>,
    context: &Context,
) -> Result<Model, ModelError> {
    let (family, spec) = families::read(config)?;
    let tokenizer = tokenizer
        .map(|(json, file)| Tokenizer::parse(&json, &file, spec.vocab_size))
        .transpose()?;
    let decoder = build::decoder(&spec, &family.names, &mut weights, context)?;
    let sha256 = Some(weights.sha256());
    let tokens = |key: &str| {
        let tokens = config.tokens(key).into_iter();
        tokens.filter(|token| (*token as usize) < spec.vocab_size).collect::<Vec<u32>>()
    };
    let (config_bos, config_eos) =
        (tokens("bos_token_id").first().copied(), tokens("eos_token_id"));
    Ok(Model { name, decoder, tokenizer, sha256, config_bos, config_eos })
}
