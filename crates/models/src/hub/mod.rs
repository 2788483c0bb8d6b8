//! The Hugging Face hub, through hf-hub and its cache.

mod gguf;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::weights::{INDEX, SINGLE, read, shards};
use crate::{ModelError, hex};

/// How the hub is reached. Nothing below reads the environment; [`Hub::from_env`] does, once.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Base address, such as `https://huggingface.co` or a mirror.
    pub endpoint: String,
    /// Folder of the cache that all Hugging Face programs share.
    pub cache: PathBuf,
    /// Access token for private and gated repositories.
    pub token: Option<String>,
    /// Use what is in the cache and nothing else.
    pub offline: bool,
    /// Show the progress of downloads on stderr.
    pub progress: bool,
}

/// How often a broken download is resumed.
const RETRIES: usize = 3;

impl Hub {
    /// What `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE` say.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let cache = Cache::from_env();
        Self {
            endpoint: var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token: var("HF_TOKEN").or_else(|| cache.token()),
            cache: var("HF_HUB_CACHE").map_or_else(|| cache.path().clone(), PathBuf::from),
            offline: var("HF_HUB_OFFLINE").is_some_and(|v| v != "0" && v.to_lowercase() != "false"),
            progress: true,
        }
    }

    /// The folder that holds a model's config, tokenizer and weights, fetched where needed.
    ///
    /// # Errors
    /// When the repository or a file is not there or may not be read, or the network fails.
    pub fn model(&self, name: &str, revision: Option<&str>) -> Result<PathBuf, ModelError> {
        let revision = revision.unwrap_or("main").to_owned();
        let fetch =
            Fetch::new(self, Repo::with_revision(name.to_owned(), RepoType::Model, revision))?;
        let config = fetch.required("config.json")?;
        // Geometry and weights are enough for random texts; a missing tokenizer is said when used.
        fetch.optional("tokenizer.json")?;
        match fetch.optional(INDEX)? {
            Some(index) => {
                let map = shards(&read(&index)?, &index.display().to_string())?;
                for shard in map.values().collect::<BTreeSet<_>>() {
                    fetch.required(shard)?;
                }
            }
            None => {
                fetch.required(SINGLE)?;
            }
        }
        Ok(config.parent().map_or_else(PathBuf::new, Path::to_owned))
    }

    /// A model's `config.json` alone.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn config(&self, name: &str, revision: Option<&str>) -> Result<PathBuf, ModelError> {
        let revision = revision.unwrap_or("main").to_owned();
        let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision);
        Fetch::new(self, repo)?.required("config.json")
    }

    /// One file of a dataset repository.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn dataset_file(&self, name: &str, file: &str) -> Result<PathBuf, ModelError> {
        let repo = Repo::new(name.to_owned(), RepoType::Dataset);
        // A dataset's content is checked by its user, so a cached file needs no second look.
        match Cache::new(self.cache.clone()).repo(repo.clone()).get(file) {
            Some(path) => Ok(path),
            None => Fetch::new(self, repo)?.required(file),
        }
    }
}

/// One repository.
struct Fetch<'a> {
    hub: &'a Hub,
    name: String,
    cached: CacheRepo,
    remote: Option<ApiRepo>,
    /// The files that the repository lists; unknown offline.
    listed: Option<BTreeSet<String>>,
}

impl<'a> Fetch<'a> {
    fn new(hub: &'a Hub, repo: Repo) -> Result<Self, ModelError> {
        let name = repo.url();
        let cached = Cache::new(hub.cache.clone()).repo(repo.clone());
        let mut fetch = Self { hub, name, cached, remote: None, listed: None };
        if !hub.offline {
            let api: Api = ApiBuilder::new()
                .with_endpoint(hub.endpoint.trim_end_matches('/').to_owned())
                .with_cache_dir(hub.cache.clone())
                .with_token(hub.token.clone())
                .with_progress(hub.progress)
                .with_retries(RETRIES)
                .build()
                .map_err(|e| fetch.explain(&e))?;
            let remote = api.repo(repo);
            match remote.info() {
                Ok(info) => {
                    fetch.listed = Some(info.siblings.into_iter().map(|s| s.rfilename).collect());
                    fetch.remote = Some(remote);
                }
                // A machine without network works on from the cache, if the model is in it.
                Err(e) if status(&e).is_none() && fetch.is_cached() => {}
                Err(e) => return Err(fetch.explain(&e)),
            }
        }
        Ok(fetch)
    }

    /// Whether the cache has a model's config, or a model whose config is within its file.
    fn is_cached(&self) -> bool {
        self.cached.get("config.json").is_some() || !gguf::cached(&self.cached).is_empty()
    }

    fn optional(&self, file: &str) -> Result<Option<PathBuf>, ModelError> {
        match &self.listed {
            Some(listed) if listed.contains(file) => self.required(file).map(Some),
            Some(_) => Ok(None),
            None => Ok(self.cached.get(file)),
        }
    }

    fn required(&self, file: &str) -> Result<PathBuf, ModelError> {
        if let Some(path) = self.cached.get(file) {
            return Ok(path);
        }
        let Some(remote) = &self.remote else {
            return Err(ModelError::Hub(format!(
                "{file} of {} is not in the cache {}, and the hub is {}: fetch it once while \
                 online, or give --model a folder",
                self.name,
                self.hub.cache.display(),
                if self.hub.offline { "switched off (HF_HUB_OFFLINE)" } else { "out of reach" },
            )));
        };
        if self.listed.as_ref().is_some_and(|listed| !listed.contains(file)) {
            return Err(ModelError::Hub(format!(
                "{} has no {file}: choose a repository with safetensors weights",
                self.name
            )));
        }
        let path = remote.download(file).map_err(|e| self.explain(&e))?;
        self.verify(&path, file)?;
        Ok(path)
    }

    /// Large files are stored under their SHA-256, so that a damaged download can be told.
    fn verify(&self, path: &Path, file: &str) -> Result<(), ModelError> {
        let error = |source| ModelError::Read { path: path.to_owned(), source };
        let blob = path.canonicalize().map_err(error)?;
        let name = blob.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.len() != 64 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        let mut hasher = Sha256::new();
        let mut content = std::fs::File::open(&blob).map_err(error)?;
        std::io::copy(&mut content, &mut hasher).map_err(error)?;
        let digest = hex(&hasher.finalize());
        if digest == name {
            return Ok(());
        }
        // Neither name may stay, or the damaged file would be found in the cache next time.
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_file(&blob);
        Err(ModelError::Hub(format!(
            "{file} of {} arrived damaged (SHA-256 {digest}, expected {name}) and was removed: run \
             the command again",
            self.name
        )))
    }

    fn explain(&self, error: &ApiError) -> ModelError {
        let (name, endpoint) = (&self.name, &self.hub.endpoint);
        ModelError::Hub(match status(error) {
            Some(401 | 403) => format!(
                "{name} may not be read: accept its licence on {endpoint}, then set HF_TOKEN to a \
                 token of that account (a private or misspelt name answers the same)"
            ),
            Some(404) => format!(
                "{name} or a file in it does not exist at {endpoint}: check the spelling and the \
                 revision"
            ),
            Some(code) => format!("{endpoint} answered {code} for {name}: try again later"),
            None => format!(
                "{endpoint} can't be reached for {name} ({error}): check the network, set \
                 HF_ENDPOINT to a mirror, or give --model a folder"
            ),
        })
    }
}

/// The HTTP status behind an error, if the server answered at all.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(inner) => match **inner {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(inner) => status(inner),
        _ => None,
    }
}
