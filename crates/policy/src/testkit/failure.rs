//! What a policy broke, and where.

use std::fmt;

/// A rule that a policy broke: everything that is needed to see it happen again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The policy.
    pub policy: String,
    /// The rule.
    pub rule: &'static str,
    /// The token after which it was seen, from 0.
    pub step: Option<usize>,
    /// Sequence and head, `B` and `Hq` or `Hkv`.
    pub head: Option<(usize, usize)>,
    /// What was expected and what was got, with the axis where values differ.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}: {}: {}", self.policy, self.rule, self.what)?;
        if let Some(step) = self.step {
            write!(f, " (token {step})")?;
        }
        if let Some((sequence, head)) = self.head {
            write!(f, " (sequence {sequence}, head {head})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
