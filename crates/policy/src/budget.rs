//! How many tokens may be held: the one place where a share becomes a number.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{PolicyError, Setting};

/// The number of tokens that a head holds, given in one of three ways. Without any, half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct Budget {
    /// The share of tokens that is dropped, as kvpress has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The share of tokens that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<f64>,
    /// The number of tokens that is kept, whatever the length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

/// A budget as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Given {
    ratio: Option<f64>,
    keep: Option<f64>,
    tokens: Option<usize>,
}

impl From<Given> for Budget {
    fn from(Given { ratio, keep, tokens }: Given) -> Self {
        match (ratio, keep, tokens) {
            (None, None, None) => Self::default(),
            _ => Self { ratio, keep, tokens },
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: Some(0.5), keep: None, tokens: None }
    }
}

impl Budget {
    /// The settings of every method with a budget.
    pub(crate) const SETTINGS: [Setting; 3] = [
        Setting {
            name: "ratio",
            unit: "share dropped",
            about: "of the prompt or window; half if no size is given",
        },
        Setting { name: "keep", unit: "share kept", about: "of the prompt or window" },
        Setting { name: "tokens", unit: "tokens kept", about: "whatever the length" },
    ];

    /// A budget of so many tokens.
    pub fn of_tokens(tokens: usize) -> Self {
        Self { ratio: None, keep: None, tokens: Some(tokens) }
    }

    /// Refuses budgets that are none: two ways at once, shares outside 0 to 1, and no token at all.
    ///
    /// # Errors
    /// What is wrong, and the fix.
    pub fn check(self) -> Result<Self, String> {
        let given = [self.ratio.is_some(), self.keep.is_some(), self.tokens.is_some()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err("give one of ratio, keep and tokens: they say the same thing".to_owned());
        }
        match self {
            Self { ratio: Some(ratio), .. } if !(0.0..1.0).contains(&ratio) => Err(format!(
                "ratio = {ratio} is the share that is dropped: give 0 or more, and less than 1"
            )),
            Self { keep: Some(keep), .. } if !(keep > 0.0 && keep <= 1.0) => Err(format!(
                "keep = {keep} is the share that is kept: give more than 0, and at most 1"
            )),
            Self { tokens: Some(0), .. } => Err("tokens = 0 holds nothing".to_owned()),
            _ => Ok(self),
        }
    }

    /// Tokens held of `length`: shares are rounded down, as in kvpress, and never to nothing.
    pub fn of(self, length: usize) -> usize {
        match self {
            Self { tokens: Some(tokens), .. } => tokens,
            // A product such as 0.29 · 100 is a hair off 29, and must not round to 28.
            Self { keep: Some(keep), .. } => ((keep * length as f64 + 1e-9) as usize).max(1),
            // kvpress's own expression, so that the same tokens are kept to the last one.
            Self { ratio, .. } => {
                ((length as f64 * (1.0 - ratio.unwrap_or_default())) as usize).max(1)
            }
        }
    }

    /// Tokens held of a text whose length is `planned`, where it is known; at least `floor`, the
    /// number of tokens that a method never drops.
    ///
    /// # Errors
    /// When a share is asked for and the length is not known, or the budget is below the floor.
    pub fn resolve(
        self,
        planned: Option<usize>,
        floor: usize,
        policy: &str,
    ) -> Result<usize, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: policy.to_owned(), problem };
        let tokens = match (self.tokens, planned) {
            (Some(tokens), _) => tokens,
            (None, Some(length)) => self.of(length),
            (None, None) => {
                return Err(wrong(
                    "a share of tokens needs a text whose length is known: give tokens = N"
                        .to_owned(),
                ));
            }
        };
        if tokens < floor {
            return Err(wrong(format!(
                "{tokens} tokens are held, and the first and newest that always stay are {floor}: \
                 hold more tokens, or protect fewer"
            )));
        }
        Ok(tokens)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { tokens: Some(tokens), .. } => write!(f, "{tokens} tokens"),
            Self { keep: Some(keep), .. } => write!(f, "{keep} of the prompt or window"),
            Self { ratio, .. } => {
                write!(f, "all but {} of the prompt or window", ratio.unwrap_or_default())
            }
        }
    }
}

/// The newest tokens that always stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a whole number of tokens, or a share of the budget such as 0.5")]
pub enum Recent {
    /// A number, written as a whole number.
    Tokens(usize),
    /// A share of the budget, rounded down, written as a fraction.
    Share(f64),
}

impl Recent {
    /// The number of tokens under a budget. The newest always stays: it was just written.
    pub fn of(self, budget: usize) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.max(1),
            Self::Share(share) => ((share.clamp(0.0, 1.0) * budget as f64) as usize).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(ratio: f64) -> Budget {
        Budget { ratio: Some(ratio), ..Budget::default() }
    }

    #[test]
    fn shares_round_down_as_kvpress_does_and_never_to_nothing() {
        assert_eq!(ratio(0.9).of(30), 2);
        assert_eq!(ratio(0.5).of(511), 255);
        assert_eq!(ratio(0.25).of(700), 525);
        assert_eq!(Budget { ratio: None, keep: Some(0.29), tokens: None }.of(100), 29);
        assert_eq!(ratio(0.5).of(1), 1);
        assert_eq!(Budget::of_tokens(256).of(9), 256);
        assert_eq!(Budget::default().of(512), 256);
    }

    #[test]
    fn budgets_that_are_none_are_refused() {
        assert!(ratio(1.0).check().is_err() && ratio(-0.1).check().is_err());
        assert!(ratio(f64::NAN).check().is_err());
        assert!(Budget::of_tokens(0).check().is_err());
        assert!(Budget { keep: Some(0.5), ..ratio(0.5) }.check().is_err());
        assert!(ratio(0.0).check().is_ok());
    }

    #[test]
    fn a_budget_below_what_always_stays_is_refused() {
        assert!(Budget::of_tokens(8).resolve(None, 16, "h2o").is_err());
        assert!(ratio(0.5).resolve(None, 0, "h2o").is_err());
        assert_eq!(ratio(0.5).resolve(Some(512), 5, "h2o"), Ok(256));
        assert!(ratio(0.5).resolve(Some(8), 5, "h2o").is_err());
    }
}
