//! Counting the values that a storage format can't hold.
//!
//! A value overflows where it was finite and what is stored of it decodes to infinity or to no
//! number: half precision ends at 65,504, and so do the scales of most formats. It also does
//! where a
//! format cuts it to the largest value that it has: where it is beyond half precision, and more
//! than
//! 16 times as large as all that is left of its block. Packed stores count while they append. The
//! counter belongs to the [`Context`](crate::Context) and not to a store, so that no cache made of
//! caches can forget to pass it on, and what is counted outlives stores that come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use burn::Tensor;
use burn::backend::Wgpu;
use burn::tensor::{DType, Int, Shape};
use burn_wgpu::CubeTensor;

use crate::error::KernelError;

/// Values that were stored, and those among them that their format could not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overflows {
    /// Finite values that decode to infinity or to no number, or were cut to a small part of them.
    pub lost: u64,
    /// Values stored. One that moves from a store to another, as out of a window, counts in both.
    pub stored: u64,
}

/// A counter that the stores of a context share.
#[derive(Clone, Default)]
pub(crate) struct OverflowCounter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    lost: AtomicU64,
    /// Two U32 words, the low one first, that kernels of a GPU add to; it is made for the first of
    /// them.
    on_gpu: OnceLock<CubeTensor>,
}

impl OverflowCounter {
    /// Takes in that so many values were stored, of which the CPU saw so many overflow.
    pub(crate) fn add(&self, stored: u64, lost: u64) {
        self.0.stored.fetch_add(stored, Ordering::Relaxed);
        self.0.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// The words that kernels add to, on the device of `beside`.
    pub(crate) fn words(&self, beside: &CubeTensor) -> &CubeTensor {
        self.0.on_gpu.get_or_init(|| {
            let (client, device) = (beside.client.clone(), beside.device.clone());
            let handle = client.create_from_slice(bytemuck::bytes_of(&[0u32; 2]));
            CubeTensor::new_contiguous(client, device, Shape::from([2]), handle, DType::U32)
        })
    }

    /// What was counted so far; waits for a GPU where kernels of one count.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn read(&self) -> Result<Overflows, KernelError> {
        let mut lost = self.0.lost.load(Ordering::Relaxed);
        if let Some(words) = self.0.on_gpu.get() {
            let words = Tensor::<1, Int>::from_primitive::<Wgpu>(words.clone()).into_data();
            let words = words.try_into_vec::<u32>();
            let words = words.map_err(|e| KernelError::Device(format!("{e:?}")))?;
            lost += words.iter().rev().fold(0, |all, word| all << 32 | u64::from(*word));
        }
        Ok(Overflows { lost, stored: self.0.stored.load(Ordering::Relaxed) })
    }
}

impl std::fmt::Debug for OverflowCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OverflowCounter")
    }
}
