//! Modes: how the cache is read while scoring. One file each.

mod cache_read;
mod decode;
mod post_prefill;

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use kvr_models::Lengths;
use kvr_policy::KvCachePolicy;

use crate::EvalError;
use crate::run::protocols::{Protocol, Window};

/// How the cache is read while scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every query, its own token included, reads what the policy stored.
    #[default]
    CacheRead,
    /// The prompt as in `cache-read`, then teacher-forced token by token, as in generation.
    Decode,
    /// The prompt attends in full precision; what follows reads the policy's cache.
    PostPrefill,
}

/// Every mode; the first is the default.
pub const ALL: [Mode; 3] = [Mode::CacheRead, Mode::Decode, Mode::PostPrefill];

impl Mode {
    /// The name in records and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::CacheRead => "cache-read",
            Self::Decode => "decode",
            Self::PostPrefill => "post-prefill",
        }
    }

    /// The rule in a line.
    pub fn summary(self) -> &'static str {
        match self {
            Self::CacheRead => "every query, its own token included, reads what the policy stored",
            Self::Decode => "the prompt at once, then token by token, as in generation",
            Self::PostPrefill => {
                "the prompt attends in full precision, what follows reads the cache"
            }
        }
    }

    /// The steps, as ranges of positions, in which a window goes through the model; at most
    /// `batch` tokens each where the mode leaves it open.
    pub(crate) fn steps(self, window: &Window, batch: usize) -> Vec<Range<usize>> {
        match self {
            Self::CacheRead => cache_read::steps(window, batch),
            Self::Decode => decode::steps(window, batch),
            Self::PostPrefill => post_prefill::steps(window, batch),
        }
    }

    /// The end of a window's prompt, in modes that have one.
    pub(crate) fn prompt(self, window: &Window) -> Option<usize> {
        match self {
            Self::CacheRead | Self::Decode => None,
            Self::PostPrefill => Some(post_prefill::prompt(window)),
        }
    }

    /// The lengths of a window; its prompt counts where it is compressed.
    pub(crate) fn lengths(self, window: &Window) -> Lengths {
        let longest = window.tokens.len();
        Lengths { planned: Some(self.prompt(window).unwrap_or(longest)), longest }
    }

    /// How a policy generates: prompts are compressed at their end where the policy does that, else
    /// they read what is stored of them.
    pub fn of_generation(policy: &dyn KvCachePolicy) -> Self {
        if policy.promise().compresses_prompts { Self::PostPrefill } else { Self::CacheRead }
    }

    /// Refuses policies that the mode makes no sense for.
    ///
    /// # Errors
    /// A policy that compresses prompts, in a mode without prompts.
    pub fn serves(self, policy: &dyn KvCachePolicy) -> Result<(), EvalError> {
        if self == Self::PostPrefill || !policy.promise().compresses_prompts {
            return Ok(());
        }
        Err(EvalError::Setting(format!(
            "policy {} compresses a prompt when it is complete, and --mode {} has no prompt: use \
             --mode post-prefill",
            policy.name(),
            self.name()
        )))
    }

    /// The policy whose caches are read in this mode.
    pub(crate) fn wrap(self, policy: &Arc<dyn KvCachePolicy>) -> Arc<dyn KvCachePolicy> {
        match self {
            Self::CacheRead | Self::Decode => policy.clone(),
            Self::PostPrefill => post_prefill::wrap(policy),
        }
    }

    /// Refuses protocols that the mode does not apply to.
    ///
    /// # Errors
    /// `post-prefill` under a protocol that scores from the first token on.
    pub fn check(self, protocol: &dyn Protocol) -> Result<(), EvalError> {
        if self == Self::PostPrefill && !protocol.has_prompt() {
            return Err(EvalError::Setting(format!(
                "--mode post-prefill: protocol {} scores from the first token on, so there is no \
                prompt: use llama-cpp or strided, or another mode",
                protocol.name()
            )));
        }
        Ok(())
    }
}

impl FromStr for Mode {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let found = ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| EvalError::unknown("mode", text, ALL.iter().map(|m| m.name())))
    }
}

/// `range` in steps of at most `batch`.
fn chunks(range: Range<usize>, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(batch).map(move |from| from..end.min(from.saturating_add(batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_what_scored_predictions_read() {
        let window = Window { tokens: (0..20).collect(), scored: 9..19, block: 0 };
        let lengths = |mode: Mode| -> Vec<usize> {
            let steps = mode.steps(&window, 8);
            assert!(steps.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((steps[0].start, steps.last().map(|s| s.end)), (0, Some(19)));
            steps.into_iter().map(|step| step.len()).collect()
        };
        assert_eq!(lengths(Mode::CacheRead), [8, 8, 3]);
        assert_eq!(lengths(Mode::Decode), [8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(lengths(Mode::PostPrefill), [9, 8, 2]);
        let steps = Mode::PostPrefill.steps(&window, usize::MAX);
        assert_eq!(steps, [0..9, 9..19], "as many tokens a step as there are");
    }

    #[test]
    fn names_round_trip() {
        for mode in ALL {
            assert_eq!(mode.name().parse::<Mode>().expect("its own name"), mode);
        }
        assert!("prefill".parse::<Mode>().is_err());
    }
}
