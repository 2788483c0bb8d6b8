//! A few values of each block kept apart in f16, the rest in another format: `nf3g64+1`.
//!
//! Source: the dense-and-sparse split of KVQuant (Hooper et al. 2024), which keeps the 1 % of
//! largest deviation sparse so that they do not widen the range of the others. Deviation: every
//! block keeps the same number, so that rows stay of one size; one of 64 is 1.6 %. An outlier takes
//! a word: its index and its f16 value.

use std::sync::Arc;

use half::f16;

use super::{BlockLayout, Format, MAX_BLOCK};

/// Another format with outliers kept apart.
#[derive(Debug, Clone)]
pub struct Outliers {
    name: String,
    inner: Arc<dyn Format>,
    count: usize,
}

impl Outliers {
    /// The format `inner` with `count` values of each block kept apart.
    ///
    /// # Errors
    /// When the block has no more values than that.
    pub fn new(inner: Arc<dyn Format>, count: usize) -> Result<Self, String> {
        let values = inner.layout().values;
        if count == 0 || 2 * count > values {
            return Err(format!(
                "{count} outliers in a block of {values}: choose 1 to a half of it"
            ));
        }
        Ok(Self { name: format!("{}+{count}", inner.name()), inner, count })
    }
}

impl Format for Outliers {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> BlockLayout {
        let inner = self.inner.layout();
        BlockLayout { code_words: inner.code_words + self.count, ..inner }
    }

    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let mut rest = [0.0f32; MAX_BLOCK];
        let rest = &mut rest[..values.len()];
        rest.copy_from_slice(values);
        let (dense, sparse) = words.split_at_mut(words.len() - self.count);
        for word in sparse {
            let far = rest.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            let (at, value) = far.map_or((0, 0.0), |(at, value)| (at, *value));
            *word = at as u32 | u32::from(f16::from_f32(value).to_bits()) << 16;
            rest[at] = 0.0;
        }
        self.inner.encode(rest, dense, scales);
    }

    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let (dense, sparse) = words.split_at(words.len() - self.count);
        self.inner.decode(dense, scales, values);
        // The first outlier is written last: where an index occurs twice, the larger value counts.
        for word in sparse.iter().rev() {
            values[*word as usize & 0xffff] = f16::from_bits((word >> 16) as u16).to_f32();
        }
    }
}
