//! A server that answers the way the Hugging Face hub does, for tests of the real download code.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use crate::model_golden;

/// The commit that the server says it is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does to its clients.
#[derive(Clone, Copy, Default)]
pub struct Behaviour {
    /// Hang up after this many bytes of the first large download.
    pub cut: Option<usize>,
    /// Send other bytes than were announced.
    pub corrupt: bool,
    /// Ask for a token.
    pub gated: bool,
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
pub struct FakeHub {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
    cache: tempfile::TempDir,
}

/// SHA-256 in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl FakeHub {
    /// Starts a server on a free port.
    pub fn start(files: BTreeMap<String, Vec<u8>>, behaviour: Behaviour) -> Self {
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
                    // A client that hangs up early is not an error of the server.
                    let _ = shared.serve(stream);
                }
            }
        });
        let cache = tempfile::tempdir().expect("a temporary folder");
        Self { address, state, thread: Some(thread), cache }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.state.endpoint
    }

    /// An empty folder for a client's cache, which lives as long as the server.
    pub fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// The requests so far that contain `part`: path and range.
    pub fn requests(&self, part: &str) -> Vec<String> {
        let log = self.state.log.lock().expect("no panic holds it");
        log.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // One more connection wakes the server up to see it.
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

/// The files of a tiny golden model, as a repository on the hub holds them.
pub fn repository() -> BTreeMap<String, Vec<u8>> {
    let read =
        |file: &str| std::fs::read(model_golden("llama-mha-tied").join(file)).expect("a golden");
    ["config.json", "model.safetensors"].map(|file| (file.to_owned(), read(file))).into()
}
