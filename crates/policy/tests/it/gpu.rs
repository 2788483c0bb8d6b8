//! The WGSL kernels on whatever adapter there is: the same words as the CPU, the same attention.

use burn::tensor::Device;
use kvr_policy::testkit::{Rows, contract};
use kvr_policy::{Append, Context, LayerCache, Queries, Registry};

use crate::support::{every_format, geometry, gpu, gpu_and_kind, random, tensor};

fn filled(name: &str, d: usize, steps: &[usize], device: &Device) -> Box<dyn LayerCache> {
    let policy = Registry::builtin().policy(name).expect("a pair of built-in formats");
    let mut cache = policy.layer(&geometry(2, 4, 2, d), &Context::new(device)).expect("a cache");
    let mut position = 0;
    for (i, n) in steps.iter().enumerate() {
        let rows = |seed| tensor(&random(4 * n * d, d, seed + i as u64), [2, 2, *n, d], device);
        cache.append(Append { keys: rows(31), values: rows(57), position }).expect("rows that fit");
        position += n;
    }
    cache
}

fn host(t: burn::Tensor<4>) -> Vec<f32> {
    t.into_data_as::<f32>().try_to_vec::<f32>().expect("f32")
}

#[test]
fn the_gpu_stores_and_reads_what_the_cpu_does() {
    let Some((device, software)) = gpu_and_kind() else { return };
    for format in every_format() {
        // head_dim 32 gives quantised formats an odd number of scales: rows that share a word.
        for d in [32, 64].into_iter().filter(|d| d % format.layout().values == 0) {
            let name = format!("{0}:{0}", format.name());
            let steps = [3, 1, 1, 250, 4, 40];
            let (ours, theirs) =
                (filled(&name, d, &steps, &Device::flex()), filled(&name, d, &steps, &device));
            assert_eq!(ours.footprint().held(), theirs.footprint().held());
            let (mut ours, mut theirs) = (ours, theirs);
            // Again without some tokens: packed rows move as they are.
            for kept in [(0..299).collect::<Vec<_>>(), (0..299).filter(|i| i % 7 != 3).collect()] {
                ours.keep(&kept).expect("per-token formats");
                theirs.keep(&kept).expect("per-token formats");
                same_tiles(&name, &*ours, &*theirs, software);
            }
        }
    }
}

fn same_tiles(name: &str, ours: &dyn LayerCache, theirs: &dyn LayerCache, software: bool) {
    assert_eq!(ours.view().tokens(), theirs.view().tokens());
    for tile in 0..ours.view().tiles() {
        let (a, b) = (ours.view().tile(tile).expect("cpu"), theirs.view().tile(tile).expect("gpu"));
        for (a, b) in [(a.keys, b.keys), (a.values, b.values)] {
            let (a, b) = (host(a), host(b));
            let differs = a.iter().zip(&b).filter(|(a, b)| a != b).count();
            // WGSL lets a division be off by 2.5 units in the last place, and hardware makes use of
            // it: then a value on the border takes the neighbouring code, and a scale on the border
            // of two f16 the other one, with all values of its block. Software divides exactly.
            let bound = if software { 0 } else { a.len() / 1000 + 128 };
            assert!(differs <= bound, "{name}: {differs} of {} values", a.len());
            let top = a.iter().fold(0.0f32, |top, x| top.max(x.abs()));
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= top / 2.0, "{name}: off by {off} of {top}");
        }
    }
}

#[test]
fn policies_of_every_kind_run_on_the_gpu() {
    let Some(device) = gpu() else { return };
    for name in [
        "window(recent=20;policy=k8v4)",
        "kivi-4",
        "rotate(signs=true;policy=a4g64)",
        "pre-rope(policy=nf4g64:q8_0)",
        "h2o(tokens=30;policy=k8v4)",
        "adaptive(budget=5;sinks=2;recent=4)",
        "k8v4[1.1=fp16]",
    ] {
        let policy = Registry::builtin().policy(name).expect(name);
        let run = |device: &Device| {
            let geometry = contract::geometry();
            let rows = Rows::random(&geometry, &Device::flex(), 150, 5);
            let context = Context::new(device).planned(Some(150));
            let mut cache = policy.layer(&geometry, &context).expect("a cache");
            let mut outputs = Vec::new();
            for (position, count) in [(0, 140), (140, 1), (141, 9)] {
                let step = rows.step(position, count).to_device(device);
                outputs.extend(host(cache.step(step).expect("a step")));
            }
            (outputs, cache.footprint().held())
        };
        let ((ours, held), (theirs, their_held)) = (run(&Device::flex()), run(&device));
        assert_eq!(held, their_held, "{name}");
        // Matrix products round otherwise, and then a value may take the neighbouring code.
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
        let off = squares(&mut ours.iter().zip(&theirs).map(|(a, b)| a - b));
        let all = squares(&mut ours.iter().copied());
        // Where attention decides what is dropped, a tie may go to another token.
        let decides = name.starts_with("h2o") || name.starts_with("adaptive");
        let bound = if decides { 1e-3 } else { 1e-5 };
        assert!(off <= bound * all, "{name}: {off} of {all}");
    }
}

#[test]
fn attention_on_the_gpu_agrees_with_the_cpu() {
    let Some(device) = gpu() else { return };
    for name in ["fp32", "k8v4", "q5_1:q4_1"] {
        let (ours, theirs) =
            (filled(name, 64, &[300], &Device::flex()), filled(name, 64, &[300], &device));
        for (steps, position) in [(1, 299), (40, 260), (300, 0)] {
            let q = random(2 * 4 * steps * 64, 64, 77);
            let attend = |cache: &dyn LayerCache, device: &Device| {
                let queries = tensor(&q, [2, 4, steps, 64], device);
                host(
                    cache
                        .attend(&Queries::causal(queries, position, 0.125))
                        .expect("attention")
                        .output,
                )
            };
            let (a, b) = (attend(&*ours, &Device::flex()), attend(&*theirs, &device));
            let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let top = a.iter().fold(0.0f32, |top, x| top.max(x.abs()));
            assert!(worst < 2e-5 * top, "{name}, {steps} queries: {worst} of {top}");
        }
    }
}
