//! Rotary embeddings, as data.

/// One rotary embedding, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Base of the wavelengths.
    pub theta: f64,
    /// How many channels of a head, from the first on, are rotated.
    pub channels: usize,
    /// How wavelengths grow for longer contexts.
    pub scaling: RopeScaling,
}

/// How wavelengths grow for contexts longer than the model was trained on. Contexts are in tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every wavelength by the same factor (position interpolation, Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// The base grows with the context that is run, where this is longer than that of training.
    Dynamic {
        /// Contexts that much longer than in training are meant to work.
        factor: f64,
        /// The context of training.
        trained_context: f64,
    },
    /// Long wavelengths by a factor, short ones not, with a ramp between (Llama 3.1).
    Llama3 {
        /// The factor of long wavelengths.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context that the model was first trained on.
        original_context: f64,
    },
    /// Wavelengths by their number of rotations within the original context: few by a factor, many
    /// not, with a ramp between (Peng et al. 2023).
    Yarn {
        /// The factor of long wavelengths.
        factor: f64,
        /// The context that the model was first trained on.
        original_context: f64,
        /// Channels that rotate more often than this are left alone.
        beta_fast: f64,
        /// Channels that rotate less often than this grow by the whole factor.
        beta_slow: f64,
        /// Whether the ramp begins and ends at whole channels.
        truncate: bool,
        /// What cosines and sines are multiplied by.
        magnitude: f64,
    },
    /// Every wavelength by a factor of its own, of two sets of them (Ding et al. 2024).
    LongRope {
        /// Factors for contexts up to the original one.
        short: Vec<f32>,
        /// Factors for longer contexts.
        long: Vec<f32>,
        /// The context that the model was first trained on.
        original_context: f64,
        /// What cosines and sines are multiplied by.
        magnitude: f64,
    },
}

impl RopeSpec {
    /// The longest context that the model was made for, where its config says `max_positions`.
    pub fn longest(&self, max_positions: usize) -> usize {
        match self.scaling {
            // There the config's number is the context of training.
            RopeScaling::Dynamic { factor, .. } if factor > 1.0 => {
                (max_positions as f64 * factor) as usize
            }
            _ => max_positions,
        }
    }

    /// What cosines and sines are multiplied by.
    pub fn magnitude(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { magnitude, .. } | RopeScaling::LongRope { magnitude, .. } => {
                magnitude
            }
            _ => 1.0,
        }
    }

    /// Whether frequencies depend on the context that is run.
    pub fn depends_on_context(&self) -> bool {
        matches!(self.scaling, RopeScaling::Dynamic { .. } | RopeScaling::LongRope { .. })
    }
}
