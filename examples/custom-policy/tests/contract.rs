//! The policies of this crate keep the contract of kvr.

use kvr_policy::testkit::{CountingHeap, contract};

#[global_allocator]
static HEAP: CountingHeap = CountingHeap;

fn check(names: &[&str]) {
    let registry = custom_policy::registry().expect("names of our own");
    for name in names {
        let policy = registry.policy(name).expect(name);
        contract::check(&*policy).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn format_keeps_the_contract() {
    check(&["int8", "int8:q4_0", "window(policy=int8)"]);
}

#[test]
fn scorer_keeps_the_contract() {
    check(&["value-norm", "value-norm(tokens=100;policy=k8v4)"]);
}

#[test]
fn policy_keeps_the_contract() {
    check(&["clipped", "clipped(limit=0.5;policy=fp16)", "clipped(policy=h2o(tokens=100))"]);
}
