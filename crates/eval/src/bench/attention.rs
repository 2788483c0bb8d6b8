//! Time of attention over one layer's cache, and the device's bandwidth.

use std::time::Instant;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use kvr_kernels::{Context, is_cpu};
use kvr_models::{Geometry, caches};
use kvr_policy::{Append, KvCachePolicy, LayerCache, Queries};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::run::metrics::stats::{median, relative_spread};

/// Tokens appended at a time while a cache is filled.
const STEP: usize = 1024;

/// A timing runs at least this long, so that one that is short is repeated.
const SAMPLE_SECONDS: f64 = 0.02;

/// Seconds of work before the first sample on a CPU and on a GPU; a GPU raises its clock slowly.
const WARM_SECONDS: [f64; 2] = [0.5, 2.0];

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// `B`: sequences.
    pub batch: usize,
    /// Tokens held; the queries are the last of them.
    pub held: usize,
    /// Queries of each sequence: 1 is decode.
    pub queries: usize,
    /// Caches used round-robin, so that one that fits the processor's caches does not stay there.
    pub layers: usize,
    /// Samples after those that warm up.
    pub rounds: usize,
}

/// What a record says of a policy whose attention does not read the cache as it is packed.
///
/// # Errors
/// When the policy can't serve the geometry.
pub fn unfused_warning(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    context: &Context,
) -> Result<Option<String>, EvalError> {
    let context = context.planned(Some(geometry.max_positions));
    let fused = caches(geometry, policy, 1, &context)?.iter().all(|cache| cache.fused());
    Ok((!fused).then(|| {
        format!(
            "attention of {} unpacks its cache tile by tile here: speeds are not those of a kernel \
            that reads it packed",
            policy.name()
        )
    }))
}

/// How long attention of one layer took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timed {
    /// Median time of one layer, in microseconds.
    pub microseconds: f64,
    /// Half the distance between the quartiles over the median.
    pub spread: Option<f64>,
    /// Bytes of one layer's cache that are read.
    pub cache_bytes: u64,
    /// Median time of the same through decoding to tensors, in microseconds.
    pub unfused_microseconds: Option<f64>,
}

/// Fills caches of a geometry with random rows and times attention over them.
///
/// # Errors
/// When the policy can't serve the geometry, or the device fails.
pub fn time(
    policy: &dyn KvCachePolicy,
    geometry: &Geometry,
    load: Load,
    unfused: bool,
    context: &Context,
) -> Result<Timed, EvalError> {
    let Load { batch, held, queries, layers, rounds } = load;
    check_size(geometry, load)?;
    // What is timed is attention over all that is held: no layer has a window.
    let sizes = Geometry { layers, windows: Vec::new(), ..geometry.clone() };
    let mut caches = caches(&sizes, policy, batch, &context.planned(Some(held)))?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut rows = |heads: usize, tokens: usize| {
        let shape = [batch, heads, tokens, geometry.head_dim];
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        Tensor::<4>::from_data(TensorData::new(values, shape), &context.device)
    };
    let (keys, values) =
        (rows(geometry.kv_heads, STEP.min(held)), rows(geometry.kv_heads, STEP.min(held)));
    for cache in &mut caches {
        for position in (0..held).step_by(STEP) {
            let count = STEP.min(held - position);
            let new = Append { keys: keys.clone(), values: values.clone(), position };
            cache.append(new.part(0..count, position))?;
        }
    }
    let scale = 1.0 / (geometry.head_dim as f32).sqrt();
    let queries = Queries::causal(rows(geometry.query_heads, queries), held - queries, scale);
    let fused = |cache: &dyn LayerCache| cache.attend(&queries).map(|_| ());
    let samples = sample(&caches, rounds, &context.device, &fused)?;
    let plain = |cache: &dyn LayerCache| {
        Ok(kvr_kernels::attention::reference(&queries, &*cache.view()).map(|_| ())?)
    };
    let unfused_microseconds = match unfused {
        true => median(&sample(&caches, rounds.min(3), &context.device, &plain)?),
        false => None,
    };
    Ok(Timed {
        microseconds: median(&samples).unwrap_or(f64::NAN),
        spread: relative_spread(&samples),
        cache_bytes: caches[0].footprint().held(),
        unfused_microseconds,
    })
}

/// Refuses loads whose rows of queries or keys no memory can hold.
fn check_size(geometry: &Geometry, load: Load) -> Result<(), EvalError> {
    let Load { batch, held, queries, .. } = load;
    let heads = geometry.query_heads.max(geometry.kv_heads);
    let sizes = [batch, heads, queries.max(STEP.min(held)), geometry.head_dim, size_of::<f32>()];
    let bytes = sizes.iter().try_fold(1usize, |bytes, size| bytes.checked_mul(*size));
    if bytes.is_some_and(|bytes| bytes <= isize::MAX as usize) {
        return Ok(());
    }
    Err(EvalError::Setting(format!(
        "--batch {batch} with --queries {queries}: more values than memory can hold: give fewer"
    )))
}

/// What is done with one cache.
type Work<'a> = &'a dyn Fn(&dyn LayerCache) -> Result<(), kvr_policy::PolicyError>;

/// Microseconds for one cache, a sample at a time, the caches round-robin.
fn sample(
    caches: &[Box<dyn LayerCache>],
    rounds: usize,
    device: &Device,
    work: Work<'_>,
) -> Result<Vec<f64>, EvalError> {
    let mut samples = Vec::new();
    let mut repeats = 1;
    let warm = WARM_SECONDS[usize::from(!is_cpu(device))];
    let begin = Instant::now();
    while samples.len() < rounds {
        sync(device)?;
        let start = Instant::now();
        for _ in 0..repeats {
            for cache in caches {
                work(&**cache)?;
            }
        }
        sync(device)?;
        let seconds = start.elapsed().as_secs_f64();
        if samples.is_empty() && seconds < SAMPLE_SECONDS && repeats < 1 << 20 {
            repeats = (repeats * 2).max((repeats as f64 * SAMPLE_SECONDS / seconds / 2.0) as usize);
            continue;
        }
        if begin.elapsed().as_secs_f64() < warm {
            continue;
        }
        samples.push(1e6 * seconds / (repeats * caches.len()) as f64);
    }
    Ok(samples)
}

fn sync(device: &Device) -> Result<(), EvalError> {
    device.sync().map_err(|e| EvalError::Device(format!("{e:?}")))
}

/// Bytes that a device copies in a second, those read and those written together: the median of
/// several copies of a buffer larger than any cache.
///
/// # Errors
/// When the device fails.
pub fn copy_bandwidth(device: &Device) -> Result<f64, EvalError> {
    const VALUES: usize = 1 << 26;
    let bytes = 2.0 * 4.0 * VALUES as f64;
    let mut rates = Vec::new();
    if is_cpu(device) {
        let source = vec![1.0f32; VALUES];
        let mut target = vec![0.0f32; VALUES];
        let part = VALUES / rayon::current_num_threads();
        for _ in 0..6 {
            let start = Instant::now();
            target
                .par_chunks_mut(part)
                .zip(source.par_chunks(part))
                .for_each(|(target, source)| target.copy_from_slice(source));
            rates.push(bytes / start.elapsed().as_secs_f64());
        }
    } else {
        let source = Tensor::<1>::ones([VALUES], device);
        for _ in 0..12 {
            sync(device)?;
            let start = Instant::now();
            let copies: Vec<_> = (0..4).map(|_| source.clone() * 1.5).collect();
            sync(device)?;
            rates.push(copies.len() as f64 * bytes / start.elapsed().as_secs_f64());
        }
    }
    Ok(median(&rates[1..]).unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_beyond_all_memory_are_refused() {
        let geometry = kvr_models::geometry("tinyllama", &kvr_models::Hub::from_env());
        let geometry = geometry.expect("part of the program");
        let load = |batch| Load { batch, held: 512, queries: 1, layers: 1, rounds: 1 };
        assert!(check_size(&geometry, load(8)).is_ok());
        for batch in [usize::MAX, 1 << 48] {
            let error = check_size(&geometry, load(batch)).expect_err("too large").to_string();
            assert!(error.contains(&format!("--batch {batch}")), "{error}");
        }
    }
}
