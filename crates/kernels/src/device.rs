//! Where a cache lives, and what its kernels may use there.

use burn::tensor::Device;
use burn::tensor::wgpu::wgpu;

use crate::error::KernelError;
use crate::overflows::{OverflowCounter, Overflows};
use crate::wgsl::Programs;

/// The device of a cache, with the options of its kernels.
///
/// Clones share the programs that were made for the device, so pass one context on rather than
/// making one for each layer. They also share the count of [overflows](Self::overflows).
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the tensors live.
    pub device: Device,
    /// Matrix units that attention may use, in f16; `None`, the rule, is attention in f32.
    pub matrices: Option<MatrixUnits>,
    /// Tokens that a sequence will have, where that is known: the prompt, or the window of a
    /// protocol. Budgets that are shares are shares of it.
    pub planned_tokens: Option<usize>,
    pub(crate) programs: Programs,
    pub(crate) counter: OverflowCounter,
}

impl Context {
    /// A device without options.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            matrices: None,
            planned_tokens: None,
            programs: Programs::default(),
            counter: OverflowCounter::default(),
        }
    }

    /// The same for texts of `tokens` tokens, or of a length that is not known.
    pub fn planned(&self, tokens: Option<usize>) -> Self {
        Self { planned_tokens: tokens, ..self.clone() }
    }

    /// The same with a count of overflows of its own, which begins at 0.
    pub fn counting(&self) -> Self {
        Self { counter: OverflowCounter::default(), ..self.clone() }
    }

    /// Values that packed stores made with this context, or a clone of it, could not hold, and all
    /// that they stored, since the context was made. On a GPU this waits for the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn overflows(&self) -> Result<Overflows, KernelError> {
        self.counter.read()
    }

    /// Takes in what a cache with a store of its own counted: packed stores do this themselves.
    pub fn count(&self, new: Overflows) {
        self.counter.add(new.stored, new.lost);
    }
}

/// Whether tensors of this device live in the CPU back end, where Rust kernels read them in place.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_))
}

/// Matrix units of a GPU, such as tensor cores, that multiply f16 and add up in f32; wgpu calls
/// them cooperative matrices.
///
/// Attention on them rounds decoded rows, queries and weights to f16 (11 bits), and numbers beyond
/// 65,504 to infinity. What a cache is given and stores does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixUnits {
    /// Rows and columns of a matrix: 8 or 16.
    pub(crate) tile: usize,
    /// Invocations of a subgroup.
    pub(crate) lanes: usize,
}

impl MatrixUnits {
    /// The matrix units of an adapter, where attention can use them: square matrices of 8 or 16,
    /// f16 in the shader, and subgroups of one size. Vulkan only: it was not tried on Metal.
    pub fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        let needs = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP;
        let info = adapter.get_info();
        let lanes = info.subgroup_min_size as usize;
        let fits = info.backend == wgpu::Backend::Vulkan
            && adapter.features().contains(needs)
            && info.subgroup_max_size as usize == lanes
            && matches!(lanes, 4 | 8 | 16 | 32 | 64);
        let properties = adapter.cooperative_matrix_properties();
        let supports = |tile: u32| {
            properties.iter().any(|p| {
                [p.m_size, p.n_size, p.k_size] == [tile; 3]
                    && p.ab_type == wgpu::CooperativeScalarType::F16
                    && p.cr_type == wgpu::CooperativeScalarType::F32
            })
        };
        let tile = [16, 8].into_iter().find(|tile| supports(*tile)).filter(|_| fits)?;
        Some(Self { tile: tile as usize, lanes })
    }

    /// Whether head_dim is whole matrices.
    pub fn divide(&self, head_dim: usize) -> bool {
        head_dim.is_multiple_of(self.tile)
    }

    /// Units of a size that a test asks for; no adapter needs to have them.
    pub const fn with(tile: usize, lanes: usize) -> Self {
        Self { tile, lanes }
    }
}
