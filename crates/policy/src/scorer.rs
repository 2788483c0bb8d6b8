//! The short way to an evicting policy: a score for each token.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Budget;
use crate::method::Setting;

/// Gives every held token of a head a score; [`Evict`](crate::wrap::Evict) drops the lowest. Its
/// fields are settings of the policy beside those of every evicting policy.
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
    /// Whether [`Held::key`] and [`Held::value`] are wanted; on a GPU each costs a copy to the host.
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
    /// The newest token's key after RoPE, as it came, `[D]`. Empty where the scorer does not need it.
    pub key: &'a [f32],
    /// The newest token's value, as it came, `[D]`. Empty where the scorer does not need it.
    pub value: &'a [f32],
}

/// Defaults of the settings that all evicting policies share.
#[derive(Debug, Clone, Copy)]
pub struct EvictDefaults {
    /// The first tokens of the text, which are never dropped.
    pub sinks: usize,
    /// The newest tokens, which are never dropped: a number, or a share of the budget.
    pub recent: Budget,
    /// What heads decide together.
    pub heads: Heads,
}

impl Default for EvictDefaults {
    fn default() -> Self {
        Self { sinks: 0, recent: Budget::Tokens(1), heads: Heads::Each }
    }
}

/// What the key-value heads of a layer decide together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heads {
    /// Nothing: each keeps its own best tokens.
    Each,
    /// Everything: all keep the tokens that are best on average.
    Layer,
    /// The budget: heads with high scores keep more tokens (AdaKV).
    Adaptive,
}
