//! What comes with kvr: one line a method, with its published settings beside it.

use kvr_kernels::formats;

use crate::Method;
use crate::evict::{Compress, Evict};
use crate::methods::{evict, mixed, quantise};
use crate::scorer::{PromptScorer, TokenScorer};
use crate::wrap::{PreRope, Rotate, Rules, Window};
use crate::{PolicyError, Registry};

macro_rules! presets {
    ($($name:literal),*) => {
        &[$(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/../../configs/policies/", $name, ".toml"
        ))),*]
    }
}

impl Registry {
    /// Everything that comes with kvr: formats, the policies that are named after pairs of them,
    /// methods, and the published settings of these.
    pub fn builtin() -> Self {
        let mut all = Self::of_formats(formats::all(), formats::families());
        all.with::<Rules>(&[]);
        all.with::<Window>(presets!("k4v4-window", "hf-4", "hf-2"));
        all.with::<Rotate>(presets!("k4v4-rotated", "quarot-4", "turboquant-3", "turboquant-4"));
        all.with::<PreRope>(&[]);
        all.with::<quantise::pair::Formats>(presets!("mlx-4", "nf4"));
        all.with::<quantise::kivi::Kivi>(presets!("kivi-4", "kivi-2", "kivi-2-no-residual"));
        all.with::<quantise::kvquant::KvQuant>(&[]);
        all.with::<Evict<evict::streaming_llm::StreamingLlm>>(&[]);
        all.with::<Evict<evict::h2o::H2o>>(&[]);
        all.with::<Evict<evict::tova::Tova>>(&[]);
        all.with::<Evict<evict::knorm::Knorm>>(&[]);
        all.with::<Compress<evict::snapkv::SnapKv>>(&[]);
        all.with::<evict::adakv::AdaKv>(&[]);
        all.with::<mixed::adaptive::Adaptive>(presets!("leankv"));
        all
    }

    /// A method and the texts of its published settings, which a test reads.
    fn with<M: Method>(&mut self, presets: &[&str]) {
        let added = self.add_method::<M>();
        let added = added.and_then(|()| presets.iter().try_for_each(|text| self.add_preset(text)));
        added.unwrap_or_else(|e| unreachable!("{}: {e}", M::NAME));
    }

    /// Adds a token scorer: the policy that evicts by it, with its name and settings.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_scorer<S: TokenScorer>(&mut self) -> Result<(), PolicyError> {
        self.add_method::<Evict<S>>()
    }

    /// Adds a scorer of prompts: the policy that compresses them by it, with its name and settings.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_prompt_scorer<S: PromptScorer>(&mut self) -> Result<(), PolicyError> {
        self.add_method::<Compress<S>>()
    }
}
