//! The real download code against a server that answers the way the hub does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use kvr_eval::run::dataset::Dataset;
use kvr_models::{Hub, ModelSource};
use sha2::{Digest, Sha256};

use crate::support::{command, goldens};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does to its visitors.
#[derive(Clone, Copy, Default)]
struct Behaviour {
    /// Hang up after this many bytes of the first large download.
    cut: Option<usize>,
    /// Send other bytes than were announced.
    corrupt: bool,
    /// Ask for a token.
    gated: bool,
}

/// The files of a repository, and what was asked of them.
struct State {
    files: BTreeMap<String, Vec<u8>>,
    behaviour: Behaviour,
    endpoint: String,
    /// `path range`, a line a request.
    log: Mutex<Vec<String>>,
    cut_done: AtomicBool,
    stop: AtomicBool,
}

/// A repository on a server of its own.
struct FakeHub {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
    cache: tempfile::TempDir,
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl FakeHub {
    fn start(files: BTreeMap<String, Vec<u8>>, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            files,
            behaviour,
            endpoint: format!("http://{address}"),
            log: Mutex::default(),
            cut_done: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(stream) = stream {
                    // A visitor that hangs up early is no error of the server.
                    let _ = shared.serve(stream);
                }
            }
        });
        let cache = tempfile::tempdir().expect("a temporary folder");
        Self { address, state, thread: Some(thread), cache }
    }

    fn hub(&self) -> Hub {
        Hub {
            endpoint: self.state.endpoint.clone(),
            cache: self.cache.path().to_owned(),
            token: None,
            offline: false,
            progress: false,
        }
    }

    fn requests(&self, part: &str) -> Vec<String> {
        let log = self.state.log.lock().expect("no panic holds it");
        log.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // One more visitor wakes the server up to see it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    /// Answers one request and closes the connection.
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let url = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let range = headers.get("range").map(String::as_str);
        let mut log = self.log.lock().expect("no panic holds it");
        log.push(format!("{url} {}", range.unwrap_or_default()));
        drop(log);

        if self.behaviour.gated
            && headers.get("authorization").map(String::as_str) != Some("Bearer secret")
        {
            return answer(stream, "401 Unauthorized", &[], b"");
        }
        if url.contains("owner/other") {
            return answer(stream, "404 Not Found", &[], b"");
        }
        if url.contains("/api/") {
            let siblings: Vec<_> =
                self.files.keys().map(|f| format!("{{\"rfilename\":\"{f}\"}}")).collect();
            let json = format!("{{\"siblings\":[{}],\"sha\":\"{COMMIT}\"}}", siblings.join(","));
            return answer(stream, "200 OK", &[], json.as_bytes());
        }
        let file = url.rsplit('/').next().unwrap_or_default();
        let Some(bytes) = self.files.get(file) else {
            return answer(stream, "404 Not Found", &[], b"");
        };
        let commit = ("X-Repo-Commit", COMMIT.to_owned());
        if url.starts_with("/cdn/") {
            return self.large(stream, bytes, range);
        }
        // Large files live elsewhere and are named by their hash; small ones are sent at once.
        if file.ends_with(".safetensors") || file.ends_with(".zip") {
            let location = ("Location", format!("{}/cdn/{file}", self.endpoint));
            let etag = ("X-Linked-ETag", format!("\"{}\"", hex(bytes)));
            return answer(stream, "302 Found", &[commit, location, etag], b"");
        }
        let (start, end) = span(range, bytes.len());
        let etag = ("ETag", format!("\"etag-{file}\""));
        let content_range = ("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len()));
        answer(stream, "206 Partial Content", &[commit, etag, content_range], &bytes[start..end])
    }

    fn large(&self, stream: TcpStream, bytes: &[u8], range: Option<&str>) -> std::io::Result<()> {
        let mut bytes = bytes.to_vec();
        if self.behaviour.corrupt {
            let end = bytes.len() - 1;
            bytes[end] ^= 1;
        }
        let (start, end) = span(range, bytes.len());
        let content_range = ("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len()));
        let headers = [content_range, ("ETag", "\"cdn\"".to_owned())];
        let body = &bytes[start..end];
        match self.behaviour.cut {
            Some(cut) if body.len() > cut && !self.cut_done.swap(true, Ordering::SeqCst) => {
                send(stream, "206 Partial Content", &headers, body.len(), &body[..cut])
            }
            _ => answer(stream, "206 Partial Content", &headers, body),
        }
    }
}

/// First byte and the byte after the last that a range asks for.
fn span(range: Option<&str>, len: usize) -> (usize, usize) {
    let Some((start, end)) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')) else {
        return (0, len);
    };
    (start.parse().expect("a range"), end.parse().map_or(len, |end: usize| end + 1))
}

type Headers<'a> = [(&'a str, String)];

fn answer(
    stream: TcpStream,
    status: &str,
    headers: &Headers<'_>,
    body: &[u8],
) -> std::io::Result<()> {
    send(stream, status, headers, body.len(), body)
}

/// Announces `length` bytes and sends `body`.
fn send(
    mut stream: TcpStream,
    status: &str,
    headers: &Headers<'_>,
    length: usize,
    body: &[u8],
) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)
}

fn repository() -> BTreeMap<String, Vec<u8>> {
    let read =
        |file: &str| std::fs::read(goldens().join("llama-mha-tied").join(file)).expect("a golden");
    ["config.json", "model.safetensors"].map(|file| (file.to_owned(), read(file))).into()
}

fn load(hub: &Hub) -> Result<kvr_models::Model, kvr_models::ModelError> {
    "hub:owner/name".parse::<ModelSource>()?.load(hub, &burn::tensor::Device::flex())
}

#[test]
fn a_model_is_fetched_once_and_then_read_from_the_cache() {
    let fake = FakeHub::start(repository(), Behaviour::default());
    let hub = fake.hub();
    let model = load(&hub).expect("a model");
    assert_eq!(model.decoder.spec().vocab_size, 320);
    assert_eq!(model.sha256, Some(hex(&repository()["model.safetensors"])));
    let snapshot =
        fake.cache.path().join(format!("models--owner--name/snapshots/{COMMIT}/config.json"));
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
    load(&fake.hub()).expect("a model");
    let resumed = fake.requests("/cdn/model.safetensors bytes=100000-");
    assert_eq!(resumed.len(), 1, "{:?}", fake.requests("/cdn/"));
}

#[test]
fn a_damaged_download_is_removed() {
    let fake = FakeHub::start(repository(), Behaviour { corrupt: true, ..Behaviour::default() });
    let error = load(&fake.hub()).err().expect("other bytes than announced").to_string();
    assert!(error.contains("arrived damaged") && error.contains("model.safetensors"), "{error}");
    let offline = Hub { offline: true, ..fake.hub() };
    assert!(load(&offline).is_err(), "the damaged file is not in the cache");
}

#[test]
fn names_that_do_not_exist_and_tokens_that_are_missing() {
    let fake = FakeHub::start(repository(), Behaviour::default());
    let source: ModelSource = "hub:owner/other".parse().expect("well formed");
    let error =
        source.load(&fake.hub(), &burn::tensor::Device::flex()).err().expect("404").to_string();
    assert!(error.contains("owner/other") && error.contains("does not exist"), "{error}");

    let fake = FakeHub::start(repository(), Behaviour { gated: true, ..Behaviour::default() });
    let error = load(&fake.hub()).err().expect("401").to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    load(&Hub { token: Some("secret".to_owned()), ..fake.hub() }).expect("with the token");

    let weightless =
        BTreeMap::from([("config.json".to_owned(), repository()["config.json"].clone())]);
    let fake = FakeHub::start(weightless, Behaviour::default());
    let error = load(&fake.hub()).err().expect("no weights").to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn the_program_reads_the_environment_that_all_hub_programs_read() {
    let fake = FakeHub::start(repository(), Behaviour { gated: true, ..Behaviour::default() });
    let out = fake.cache.path().join("logits.safetensors");
    let run = |token: Option<&str>, offline: &str| {
        let out = out.to_str().expect("UTF-8");
        let mut command = command(&[
            "logits",
            "--model",
            "hub:owner/name",
            "--tokens",
            "1,2",
            "--backend",
            "cpu",
            "--out",
            out,
        ]);
        command
            .env("HF_ENDPOINT", &fake.state.endpoint)
            .env("HF_HOME", fake.cache.path())
            .env("HF_HUB_OFFLINE", offline);
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        command.output().expect("the program starts")
    };
    let refused = run(None, "0");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HF_TOKEN"));
    assert_eq!(
        run(Some("secret"), "1").status.code(),
        Some(2),
        "offline, and nothing in the cache"
    );
    let done = run(Some("secret"), "0");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.exists());
}

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
    let error = Dataset::load("wikitext-2", &fake.hub()).expect_err("the wrong text").to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!(fake.requests("/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip").len(), 2);
}
