//! Memory: caches are filled and their live buffers counted.

use burn::Tensor;
use burn::tensor::TensorData;
use kvr_kernels::Context;
use kvr_models::{Geometry, caches};
use kvr_policy::{Append, Footprint, KvCachePolicy, LayerCache, Prompt};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::EvalError;
use crate::record::Memory;

/// Tokens appended at a time.
const STEP: usize = 256;

/// Fills the caches of one sequence with `tokens` tokens of random keys and values and counts the
/// bytes of all layers together, all of them alive.
///
/// # Errors
/// When the policy can't serve the geometry, or the device fails.
pub fn measure(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    tokens: usize,
    context: &Context,
) -> Result<Footprint, EvalError> {
    let context = context.planned(Some(tokens));
    let compresses = policy.promise().compresses_prompts;
    let mut caches = caches(geometry, policy, 1, &context)?;
    for cache in &mut caches {
        fill(&mut **cache, &context, tokens, compresses)?;
    }
    Ok(caches.iter().map(|cache| cache.footprint()).sum())
}

/// Fills an empty cache of one sequence with random tokens; as a prompt that is complete, where the
/// policy compresses prompts.
pub(crate) fn fill(
    cache: &mut dyn LayerCache,
    context: &Context,
    tokens: usize,
    compresses: bool,
) -> Result<(), EvalError> {
    let geometry = cache.geometry().clone();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut random = |heads: usize, tokens: usize| {
        let shape = [1, heads, tokens, geometry.head_dim];
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        Tensor::<4>::from_data(TensorData::new(values, shape), &context.device)
    };
    if compresses {
        let keys = random(geometry.kv_heads, tokens);
        let queries = cache.needs().queries.min(tokens);
        cache.compress(Prompt {
            values: keys.clone(),
            keys,
            queries: (queries > 0).then(|| random(geometry.query_heads, queries)),
            scale: 1.0 / (geometry.head_dim as f32).sqrt(),
            soft_cap: None,
            hidden: None,
            output_weight: None,
        })?;
        return Ok(());
    }
    let rows = random(geometry.kv_heads, STEP);
    for position in (0..tokens).step_by(STEP) {
        let rows = rows.clone().narrow(2, 0, STEP.min(tokens - position));
        cache.append(Append { keys: rows.clone(), values: rows, position })?;
    }
    Ok(())
}

/// Bytes that f16 takes for `tokens` tokens of one sequence, of which layers with a sliding window
/// hold their window.
///
/// # Errors
/// When 64 bits can't count them.
pub fn fp16_bytes(geometry: &Geometry, tokens: usize) -> Result<u64, EvalError> {
    geometry.values(tokens as u64).checked_mul(2).ok_or_else(|| {
        EvalError::Setting(format!(
            "{tokens} tokens need more bytes in f16 than 64 bits can count: give fewer tokens"
        ))
    })
}

/// The memory of a policy with `tokens` tokens held, as it goes into a record.
///
/// # Errors
/// As [`measure`].
pub fn record(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    tokens: usize,
    context: &Context,
) -> Result<Memory, EvalError> {
    let cache_bytes_fp16 = fp16_bytes(geometry, tokens)?;
    let footprint = measure(geometry, policy, tokens, context)?;
    Ok(Memory {
        memory_ctx: tokens,
        cache_bytes_held: footprint.held(),
        cache_bytes_allocated: footprint.allocated,
        cache_bytes_fp16,
        bytes_per_token: footprint.held() as f64 / tokens as f64,
        peak_process_bytes: peak_process_bytes(),
    })
}

/// Peak memory of this process so far, in bytes, where the system tells.
pub fn peak_process_bytes() -> Option<u64> {
    // SAFETY: getrusage fills the struct that it is given and touches nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &mut usage) == 0).then_some(usage)?
    };
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Some(usage.ru_maxrss as u64 * unit)
}
