//! The real download code against a server that answers the way the hub does.

use kvr_kernels::Context;
use std::collections::BTreeMap;

use kvr_models::GgufSource;
use kvr_models::{Hub, ModelSource};
use kvr_testing::fake_hub::{Behaviour, COMMIT, FakeHub, hex, repository};

fn hub_of(fake: &FakeHub) -> Hub {
    Hub {
        endpoint: fake.endpoint().to_owned(),
        cache: fake.cache().to_owned(),
        token: None,
        offline: false,
        progress: false,
    }
}

fn load(hub: &Hub) -> Result<kvr_models::Model, kvr_models::ModelError> {
    "hub:owner/name".parse::<ModelSource>()?.load(hub, &Context::new(&burn::tensor::Device::flex()))
}

#[test]
fn a_model_is_fetched_once_and_then_read_from_the_cache() {
    let fake = FakeHub::start(repository(), Behaviour::default());
    let hub = hub_of(&fake);
    let model = load(&hub).expect("a model");
    assert_eq!(model.decoder.spec().vocab_size, 320);
    assert_eq!(model.sha256, Some(hex(&repository()["model.safetensors"])));
    let snapshot = fake.cache().join(format!("models--owner--name/snapshots/{COMMIT}/config.json"));
    assert!(snapshot.exists(), "the cache has the layout that all Hugging Face programs share");
    let fetched = fake.requests("/cdn/").len();
    load(&hub).expect("a model");
    assert_eq!(fake.requests("/cdn/").len(), fetched, "the second load fetches nothing");
    load(&Hub { offline: true, ..hub.clone() }).expect("offline, from the cache");
    let gone = Hub { endpoint: "http://127.0.0.1:9".to_owned(), ..hub };
    load(&gone).expect("without network, from the cache");
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let fake =
        FakeHub::start(repository(), Behaviour { cut: Some(100_000), ..Behaviour::default() });
    load(&hub_of(&fake)).expect("a model");
    let resumed = fake.requests("/cdn/model.safetensors bytes=100000-");
    assert_eq!(resumed.len(), 1, "{:?}", fake.requests("/cdn/"));
}

#[test]
fn a_damaged_download_is_removed() {
    let fake = FakeHub::start(repository(), Behaviour { corrupt: true, ..Behaviour::default() });
    let error = load(&hub_of(&fake)).err().expect("other bytes than announced").to_string();
    assert!(error.contains("arrived damaged") && error.contains("model.safetensors"), "{error}");
    let offline = Hub { offline: true, ..hub_of(&fake) };
    assert!(load(&offline).is_err(), "the damaged file is not in the cache");
}

#[test]
fn names_that_do_not_exist_and_tokens_that_are_missing() {
    let fake = FakeHub::start(repository(), Behaviour::default());
    let source: ModelSource = "hub:owner/other".parse().expect("well formed");
    let error = source
        .load(&hub_of(&fake), &Context::new(&burn::tensor::Device::flex()))
        .err()
        .expect("404")
        .to_string();
    assert!(error.contains("owner/other") && error.contains("does not exist"), "{error}");

    let fake = FakeHub::start(repository(), Behaviour { gated: true, ..Behaviour::default() });
    let error = load(&hub_of(&fake)).err().expect("401").to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    load(&Hub { token: Some("secret".to_owned()), ..hub_of(&fake) }).expect("with the token");

    let weightless =
        BTreeMap::from([("config.json".to_owned(), repository()["config.json"].clone())]);
    let fake = FakeHub::start(weightless, Behaviour::default());
    let error = load(&hub_of(&fake)).err().expect("no weights").to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn ggufs_are_found_by_name_and_by_quantisation_with_all_their_parts() {
    // Version 3, no tensors, no keys.
    let empty = [&b"GGUF"[..], &3_u32.to_le_bytes(), &[0; 16]].concat();
    let names =
        ["m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf", "m-q8_0.gguf", "a.txt"];
    let fake = FakeHub::start(
        names.map(|name| (name.to_owned(), empty.clone())).into(),
        Behaviour::default(),
    );
    let path = |source: &str, hub: &Hub| {
        let source = GgufSource::parse(source).expect("well written").expect("a GGUF");
        source.open(hub).and_then(|_| source.path(hub)).map_err(|e| e.to_string())
    };
    let hub = hub_of(&fake);
    let first = path("hub:owner/name:Q4_K_M", &hub).expect("two parts");
    assert!(first.ends_with(names[0]) && first.with_file_name(names[1]).exists());
    assert!(!first.with_file_name(names[2]).exists(), "only what was asked for is fetched");
    path("hub:owner/name/m-q8_0.gguf", &hub).expect("a file");
    let error = path("hub:owner/name:Q6_K", &hub).expect_err("no such quantisation");
    assert!(error.contains("(it has m-q4_k_m-00001-of-00002.gguf, m-q8_0.gguf)"), "{error}");
    let gone = Hub { endpoint: "http://127.0.0.1:9".to_owned(), ..hub.clone() };
    for hub in [gone, Hub { offline: true, ..hub }] {
        assert_eq!(path("hub:owner/name:q4_k_m", &hub).as_ref(), Ok(&first));
        let error = path("hub:owner/name/other.gguf", &hub).expect_err("not in the cache");
        assert!(error.contains("other.gguf of owner/name is not in the cache"), "{error}");
    }
}
