//! Which layers and key-value heads a rule means: `3`, `0-3`, `first 2`, `last 2`, `*`, each with
//! `.head` behind it where it means some key-value heads only.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Some of `n` things that are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// `*`
    All,
    /// `3` or `0-3`; the end is below `usize::MAX`.
    Indices(RangeInclusive<usize>),
    /// `first 2`
    First(usize),
    /// `last 2`
    Last(usize),
}

impl Span {
    /// Whether `index` of `n` is among them.
    pub fn contains(&self, index: usize, n: usize) -> bool {
        match self {
            Self::All => true,
            Self::Indices(range) => range.contains(&index),
            Self::First(count) => index < *count,
            Self::Last(count) => index >= n.saturating_sub(*count),
        }
    }

    /// The number of things that there must be.
    pub fn needs(&self) -> usize {
        match self {
            Self::All => 1,
            Self::Indices(range) => range.end().saturating_add(1),
            Self::First(count) | Self::Last(count) => *count,
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no index, range such as 0-3, 'first 2', 'last 2' or '*'");
        let number = |part: &str| {
            let part = part.trim();
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad());
            }
            // The number after it must be one as well: so many layers have to be there.
            part.parse::<usize>().ok().filter(|number| *number < usize::MAX).ok_or_else(|| {
                format!("{part} is more than can be counted: layers and heads are counted from 0")
            })
        };
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
            return Err(format!("'{text}' runs backwards: write {to}-{from}"));
        }
        Ok(Self::Indices(from..=to))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Indices(range) if range.start() == range.end() => write!(f, "{}", range.start()),
            Self::Indices(range) => write!(f, "{}-{}", range.start(), range.end()),
            Self::First(count) => write!(f, "first {count}"),
            Self::Last(count) => write!(f, "last {count}"),
        }
    }
}

/// Layers, and the key-value heads in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The layers.
    pub layers: Span,
    /// The key-value heads of these layers.
    pub heads: Span,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layers, heads) = text.split_once('.').unwrap_or((text, "*"));
        Ok(Self { layers: layers.parse()?, heads: heads.parse()? })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heads {
            Span::All => self.layers.fmt(f),
            _ => write!(f, "{}.{}", self.layers, self.heads),
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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
        assert_eq!(selected("last 9", 2), [0, 1]);
        assert_eq!(selected("*", 3), [0, 1, 2]);
        for bad in ["", "x", "3-1", "last", "last 0", "-1", "1-", "+1"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn heads_stand_behind_a_dot() {
        let selector: Selector = "last 2.1".parse().expect("a selector");
        assert_eq!(selector, Selector { layers: Span::Last(2), heads: Span::Indices(1..=1) });
        assert_eq!(selector.to_string(), "last 2.1");
        assert_eq!("5.*".parse::<Selector>().expect("all heads").to_string(), "5");
    }

    #[test]
    fn the_largest_numbers_neither_overflow_nor_wrap() {
        let last = usize::MAX - 1;
        let span: Span = format!("0-{last}").parse().expect("the largest index");
        assert_eq!(span.needs(), usize::MAX);
        let span: Span = format!("last {last}").parse().expect("a large count");
        assert!(span.contains(0, 4) && span.contains(last, usize::MAX));
        for large in
            ["0-18446744073709551615", "99999999999999999999999", "last 18446744073709551615"]
        {
            let error = large.parse::<Span>().expect_err("too large");
            assert!(error.contains("more than can be counted"), "{error}");
        }
    }
}
