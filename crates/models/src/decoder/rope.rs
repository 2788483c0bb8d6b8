//! Rotary position embedding (Su et al. 2021): wavelengths, plain and stretched.

use std::sync::Arc;

use kvr_kernels::layers::Angles;

/// How wavelengths are stretched for contexts longer than the model was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every wavelength by the same factor (position interpolation, Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Long wavelengths by a factor, short ones not, with a ramp between (Llama 3.1).
    Llama3 {
        /// The factor of long wavelengths.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context that the model was first trained on, in tokens.
        original_context: f64,
    },
}

/// The frequencies of one model.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    /// `[D/2]` angles per position. Computed in f32 like Hugging Face's, whose logits we match.
    frequencies: Arc<[f32]>,
}

impl Rope {
    pub(crate) fn new(head_dim: usize, theta: f64, scaling: RopeScaling) -> Self {
        let plain = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            1.0 / (theta as f32).powf(exponent)
        });
        Self { frequencies: plain.map(|f| scaled(f, scaling)).collect() }
    }

    /// What policies that look behind RoPE are told.
    pub(crate) fn for_policies(&self) -> kvr_policy::Rope {
        kvr_policy::Rope { frequencies: self.frequencies.clone() }
    }

    /// Cosines and sines of `count` positions from `first` on.
    pub(crate) fn angles(&self, first: usize, count: usize) -> Angles {
        let angles = (first..first + count)
            .flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Angles { cos, sin }
    }
}

fn scaled(frequency: f32, scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let wavelength = std::f64::consts::TAU / f64::from(frequency);
            if wavelength > original_context / low_freq_factor {
                frequency / factor as f32
            } else if wavelength < original_context / high_freq_factor {
                frequency
            } else {
                let smooth = (original_context / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                let frequency = f64::from(frequency);
                ((1.0 - smooth) * frequency / factor + smooth * frequency) as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_scaling_moves_positions_closer() {
        let plain = Rope::new(64, 1e4, RopeScaling::None).angles(5, 1);
        let linear = Rope::new(64, 1e4, RopeScaling::Linear { factor: 4.0 }).angles(20, 1);
        for (a, b) in plain.cos.iter().zip(&linear.cos) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}
