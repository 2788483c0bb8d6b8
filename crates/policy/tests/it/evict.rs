//! Which tokens evicting methods hold, and that what always stays always stays.

use burn::tensor::Device;
use kvr_policy::testkit::{Rows, contract};
use kvr_policy::wrap::PostPrefill;
use kvr_policy::{Context, KvCachePolicy, LayerCache, Registry};

/// The length that shares are shares of.
const PLANNED: usize = 512;

fn context(planned: usize) -> Context {
    Context::new(&Device::flex()).planned(Some(planned))
}

fn cache(name: &str, planned: usize) -> Box<dyn LayerCache> {
    let policy = Registry::builtin().policy(name).expect(name);
    policy.layer(&contract::geometry(), &context(planned)).expect(name)
}

fn positions(cache: &dyn LayerCache) -> Vec<Vec<usize>> {
    let view = cache.view();
    (0..4).map(|i| view.positions(i / 2, i % 2)).collect()
}

/// Takes `tokens` tokens one by one and calls `each` with what is held after each.
fn run(cache: &mut dyn LayerCache, tokens: usize, mut each: impl FnMut(usize, Vec<Vec<usize>>)) {
    let rows = Rows::random(&contract::geometry(), &Device::flex(), tokens, 3);
    for position in 0..tokens {
        cache.step(rows.step(position, 1)).expect("a step");
        each(position + 1, positions(cache));
    }
}

#[test]
fn streaming_llm_holds_the_sinks_and_the_newest_at_every_step() {
    for size in ["ratio=0.5", "keep=0.5", "tokens=256"] {
        let mut cache = cache(&format!("streaming-llm({size})"), PLANNED);
        run(&mut *cache, PLANNED, |seen, held| {
            let want: Vec<usize> = match seen {
                0..=256 => (0..seen).collect(),
                _ => (0..4).chain(seen - 252..seen).collect(),
            };
            assert!(held.iter().all(|head| *head == want), "{size}: {seen} tokens");
        });
    }
}

#[test]
fn nothing_leaves_before_the_budget_is_exceeded_and_no_more_than_it_is_held() {
    for method in ["h2o", "tova", "knorm", "streaming-llm"] {
        let mut cache = cache(&format!("{method}(tokens=40)"), PLANNED);
        run(&mut *cache, 100, |seen, held| {
            for head in held {
                assert_eq!(head.len(), seen.min(40), "{method}: {seen} tokens");
                assert_eq!(head.last(), Some(&(seen - 1)), "{method}: the newest stays");
            }
        });
    }
}

#[test]
fn sinks_and_recent_stay_under_every_wrapper() {
    let wrappers = ["#", "rotate(policy=#)", "fp16[1.0=#]", "k8v4[1=#]", "by-layer(policy=#)"];
    let storages = ["fp16", "k8v4", "window(recent=8;policy=k8v4)"];
    for method in ["h2o", "tova", "knorm", "streaming-llm"] {
        for wrapper in wrappers {
            for storage in storages {
                // A window packs tokens again later, so nothing can evict from it.
                let evict = format!("{method}(tokens=24;sinks=3;recent=5;policy={storage})");
                let name = wrapper.replace('#', &evict);
                let policy = Registry::builtin().policy(&name).expect(&name);
                let made = policy.layer(&contract::geometry(), &context(PLANNED));
                let Ok(mut cache) = made else {
                    assert!(storage.starts_with("window"), "{name}: {:?}", made.err());
                    continue;
                };
                run(&mut *cache, 70, |seen, held| {
                    // The head that the wrapper leaves to the method.
                    let head = &held[0];
                    let sinks = 0..seen.min(3);
                    let recent = seen.saturating_sub(5)..seen;
                    let stays = |at: &usize| head.contains(at);
                    assert!(sinks.clone().all(|at| stays(&at)), "{name}: {seen}: {head:?}");
                    assert!(recent.clone().all(|at| stays(&at)), "{name}: {seen}: {head:?}");
                });
            }
        }
    }
}

#[test]
fn adaptive_precision_never_touches_what_stays_and_keeps_its_budget() {
    let mut cache = cache("adaptive(budget=3;sinks=3;recent=5)", 100);
    let geometry = contract::geometry();
    let budget = 3 * 2 * geometry.head_dim as u64 * 100 / 8 * 4;
    let rows = Rows::random(&geometry, &Device::flex(), 100, 3);
    for position in 0..100 {
        cache.step(rows.step(position, 1)).expect("a step");
        assert!(cache.footprint().held() <= budget, "token {position}");
        for head in positions(&*cache) {
            let seen = position + 1;
            assert!(
                (0..seen.min(3)).chain(seen.saturating_sub(5)..seen).all(|at| head.contains(&at))
            );
        }
    }
    assert!(positions(&*cache).iter().any(|head| head.len() < 100), "the budget is tight");
}

#[test]
fn budgets_below_what_always_stays_are_refused() {
    let registry = Registry::builtin();
    for name in ["h2o(tokens=8;sinks=16)", "tova(tokens=4;recent=9)", "snapkv(tokens=10;window=32)"]
    {
        let error = registry.policy(name).err().expect(name).to_string();
        assert!(error.contains("always stay"), "{name}: {error}");
    }
    for name in ["h2o(ratio=0.5;keep=0.5)", "h2o(ratio=1)", "h2o(keep=0)", "h2o(tokens=0)"] {
        assert!(registry.policy(name).is_err(), "{name}");
    }
    // A share becomes a number when the length is known, and is refused then.
    let policy = registry.policy("h2o(ratio=0.9;sinks=4)").expect("fits long texts");
    let layer = |planned| policy.layer(&contract::geometry(), &context(planned));
    assert!(layer(40).is_err() && layer(400).is_ok());
    let unknown = Context::new(&Device::flex());
    assert!(policy.layer(&contract::geometry(), &unknown).is_err());
}

#[test]
fn prompts_are_compressed_at_their_end_in_one_step_or_many() {
    let registry = Registry::builtin();
    let geometry = contract::geometry();
    let rows = Rows::random(&geometry, &Device::flex(), 130, 9);
    let names =
        ["snapkv(ratio=0.5;window=16)", "adakv(policy=snapkv(keep=0.4;window=8;policy=k8v4))"];
    for name in names {
        let policy = PostPrefill(registry.policy(name).expect(name));
        let run = |steps: &[usize]| {
            let mut cache = policy.layer(&geometry, &context(120)).expect(name);
            let mut position = 0;
            for (i, count) in steps.iter().enumerate() {
                let mut step = rows.step(position, *count);
                step.ends_prompt = i + 1 == steps.len();
                cache.step(step).expect("a step");
                position += count;
            }
            let held = positions(&*cache);
            cache.step(rows.step(120, 10)).expect("a step");
            (held, positions(&*cache), cache.footprint().held())
        };
        let (once, later, bytes) = run(&[120]);
        assert_eq!(run(&[50, 1, 69]), (once.clone(), later.clone(), bytes), "{name}");
        let total: usize = once.iter().map(Vec::len).sum();
        let each = if name.starts_with("snapkv") { 60 } else { 48 };
        assert_eq!(total, 4 * each, "{name}");
        for (before, after) in once.iter().zip(&later) {
            assert_eq!(after[..before.len()], before[..], "{name}");
            assert_eq!(after[before.len()..], (120..130).collect::<Vec<_>>(), "{name}");
        }
    }
}

#[test]
fn adakv_needs_a_method_that_scores_prompts() {
    let error = Registry::builtin().policy("adakv(policy=k8v4)").err().expect("no scores");
    assert!(error.to_string().contains("snapkv"), "{error}");
}
