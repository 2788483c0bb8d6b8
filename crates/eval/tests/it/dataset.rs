//! Named texts come from the hub, and are checked.

use std::collections::BTreeMap;
use std::io::Write;

use kvr_eval::run::dataset::Dataset;
use kvr_models::Hub;
use kvr_testing::fake_hub::{Behaviour, FakeHub};

#[test]
fn wikitext_comes_out_of_its_archive_and_is_checked() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("wikitext-2-raw/wiki.test.raw", options).expect("a member");
    zip.write_all(b"another text").expect("memory");
    let bytes = zip.finish().expect("an archive").into_inner();
    let files = BTreeMap::from([("wikitext-2-raw-v1.zip".to_owned(), bytes)]);
    let fake = FakeHub::start(files, Behaviour::default());
    let hub = Hub {
        endpoint: fake.endpoint().to_owned(),
        cache: fake.cache().to_owned(),
        token: None,
        offline: false,
        progress: false,
    };
    let error = Dataset::load("wikitext-2", &hub).expect_err("the wrong text").to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!(fake.requests("/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip").len(), 2);
}
