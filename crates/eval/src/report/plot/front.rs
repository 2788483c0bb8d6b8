//! What a search found: the front of predicted losses, and uniform policies as measured.

use super::charts::points::{Point, Points};
use super::picture::Picture;
use crate::EvalError;

/// The picture of a search.
#[derive(Debug, Clone)]
pub struct Front {
    /// What was searched on.
    pub subtitle: String,
    /// Bits per value and predicted KL divergence in 10⁻³ nats.
    pub found: Vec<(f64, f64)>,
    /// Uniform policies: name, bits per value, measured KL divergence in 10⁻³ nats.
    pub uniform: Vec<(String, f64, f64)>,
}

impl Front {
    /// Draws it.
    ///
    /// # Errors
    /// When drawing fails.
    pub fn draw(&self) -> Result<Picture, EvalError> {
        let point = |name: &str, x, y| Point { name: name.to_owned(), x, y, error: 0.0 };
        let found = self.found.iter().map(|(x, y)| point("", *x, *y));
        let uniform = self.uniform.iter().map(|(name, x, y)| point(name, *x, *y));
        let points = Points {
            title: "Bits against loss: mixed policies (predicted) and uniform ones (named)"
                .to_owned(),
            subtitle: self.subtitle.clone(),
            x: "bits per value, scales included (lower is better)".to_owned(),
            y: "KL divergence, 10⁻³ nats (lower is better)".to_owned(),
            log: true,
            points: found.chain(uniform).collect(),
        };
        points.draw()
    }
}
