//! The rules that every policy keeps, and the functions that hold it to them.

mod overflow;

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Device;
use kvr_kernels::formats::F32;

use super::rows::Rows;
use super::{Failure, heap};
use crate::evict::host;
use crate::{
    Append, ChannelOrder, Context, KvCachePolicy, LayerCache, LayerGeometry, PackedCache,
    PolicyError, Prompt, Rope, Side, Step,
};

/// Tokens of a run: more than two pages, and no multiple of any block.
const TOKENS: usize = 531;

/// Steps of these sizes must answer as one step does.
const STEPS: [usize; 4] = [1, 7, 64, 300];

/// How far outputs that went another way round may differ, relative to the largest.
const ROUNDING: f32 = 2e-5;

/// Bytes that a cache may need beside its buffers, for each page of each store of each head:
/// structs, shapes, lists of pages.
const STRUCTS: u64 = 4096;

/// Holds a policy to every rule, on the CPU:
///
/// - the heads of a layer hold no more tokens after a step than the budget the policy promises;
/// - positions are absolute, ascend, and no head holds one twice;
/// - the footprint's parts are within what it says is allocated, and that is what is alive in the
///   heap, where the test binary installs [`CountingHeap`](super::CountingHeap);
/// - one step, steps of 1, 7, 64 and 300 tokens give the same outputs and hold the same bytes,
///   where the policy promises to be streaming-exact;
/// - reset gives the memory back, and a replay is equal to the bit;
/// - sequences of a batch do not influence each other;
/// - a prompt that is compressed at its end leaves ascending positions of its own tokens, and what
///   comes after it is held behind them;
/// - what does not fit is refused, and leaves the cache as it was;
/// - a value that is too large for what it is stored in is counted in the
///   [context](Context::overflows), or the step is refused; else it is read as it was.
///
/// # Errors
/// The first rule that the policy breaks, and where.
pub fn check(policy: &dyn KvCachePolicy) -> Result<(), Failure> {
    let _turn = heap::alone();
    let (geometry, context) = (geometry(), context());
    let kit = Kit {
        policy,
        rows: Rows::random(&geometry, &context.device, TOKENS, 7),
        geometry,
        context,
    };
    let first = kit.run(&mut *kit.cache()?, TOKENS)?;
    // On one thread of its own: what threads keep for later would be counted as the cache's.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one = one.map_err(|e| kit.fail("a thread can be started", e.to_string()))?;
    one.install(|| kit.memory())?;
    kit.steps(&first)?;
    kit.replay(&first)?;
    kit.batch(&first)?;
    kit.prompt()?;
    kit.errors()?;
    kit.overflows()
}

/// Holds a policy that loses nothing (made of lossless parts, with no budget) to dense attention.
///
/// # Errors
/// Where its outputs differ.
pub fn check_dense(policy: &dyn KvCachePolicy) -> Result<(), Failure> {
    let (geometry, context) = (geometry(), context());
    let kit = Kit {
        policy,
        rows: Rows::random(&geometry, &context.device, TOKENS, 11),
        geometry,
        context,
    };
    let rule = "a lossless policy equals dense attention";
    let side = || Side::per_token(Arc::new(F32));
    let dense = PackedCache::new(&kit.geometry, &kit.context, side(), side());
    let mut dense = dense.map_err(|e| kit.fail(rule, e.to_string()))?;
    let want = kit.run(&mut dense, 300)?;
    let got = kit.run(&mut *kit.cache()?, 300)?;
    kit.same(rule, &got, &want, ROUNDING)
}

/// The device and the length of the text that rules are checked on.
pub fn context() -> Context {
    Context::new(&Device::flex()).planned(Some(TOKENS))
}

/// The layer that rules are checked on: two sequences, two query heads to a key-value head.
pub fn geometry() -> LayerGeometry {
    let frequencies = (0..32).map(|i| 1e4f32.powf(-i as f32 / 32.0)).collect();
    LayerGeometry {
        layer: 1,
        layers: 3,
        batch: 2,
        query_heads: 4,
        kv_heads: 2,
        head_dim: 64,
        rope: Some(Rope { frequencies, order: ChannelOrder::Halves }),
        window: None,
    }
}

struct Kit<'a> {
    policy: &'a dyn KvCachePolicy,
    geometry: LayerGeometry,
    context: Context,
    rows: Rows,
}

/// Outputs of a run, `[B, Hq, S, D]`, and the bytes held at its end.
struct Run {
    outputs: Vec<f32>,
    held: u64,
}

impl Kit<'_> {
    fn fail(&self, rule: &'static str, what: String) -> Failure {
        Failure { policy: self.policy.name(), rule, step: None, head: None, what }
    }

    fn cache(&self) -> Result<Box<dyn LayerCache>, Failure> {
        let cache = self.policy.layer(&self.geometry, &self.context);
        cache.map_err(|e| self.fail("a cache can be made", e.to_string()))
    }

    /// All rows in steps of `size`, with what must hold after each.
    fn run(&self, cache: &mut dyn LayerCache, size: usize) -> Result<Run, Failure> {
        let mut outputs = Vec::new();
        for position in (0..self.rows.tokens()).step_by(size) {
            let count = size.min(self.rows.tokens() - position);
            let output = cache.step(self.rows.step(position, count));
            outputs.push(output.map_err(|e| self.fail("steps succeed", e.to_string()))?);
            self.after(cache, position + count)?;
        }
        let outputs = host(Tensor::cat(outputs, 2));
        let outputs = outputs.map_err(|e| self.fail("steps succeed", e.to_string()))?;
        if let Some(bad) = outputs.iter().find(|x| !x.is_finite()) {
            return Err(self.fail("outputs are numbers", format!("an output is {bad}")));
        }
        Ok(Run { outputs, held: cache.footprint().held() })
    }

    /// What must hold when `seen` tokens have come.
    fn after(&self, cache: &dyn LayerCache, seen: usize) -> Result<(), Failure> {
        let budget = self.policy.promise().budget.map_or(seen, |budget| budget.of(TOKENS));
        let kv_heads = self.geometry.kv_heads;
        for sequence in 0..self.geometry.batch {
            let mut held = 0;
            for head in 0..kv_heads {
                let at = |failure: Failure| Failure {
                    step: Some(seen - 1),
                    head: Some((sequence, head)),
                    ..failure
                };
                let positions = cache.view().positions(sequence, head);
                held += positions.len();
                if held > budget * kv_heads || positions.len() > cache.view().tokens() {
                    let what = format!(
                        "{held} tokens held by {} heads, the budget of a head is {budget}",
                        head + 1
                    );
                    return Err(at(self.fail("held tokens keep the budget", what)));
                }
                if !positions.is_sorted_by(|a, b| a < b) || positions.last() >= Some(&seen) {
                    let what = format!("positions {positions:?} of {seen} tokens");
                    return Err(at(
                        self.fail("positions are absolute, ascend and are unique", what)
                    ));
                }
            }
        }
        let print = cache.footprint();
        if print.held() > print.allocated {
            let what = format!("{} bytes held, {} allocated", print.held(), print.allocated);
            let failure = self.fail("bytes held are among those allocated", what);
            return Err(Failure { step: Some(seen - 1), ..failure });
        }
        Ok(())
    }

    /// The footprint is what is alive.
    fn memory(&self) -> Result<(), Failure> {
        let rule = "the footprint is what is alive in the heap";
        let filled = || -> Result<Box<dyn LayerCache>, Failure> {
            let mut cache = self.cache()?;
            for position in (0..TOKENS).step_by(64) {
                let step = self.rows.step(position, 64.min(TOKENS - position));
                cache.step(step).map_err(|e| self.fail(rule, e.to_string()))?;
            }
            Ok(cache)
        };
        // Threads keep the work space of their first matrix products.
        drop(filled()?);
        let Some(before) = heap::live() else { return Ok(()) };
        let mut cache = filled()?;
        let alive = heap::live().unwrap_or(before).saturating_sub(before).max(0) as u64;
        let said = cache.footprint().allocated;
        let heads = (self.geometry.batch * self.geometry.kv_heads) as u64;
        let structs = STRUCTS * heads * 4 * (TOKENS as u64).div_ceil(256);
        if alive > said + structs || alive < said {
            let what = format!("{said} bytes reported, {alive} alive: a copy is not counted");
            return Err(self.fail(rule, what));
        }
        cache.reset();
        let left = heap::live().unwrap_or(before).saturating_sub(before).max(0) as u64;
        if left > structs || cache.footprint().allocated > structs {
            let what = format!("{left} bytes alive after a reset");
            return Err(self.fail("reset gives the memory back", what));
        }
        Ok(())
    }

    fn steps(&self, first: &Run) -> Result<(), Failure> {
        if !self.policy.promise().streaming_exact {
            return Ok(());
        }
        for size in STEPS {
            let run = self.run(&mut *self.cache()?, size)?;
            let rule = "steps of any size answer alike";
            let in_steps = |failure: Failure| Failure {
                what: format!("in steps of {size}: {}", failure.what),
                ..failure
            };
            self.same(rule, &run, first, ROUNDING).map_err(in_steps)?;
            if run.held != first.held {
                let what = format!("{} bytes held, {} after one step", run.held, first.held);
                return Err(in_steps(self.fail("steps of any size hold the same bytes", what)));
            }
        }
        Ok(())
    }

    fn replay(&self, first: &Run) -> Result<(), Failure> {
        let mut cache = self.cache()?;
        self.run(&mut *cache, 300)?;
        cache.reset();
        if cache.view().tokens() > 0 {
            let what = format!("{} tokens held", cache.view().tokens());
            return Err(self.fail("reset forgets every token", what));
        }
        let again = self.run(&mut *cache, TOKENS)?;
        self.same("a replay after reset is equal to the bit", &again, first, 0.0)
    }

    fn batch(&self, first: &Run) -> Result<(), Failure> {
        for sequence in 0..self.geometry.batch {
            let alone = Kit {
                policy: self.policy,
                geometry: self.geometry.part(1, self.geometry.kv_heads),
                context: self.context.clone(),
                rows: self.rows.sequence(sequence),
            };
            let run = alone.run(&mut *alone.cache()?, TOKENS)?;
            let size = run.outputs.len();
            let together =
                Run { outputs: first.outputs[sequence * size..][..size].to_vec(), held: 0 };
            let failed = |f: Failure| Failure { head: f.head.map(|(_, h)| (sequence, h)), ..f };
            let rule = "sequences of a batch do not influence each other";
            alone.same(rule, &run, &together, ROUNDING).map_err(failed)?;
        }
        Ok(())
    }

    /// A prompt is compressed, and tokens come after it.
    fn prompt(&self) -> Result<(), Failure> {
        let rule = "a prompt can be compressed and gone on from";
        let (prompt, after) = (TOKENS - 9, 9);
        let failed = |e: PolicyError| self.fail(rule, e.to_string());
        let mut cache = self.cache()?;
        let Step { new: Append { keys, values, .. }, queries, scale, soft_cap, .. } =
            self.rows.step(0, prompt);
        let queries = Some(queries);
        let (hidden, output_weight) = (None, None);
        let all = Prompt { keys, values, queries, scale, soft_cap, hidden, output_weight };
        if cache.needs().hidden || cache.needs().output_weight {
            // The kit has a layer's rows and no model around it.
            return Ok(());
        }
        cache.compress(all).map_err(failed)?;
        self.after(&*cache, prompt)?;
        let before = cache.view().positions(0, 0);
        let output = cache.step(self.rows.step(prompt, after)).and_then(host).map_err(failed)?;
        if let Some(bad) = output.iter().find(|x| !x.is_finite()) {
            return Err(self.fail(rule, format!("an output is {bad}")));
        }
        self.after(&*cache, TOKENS)?;
        let held = cache.view().positions(0, 0);
        let newest = held.last() == Some(&(TOKENS - 1));
        let known = held.iter().all(|at| before.contains(at) || *at >= prompt);
        if !newest || !known {
            let what = format!("{before:?} of the prompt, then {held:?}");
            return Err(self.fail(rule, what));
        }
        Ok(())
    }

    /// What does not fit is refused, and afterwards the cache goes on as if nothing had come.
    fn errors(&self) -> Result<(), Failure> {
        let rule = "an error leaves the cache as it was";
        let held = 41;
        let filled = || -> Result<Box<dyn LayerCache>, Failure> {
            let mut cache = self.cache()?;
            let done = cache.step(self.rows.step(0, held));
            done.map(|_| cache).map_err(|e| self.fail("steps succeed", e.to_string()))
        };
        let (mut ours, mut clean) = (filled()?, filled()?);
        let good = self.rows.step(held, 3);
        let narrower = |rows: &Tensor<4>, dim: usize| {
            let size = rows.dims()[dim];
            rows.clone().narrow(dim, 0, size - 1)
        };
        let keys = |keys| Step { new: Append { keys, ..good.new.clone() }, ..good.clone() };
        let values = |values| Step { new: Append { values, ..good.new.clone() }, ..good.clone() };
        let queries = |queries| Step { queries, ..good.clone() };
        let wrong = [
            ("keys lack a head (axis Hkv)", keys(narrower(&good.new.keys, 1))),
            ("keys lack a token (axis S)", keys(narrower(&good.new.keys, 2))),
            ("values lack a channel (axis D)", values(narrower(&good.new.values, 3))),
            ("values lack a sequence (axis B)", values(narrower(&good.new.values, 0))),
            ("queries lack a head (axis Hq)", queries(narrower(&good.queries, 1))),
            ("the position is taken", good.clone().at(held - 1)),
            ("the position leaves a gap", good.clone().at(held + 1)),
        ];
        for (what, step) in wrong {
            let before = ours.footprint();
            if ours.step(step).is_ok() {
                return Err(self.fail("what does not fit is refused", what.to_owned()));
            }
            if ours.footprint() != before {
                return Err(self.fail(rule, format!("{what}: the footprint changed")));
            }
        }
        let rest = self.rows.step(held, 3);
        let (got, want) = (ours.step(rest.clone()), clean.step(rest));
        let numbers = |output: Result<Tensor<4>, PolicyError>| {
            let outputs = output.and_then(host).map_err(|e| self.fail(rule, e.to_string()))?;
            Ok::<_, Failure>(Run { outputs, held: 0 })
        };
        self.same(rule, &numbers(got)?, &numbers(want)?, 0.0)
    }

    /// Outputs `[B, Hq, S, D]` that differ by no more than `bound` of the largest.
    fn same(&self, rule: &'static str, got: &Run, want: &Run, bound: f32) -> Result<(), Failure> {
        let top = want.outputs.iter().fold(0.0f32, |top, x| top.max(x.abs()));
        let far = |(g, w): (&f32, &f32)| (g - w).abs() > bound * top;
        let Some(at) = got.outputs.iter().zip(&want.outputs).position(far) else { return Ok(()) };
        let d = self.geometry.head_dim;
        let steps = want.outputs.len() / (self.geometry.batch * self.geometry.query_heads * d);
        let row = at / d / steps;
        Err(Failure {
            step: Some(at / d % steps),
            head: Some((row / self.geometry.query_heads, row % self.geometry.query_heads)),
            ..self.fail(
                rule,
                format!(
                    "{} where {} was expected, on axis D at {}",
                    got.outputs[at],
                    want.outputs[at],
                    at % d
                ),
            )
        })
    }
}
