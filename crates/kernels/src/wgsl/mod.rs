//! WGSL programs: checked once, identified by their text, launched on the device of their buffers.
//!
//! The runtime only logs a shader that does not compile, and its output then reads as zeros. So a
//! program can't be made from text that naga, the compiler behind wgpu, refuses.

mod text;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::cubecl::prelude::*;
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_wgpu::{CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use naga::valid::{Capabilities, ValidationFlags, Validator};

pub(crate) use text::{constants, prefixed, unroll};

/// Conversions between f32 and f16 that every program may call.
pub(crate) const PRELUDE: &str = include_str!("prelude.wgsl");

/// Workgroups along x before y is used; WebGPU guarantees 65,535 on each axis.
const ROW_OF_GROUPS: u32 = 32_768;

/// What sources may use; those for matrix units run only where an adapter has these.
const CAPABILITIES: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32
    .union(Capabilities::SHADER_FLOAT16)
    .union(Capabilities::SUBGROUP)
    .union(Capabilities::COOPERATIVE_MATRIX);

/// A program whose text was checked. Programs of equal text share a compiled pipeline, others never
/// do, whatever the formats in them are called.
#[derive(Clone)]
pub(crate) struct Program(Arc<Text>);

struct Text {
    source: String,
    digest: u128,
    /// Invocations of a workgroup.
    group: u32,
}

impl Program {
    fn new(source: String, group: usize) -> Result<Self, String> {
        check(&source)?;
        Ok(Self(Arc::new(Text { digest: digest(&source), source, group: group as u32 })))
    }

    /// Runs enough workgroups for `invocations`, numbered along x and then y.
    pub(crate) fn launch(&self, buffers: &[&CubeTensor], info: &[u32], invocations: usize) {
        let groups = (invocations as u32).div_ceil(self.0.group);
        let count = [groups.min(ROW_OF_GROUPS), groups.div_ceil(ROW_OF_GROUPS), 1];
        self.submit(buffers, info, count);
    }

    /// Runs `x · y · z` workgroups over `buffers`, with the words of `info` as the last binding.
    pub(crate) fn submit(&self, buffers: &[&CubeTensor], info: &[u32], [x, y, z]: [u32; 3]) {
        let words = info
            .chunks(2)
            .map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
        let arguments = KernelArguments::new()
            .with_buffers(buffers.iter().map(|b| b.handle.clone().binding()).collect())
            .with_info(MetadataBindingInfo::custom(words.collect()));
        let kernel = SourceKernel::new(self.clone(), CubeDim::new_1d(self.0.group));
        buffers[0].client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({:032x})", self.0.digest)
    }
}

impl KernelSource for Program {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.0.source.clone())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.digest)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The programs that caches of one device have made so far: each text is checked once.
#[derive(Clone, Default)]
pub(crate) struct Programs(Arc<Mutex<HashMap<u128, Program>>>);

impl Programs {
    /// The program of this text, with workgroups of `group` invocations.
    ///
    /// # Errors
    /// What the compiler says of the text.
    pub(crate) fn get(&self, source: String, group: usize) -> Result<Program, String> {
        // A panic elsewhere leaves the map as it was: it is only ever added to.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = digest(&source);
        if let Some(program) = known.get(&key) {
            return Ok(program.clone());
        }
        let program = Program::new(source, group)?;
        known.insert(key, program.clone());
        Ok(program)
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Programs")
    }
}

/// FNV-1a, 128 bits.
fn digest(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// Checks one source; what is wrong with it in naga's words.
fn check(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    Validator::new(ValidationFlags::all(), CAPABILITIES)
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok(())
}

/// A plane that a kernel may write: a page that someone else holds too is copied first, as on the
/// CPU.
pub(crate) fn own(plane: CubeTensor) -> CubeTensor {
    if plane.can_mut() { plane } else { plane.copy() }
}
