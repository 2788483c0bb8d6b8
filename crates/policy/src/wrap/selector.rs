//! Which layers and key-value heads a rule means: `3`, `0-3`, `first 2`, `last 2`, `*`, each with
//! `.head` behind it where it means one key-value head only.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Some of `n` things that are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Span {
    All,
    Indices(RangeInclusive<usize>),
    First(usize),
    Last(usize),
}

impl Span {
    pub(super) fn contains(&self, index: usize, n: usize) -> bool {
        match self {
            Self::All => true,
            Self::Indices(range) => range.contains(&index),
            Self::First(count) => index < *count,
            Self::Last(count) => index + count >= n,
        }
    }

    /// The largest number of things that this counts on.
    pub(super) fn needs(&self) -> usize {
        match self {
            Self::All => 1,
            Self::Indices(range) => range.end() + 1,
            Self::First(count) | Self::Last(count) => *count,
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no index, range such as 0-3, 'first 2', 'last 2' or '*'");
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        let text = text.trim();
        if text == "*" {
            return Ok(Self::All);
        }
        for (word, make) in [("first", Self::First as fn(usize) -> Self), ("last", Self::Last)] {
            if let Some(rest) = text.strip_prefix(word) {
                return match number(rest)? {
                    0 => Err(format!("'{text}' selects nothing")),
                    count => Ok(make(count)),
                };
            }
        }
        let (from, to) = match text.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(text)?, number(text)?),
        };
        if from > to {
            return Err(format!("'{text}' runs backwards"));
        }
        Ok(Self::Indices(from..=to))
    }
}

/// Layers, and the key-value heads in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) layers: Span,
    pub(super) heads: Span,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layers, heads) = text.split_once('.').unwrap_or((text, "*"));
        Ok(Self { layers: layers.parse()?, heads: heads.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str, n: usize) -> Vec<usize> {
        let span: Span = text.parse().expect("a span");
        (0..n).filter(|i| span.contains(*i, n)).collect()
    }

    #[test]
    fn spans_select() {
        assert_eq!(selected("2", 6), [2]);
        assert_eq!(selected("0-2", 6), [0, 1, 2]);
        assert_eq!(selected("first 2", 6), [0, 1]);
        assert_eq!(selected("last 2", 6), [4, 5]);
        assert_eq!(selected("*", 3), [0, 1, 2]);
        for bad in ["", "x", "3-1", "last", "last 0", "-1", "1-"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn heads_stand_behind_a_dot() {
        let selector: Selector = "last 2.1".parse().expect("a selector");
        assert_eq!(selector, Selector { layers: Span::Last(2), heads: Span::Indices(1..=1) });
    }
}
