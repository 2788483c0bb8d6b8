//! Rotary position embedding (Su et al. 2021): the frequencies of a [`RopeSpec`], computed in f32
//! as transformers does, whose logits we match.
//!
//! Two kinds of scaling depend on the length of the text. transformers chooses anew in every pass;
//! we choose once, by the context that is going to be run, because keys of one cache must not
//! change their frequencies.

use std::f64::consts::TAU;
use std::sync::Arc;

use kvr_kernels::ChannelOrder;
use kvr_kernels::layers::Angles;

use crate::spec::{RopeScaling, RopeSpec};

/// A rotary embedding for one context.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    /// The angle per position of each pair of channels.
    frequencies: Arc<[f32]>,
    /// What cosines and sines are multiplied by.
    magnitude: f32,
    order: ChannelOrder,
}

impl Rope {
    /// The embedding that serves a context of `context` tokens.
    pub(crate) fn new(spec: &RopeSpec, order: ChannelOrder, context: usize) -> Self {
        let frequencies = frequencies(spec, context).into();
        Self { frequencies, magnitude: spec.magnitude() as f32, order }
    }

    /// What policies that look behind RoPE are told. The magnitude stays in the keys: it is the
    /// same for all.
    pub(crate) fn for_policies(&self) -> kvr_kernels::Rope {
        kvr_kernels::Rope { frequencies: self.frequencies.clone(), order: self.order }
    }

    /// Cosines and sines of `count` positions from `first` on.
    pub(crate) fn angles(&self, first: usize, count: usize) -> Angles {
        let angles = (first..first + count)
            .flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos) = angles
            .map(|angle| {
                let (sin, cos) = angle.sin_cos();
                (sin * self.magnitude, cos * self.magnitude)
            })
            .unzip();
        Angles { cos, sin, pairs: self.frequencies.len(), order: self.order }
    }
}

fn frequencies(spec: &RopeSpec, context: usize) -> Vec<f32> {
    let plain = |theta: f64| {
        let frequency = move |pair| {
            let exponent = (2 * pair) as f32 / spec.channels as f32;
            1.0 / (theta as f32).powf(exponent)
        };
        (0..spec.channels.div_ceil(2)).map(frequency)
    };
    let dim = spec.channels as f64;
    match &spec.scaling {
        RopeScaling::None => plain(spec.theta).collect(),
        RopeScaling::Linear { factor } => plain(spec.theta).map(|f| f / *factor as f32).collect(),
        RopeScaling::Dynamic { factor, trained_context } => {
            let longer = (context as f64 / trained_context).max(1.0);
            let grown = (factor * longer - (factor - 1.0)).powf(dim / (dim - 2.0));
            plain(spec.theta * grown).collect()
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let scaled = |frequency: f32| {
                let wavelength = TAU / f64::from(frequency);
                if wavelength > original_context / low_freq_factor {
                    return frequency / *factor as f32;
                }
                if wavelength < original_context / high_freq_factor {
                    return frequency;
                }
                let smooth = (original_context / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                let frequency = f64::from(frequency);
                ((1.0 - smooth) * frequency / factor + smooth * frequency) as f32
            };
            plain(spec.theta).map(scaled).collect()
        }
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, .. } => {
            // The pair of channels that rotates so often within the original context.
            let pair = |rotations: f64| {
                dim * (original_context / (rotations * TAU)).ln() / (2.0 * spec.theta.ln())
            };
            let (mut low, mut high) = (pair(*beta_fast), pair(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(dim - 1.0));
            if low == high {
                high += 0.001;
            }
            let blended = |(pair, f): (usize, f32)| {
                let ramp = ((pair as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                f / *factor as f32 * ramp + f * (1.0 - ramp)
            };
            plain(spec.theta).enumerate().map(blended).collect()
        }
        RopeScaling::LongRope { short, long, original_context, .. } => {
            let factors = if context as f64 > *original_context { long } else { short };
            plain(spec.theta).zip(factors).map(|(f, factor)| f / factor).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scaling: RopeScaling) -> RopeSpec {
        RopeSpec { theta: 1e4, channels: 8, scaling }
    }

    #[test]
    fn linear_scaling_moves_positions_closer() {
        let at = |scaling, position| {
            Rope::new(&spec(scaling), ChannelOrder::Halves, 64).angles(position, 1).cos
        };
        let plain = at(RopeScaling::None, 5);
        let linear = at(RopeScaling::Linear { factor: 4.0 }, 20);
        assert!(plain.iter().zip(&linear).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn the_context_that_is_run_chooses_factors_once() {
        let long = RopeScaling::LongRope {
            short: vec![1.0; 4],
            long: vec![2.0; 4],
            original_context: 32.0,
            magnitude: 1.5,
        };
        let plain = frequencies(&spec(RopeScaling::None), 1);
        assert_eq!(frequencies(&spec(long.clone()), 32), plain);
        let halved: Vec<f32> = plain.iter().map(|f| f / 2.0).collect();
        assert_eq!(frequencies(&spec(long), 33), halved);
        let dynamic = spec(RopeScaling::Dynamic { factor: 2.0, trained_context: 32.0 });
        assert_eq!(frequencies(&dynamic, 32), plain);
        assert!(frequencies(&dynamic, 64)[3] < plain[3]);
        assert_eq!(dynamic.longest(32), 64);
    }
}
