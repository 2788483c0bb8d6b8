//! What a setting of a method is called, its unit and what it does.

/// One setting of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// The unit of its value, such as `tokens`; a `policy` or a `scorer` is a name of its own.
    pub unit: &'static str,
    /// What it does.
    pub about: &'static str,
}

impl Setting {
    /// Whether its value is a policy, or a method that scores tokens.
    pub(crate) fn is_policy(&self) -> bool {
        matches!(self.unit, "policy" | "scorer")
    }
}
