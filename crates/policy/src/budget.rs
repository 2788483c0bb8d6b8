//! How many tokens may be held: the one place where a share becomes a number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most tokens that a head may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// A fixed number of tokens; written as a whole number, `256`.
    Tokens(usize),
    /// A share of the tokens seen so far; written as a fraction, `0.5`.
    Share(f64),
}

impl Budget {
    /// The number of tokens once `seen` have come: at least one, shares rounded up.
    pub fn tokens(self, seen: usize) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.max(1),
            // A product such as 0.1 · 30 is a hair above 3, and must not round to 4.
            Self::Share(share) => ((share * seen as f64 - 1e-9).ceil() as usize).max(1),
        }
    }

    /// What is wrong with the budget, if anything.
    pub(crate) fn problem(self) -> Option<String> {
        match self {
            Self::Tokens(0) => Some("a budget of 0 tokens holds nothing".to_owned()),
            Self::Share(share) if !(share > 0.0 && share <= 1.0) => {
                Some(format!("a share of {share} is not above 0 and at most 1"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(tokens) => write!(f, "{tokens}"),
            Self::Share(share) => write!(f, "{share:?}"),
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tokens(tokens) => serializer.serialize_u64(*tokens as u64),
            Self::Share(share) => serializer.serialize_f64(*share),
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a whole number of tokens, or a share such as 0.5")]
        enum Number {
            Tokens(usize),
            Share(f64),
        }
        let budget = match Number::deserialize(deserializer)? {
            Number::Tokens(tokens) => Self::Tokens(tokens),
            Number::Share(share) => Self::Share(share),
        };
        match budget.problem() {
            Some(problem) => Err(serde::de::Error::custom(problem)),
            None => Ok(budget),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_up_and_never_to_nothing() {
        assert_eq!(Budget::Share(0.1).tokens(30), 3);
        assert_eq!(Budget::Share(0.5).tokens(511), 256);
        assert_eq!(Budget::Share(0.5).tokens(0), 1);
        assert_eq!(Budget::Tokens(256).tokens(9), 256);
    }
}
