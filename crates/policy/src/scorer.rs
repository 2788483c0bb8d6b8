//! The short ways to an evicting policy: a score for each token.
//!
//! A [`TokenScorer`] sees tokens one by one as they are decoded; a [`PromptScorer`] sees a whole
//! prompt at its end.

use burn::Tensor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::budget::Recent;
use crate::prompt::{Needs, Prompt};
use crate::{LayerGeometry, PolicyError, Setting};

/// Gives every token of a prompt a score once the prompt is complete; those of the highest stay.
/// Its fields are settings of the policy, beside those of every method that compresses prompts.
pub trait PromptScorer:
    Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name that `--policy` takes.
    const NAME: &'static str;
    /// One line for `kvr policies`.
    const SUMMARY: &'static str;
    /// The paper or program that it comes from.
    const SOURCE: &'static str;
    /// What each of its own fields means.
    const SETTINGS: &'static [Setting] = &[];

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong, and the fix.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What it wants to see beside keys and values.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Tokens that always stay: a smaller budget is an error.
    fn floor(&self) -> usize {
        0
    }

    /// A score for each token of each key-value head, `[B, Hkv, S]`; infinity always stays.
    ///
    /// # Errors
    /// When the prompt lacks what is needed, or the device fails.
    fn score(&self, prompt: &Prompt, layer: &LayerGeometry) -> Result<Tensor<3>, PolicyError>;
}

/// Gives every held token of a head a score as tokens come; [`Evict`](crate::evict::Evict) drops
/// the lowest. Its fields are settings of the policy beside those of every evicting policy.
pub trait TokenScorer:
    Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name that `--policy` takes.
    const NAME: &'static str;
    /// One line for `kvr policies`.
    const SUMMARY: &'static str;
    /// The paper or program that it comes from.
    const SOURCE: &'static str;
    /// What each of its own fields means.
    const SETTINGS: &'static [Setting] = &[];

    /// Whether [`Held::attention`] is wanted; it costs a second pass over the keys.
    const NEEDS_ATTENTION: bool = false;
    /// Whether [`Held::key`] and [`Held::value`] are wanted; on a GPU each is a copy to the host.
    const NEEDS_ROWS: bool = true;
    /// Numbers kept for each token, all 0 when it comes; the first is its score, highest stay.
    const STATE: usize = 1;

    /// Takes in one more token, the last of `held`: updates the state `[S_held][STATE]`.
    fn update(&self, held: &Held<'_>, state: &mut [f32]);

    /// Where the settings of every evicting policy start from.
    fn defaults() -> EvictDefaults {
        EvictDefaults::default()
    }
}

/// The tokens of one head as a scorer sees them.
#[derive(Debug)]
pub struct Held<'a> {
    /// Absolute positions, ascending; the last is the newest token's.
    pub positions: &'a [u32],
    /// The softmax weight that each token got from the newest query, averaged over the query heads
    /// of this key-value head: sums to 1. Empty where the scorer does not need it, and where tokens
    /// were appended without queries.
    pub attention: &'a [f32],
    /// The newest token's key after RoPE, unquantised, `[D]`; empty where the scorer does not need
    /// it.
    pub key: &'a [f32],
    /// The newest token's value, unquantised, `[D]`; empty where the scorer does not need it.
    pub value: &'a [f32],
}

/// Defaults of the settings that all evicting policies share.
#[derive(Debug, Clone, Copy)]
pub struct EvictDefaults {
    /// The first tokens of the text, which are never dropped.
    pub sinks: usize,
    /// The newest tokens, which are never dropped: a number, or a share of the budget.
    pub recent: Recent,
    /// What heads decide together.
    pub heads: Heads,
}

impl Default for EvictDefaults {
    fn default() -> Self {
        Self { sinks: 0, recent: Recent::Tokens(1), heads: Heads::Each }
    }
}

/// What the key-value heads of a layer decide together while tokens are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heads {
    /// Nothing: each keeps its own best tokens.
    Each,
    /// Everything: all keep the tokens that are best on average.
    Layer,
}

/// A [`PromptScorer`] behind a pointer: what methods around scorers, such as AdaKV, work with.
pub trait ScorePrompt: Send + Sync {
    /// See [`PromptScorer::needs`].
    fn needs(&self) -> Needs;
    /// See [`PromptScorer::floor`].
    fn floor(&self) -> usize;
    /// See [`PromptScorer::score`].
    ///
    /// # Errors
    /// As there.
    fn score(&self, prompt: &Prompt, layer: &LayerGeometry) -> Result<Tensor<3>, PolicyError>;
}

impl<S: PromptScorer> ScorePrompt for S {
    fn needs(&self) -> Needs {
        PromptScorer::needs(self)
    }

    fn floor(&self) -> usize {
        PromptScorer::floor(self)
    }

    fn score(&self, prompt: &Prompt, layer: &LayerGeometry) -> Result<Tensor<3>, PolicyError> {
        PromptScorer::score(self, prompt, layer)
    }
}
