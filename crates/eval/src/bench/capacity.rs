//! How a policy's memory grows with the context: measured over live buffers for some thousands of
//! tokens, one layer at a time, and extrapolated linearly from there.

use burn::Tensor;
use burn::tensor::DType;
use kvr_kernels::Context;
use kvr_models::{Geometry, caches};
use kvr_policy::{Append, KvCachePolicy};

use crate::EvalError;
use crate::bench::memory;

/// The step in which caches grow is a divisor of this.
const STEP: usize = 256;

/// Tokens up to which memory is measured, at least and at most.
const LEAST: usize = 4096;
const MOST: usize = 65_536;

/// The memory of one sequence as a function of its tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Allocated bytes at each multiple of [`STEP`] tokens, from 0.
    measured: Vec<u64>,
    /// Bytes per token over the second half of what was measured.
    slope: f64,
    /// Bytes held per token at the end of what was measured.
    held_per_token: f64,
}

/// Fills one layer after the other with some thousands of tokens, at least twice as many as the
/// longest sliding window holds, and counts.
///
/// # Errors
/// When the policy can't serve the geometry, or the device fails.
pub fn measure(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    context: &Context,
) -> Result<Capacity, EvalError> {
    let steps = measured_to(geometry) / STEP;
    let mut measured = vec![0; steps + 1];
    let held = match share_of_text(policy) {
        true => by_length(geometry, policy, context, &mut measured)?,
        false => as_it_fills(geometry, policy, context, &mut measured)?,
    };
    let (middle, last) = (measured[steps / 2], measured[steps]);
    Ok(Capacity {
        slope: last.saturating_sub(middle) as f64 / ((steps - steps / 2) * STEP) as f64,
        held_per_token: held as f64 / (steps * STEP) as f64,
        measured,
    })
}

/// Whether what is held depends on how long the whole text is going to be.
fn share_of_text(policy: &dyn KvCachePolicy) -> bool {
    let promise = policy.promise();
    promise.compresses_prompts || promise.budget.is_some_and(|budget| budget.tokens.is_none())
}

/// Fills one layer after the other, counts at every step, and returns the bytes held in the end.
fn as_it_fills(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    context: &Context,
    measured: &mut [u64],
) -> Result<u64, EvalError> {
    let planned = Some((measured.len() - 1) * STEP);
    let context = context.planned(planned);
    let mut held = 0;
    for layer in 0..geometry.layers {
        // Only this layer's cache is filled; the others of the list are empty.
        let mut cache = caches(geometry, policy, 1, &context)?.remove(layer);
        for step in 0..measured.len() - 1 {
            let shape = [1, geometry.kv_heads, STEP, geometry.head_dim];
            let rows = Tensor::<4>::ones(shape, (&context.device, DType::F32));
            cache.append(Append { keys: rows.clone(), values: rows, position: step * STEP })?;
            measured[step + 1] += cache.footprint().allocated;
        }
        held += cache.footprint().held();
    }
    Ok(held)
}

/// Texts of half the length and of all of it, each in caches of its own, and a straight line
/// through both: what is held is a share of the text.
fn by_length(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    context: &Context,
    measured: &mut [u64],
) -> Result<u64, EvalError> {
    let last = measured.len() - 1;
    let at = |tokens| memory::measure(geometry, policy, tokens, context);
    let (half, all) = (at(last / 2 * STEP)?, at(last * STEP)?);
    let per_step = all.allocated.saturating_sub(half.allocated) / (last - last / 2) as u64;
    for (step, bytes) in measured.iter_mut().enumerate().skip(1) {
        *bytes = all.allocated.saturating_sub(per_step * (last - step) as u64);
    }
    Ok(all.held())
}

/// Tokens up to which memory is measured. A layer with a sliding window does not grow any more in
/// the second half of them; windows beyond 32,768 tokens are not filled.
fn measured_to(geometry: &Geometry) -> usize {
    let window = geometry.windows.iter().flatten().max().copied().unwrap_or(0);
    (2 * window.min(MOST / 2)).next_multiple_of(2 * STEP).max(LEAST)
}

impl Capacity {
    /// Tokens up to which memory was measured; beyond, it is extrapolated.
    pub fn measured_to(&self) -> usize {
        (self.measured.len() - 1) * STEP
    }

    /// Allocated bytes with `tokens` tokens held.
    ///
    /// # Errors
    /// When 64 bits can't count them.
    pub fn bytes(&self, tokens: u64) -> Result<u64, EvalError> {
        let steps = tokens.div_ceil(STEP as u64);
        if let Some(bytes) = self.measured.get(usize::try_from(steps).unwrap_or(usize::MAX)) {
            return Ok(*bytes);
        }
        let last = self.measured.len() - 1;
        let more = self.slope * (steps - last as u64) as f64 * STEP as f64;
        let bytes = whole(more).and_then(|more| self.measured[last].checked_add(more));
        bytes.ok_or_else(|| {
            EvalError::Setting(format!(
                "{tokens} tokens need {:.0} bytes each, more in all than 64 bits can count: \
                give fewer tokens",
                self.slope
            ))
        })
    }

    /// Bytes that one token occupies, averaged over what was measured.
    pub fn bytes_per_token(&self) -> f64 {
        self.held_per_token
    }

    /// Whether every step of the second half cost the same.
    pub fn grows_evenly(&self) -> bool {
        let half = &self.measured[self.measured.len() / 2..];
        half.windows(2).all(|pair| pair[1] as f64 - pair[0] as f64 == self.slope * STEP as f64)
    }

    /// The most tokens whose memory fits `budget` bytes; `None` where any number does, or more than
    /// 64 bits can count.
    pub fn longest(&self, budget: u64) -> Option<u64> {
        let last = self.measured.len() - 1;
        if self.measured[last] > budget {
            let fits = self.measured.iter().filter(|bytes| **bytes <= budget).count();
            return Some((fits.saturating_sub(1) * STEP) as u64);
        }
        if self.slope == 0.0 {
            return None;
        }
        let more = (budget - self.measured[last]) as f64 / (self.slope * STEP as f64);
        whole(more)?.checked_add(last as u64)?.checked_mul(STEP as u64)
    }
}

/// The whole part of a number of bytes or steps, if 64 bits can count it.
fn whole(number: f64) -> Option<u64> {
    // The nearest float to u64::MAX is 2⁶⁴, which is one too many.
    (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(measured: Vec<u64>, slope: f64) -> Capacity {
        Capacity { measured, slope, held_per_token: 1.0 }
    }

    #[test]
    fn a_straight_line_goes_on() {
        let line = capacity((0..=16).map(|i| i * 2560).collect(), 10.0);
        let bytes = |tokens| line.bytes(tokens).expect("few bytes");
        assert_eq!([1, 4096, 8192].map(bytes), [2560, 40_960, 81_920]);
        assert!(line.grows_evenly());
        assert_eq!(line.longest(2559), Some(0));
        assert_eq!(line.longest(2560), Some(256));
        assert_eq!(line.longest(81_920), Some(8192));
    }

    #[test]
    fn what_stops_growing_reaches_any_length() {
        let flat = capacity([0, 100].into_iter().chain([200; 15]).collect(), 0.0);
        assert_eq!(flat.longest(150), Some(256));
        assert_eq!(flat.longest(200), None);
        assert_eq!(flat.bytes(1 << 20).expect("few bytes"), 200);
        assert_eq!(flat.bytes(u64::MAX).expect("few bytes"), 200);
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        let line = capacity((0..=16).map(|i| i * 2560).collect(), 10.0);
        let error = line.bytes(u64::MAX).expect_err("ten times too many").to_string();
        assert!(error.contains("18446744073709551615 tokens need 10 bytes each"), "{error}");
        let full = capacity([0; 16].into_iter().chain([u64::MAX]).collect(), 1.0);
        assert!(full.bytes(4096).is_ok(), "as measured");
        assert!(full.bytes(4097).is_err(), "the sum is too large, not the product");
        let slow = capacity(vec![0; 17], 1e-9);
        assert_eq!(slow.longest(u64::MAX), None, "more tokens than can be counted");
    }
}
