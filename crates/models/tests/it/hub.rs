//! The real download code against a server that answers the way the hub does.

use kvr_kernels::Context;
use std::collections::BTreeMap;

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
