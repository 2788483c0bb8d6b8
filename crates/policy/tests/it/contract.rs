//! Every policy that comes with kvr keeps the contract, alone and inside every wrapper.

use kvr_policy::testkit::contract;
use kvr_policy::{PolicyError, Registry};

#[global_allocator]
static HEAP: kvr_policy::testkit::CountingHeap = kvr_policy::testkit::CountingHeap;

/// Checks the policies of these names that can be made for the kit's geometry; their number.
fn check(names: impl IntoIterator<Item = String>) -> usize {
    let registry = Registry::builtin();
    let mut checked = 0;
    for name in names {
        let made = registry.policy(&name).and_then(|policy| {
            policy.layer(&contract::geometry(), &contract::context())?;
            Ok(policy)
        });
        match made {
            Ok(policy) => {
                let start = std::time::Instant::now();
                contract::check(&*policy).unwrap_or_else(|failure| panic!("{failure}"));
                eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
                checked += 1;
            }
            // What does not go together must say so and how to fix it.
            Err(PolicyError::Settings { problem, .. }) => {
                assert!(problem.contains(':'), "{problem}")
            }
            Err(PolicyError::Unsupported { fix, .. }) => assert!(!fix.is_empty(), "{name}"),
            Err(PolicyError::Kernel(error)) => assert!(error.to_string().contains(':'), "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    checked
}

/// Named policies whose name begins with one of a range of letters.
fn named(letters: std::ops::RangeInclusive<char>) -> Vec<String> {
    let registry = Registry::builtin();
    let policies = registry.policies().map(|(name, _)| name.to_owned());
    let methods = registry.methods().map(|method| method.name.to_owned());
    let names = policies.chain(methods);
    names.filter(|name| name.chars().next().is_some_and(|c| letters.contains(&c))).collect()
}

#[test]
fn named_policies_a_to_j() {
    assert!(check(named('a'..='j')) >= 9);
}

#[test]
fn named_policies_k() {
    assert!(check(named('k'..='k')) >= 20);
}

#[test]
fn named_policies_l_to_z() {
    assert!(check(named('l'..='z')) >= 9);
}

#[test]
fn every_family_of_formats() {
    let names = [
        "a2g32:a3g64",
        "a6g64:a8g64",
        "s2g32:s3g64",
        "s4g32c0.9:s8g64",
        "nf2g64:nf3g32",
        "lm2g64:lm3g32",
        "nf3g64+1:a2g32+2",
    ];
    assert_eq!(check(names.map(str::to_owned)), names.len());
}

#[test]
fn rules_for_layers_and_heads() {
    let names = [
        "k8v4[1=kivi-2]",
        "fp16[1.0=h2o(tokens=50)]",
        "k4v4[1.1=window(recent=8)]",
        "fp32[0=k8v4]",
    ];
    assert_eq!(check(names.map(str::to_owned)), names.len());
}

/// What is crossed with the wrappers: a policy of each kind.
const KINDS: [&str; 8] =
    ["fp32", "k8v4", "a2g32:nf4g64", "q5_1:s3g32+1", "kivi-4", "window", "h2o", "adaptive"];

fn wrapped(wrapper: &str) -> usize {
    check(KINDS.map(|inner| wrapper.replace('#', inner)))
}

#[test]
fn windows_accept_what_is_append_only() {
    assert_eq!(wrapped("window(sinks=3;recent=17;policy=#)"), 4);
    assert_eq!(wrapped("window(sinks=0;recent=1;block=32;full=f32;policy=#)"), 4);
}

#[test]
fn rotations_accept_everything() {
    assert_eq!(wrapped("rotate(policy=#)"), 8);
    assert_eq!(wrapped("rotate(values=false;signs=true;policy=#)"), 8);
}

#[test]
fn pre_rope_accepts_what_is_append_only() {
    assert_eq!(wrapped("pre-rope(policy=#)"), 4);
}

#[test]
fn evictions_accept_per_token_formats() {
    assert_eq!(wrapped("adakv(policy=snapkv(tokens=100;policy=#))"), 4);
    assert_eq!(wrapped("tova(keep=0.3;policy=rotate(policy=#))"), 4);
}

#[test]
fn lossless_wrappers_equal_dense_attention() {
    let registry = Registry::builtin();
    for name in [
        "fp32",
        "rotate(policy=fp32)",
        "window(full=f32;policy=fp32)",
        "window(full=f32;block=40;policy=rotate(signs=true;policy=fp32))",
        "pre-rope(policy=fp32)",
        "fp32[1.1=rotate(policy=fp32)]",
        "h2o(ratio=0;policy=fp32)",
        "tova(tokens=100000;policy=fp32)",
        "adakv(policy=snapkv(policy=fp32))",
        "adaptive(budget=80;high=fp32)",
    ] {
        let policy = registry.policy(name).expect(name);
        contract::check_dense(&*policy).unwrap_or_else(|failure| panic!("{failure}"));
    }
}
