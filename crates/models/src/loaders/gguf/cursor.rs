//! Reading little-endian values from bytes that may be damaged.
//!
//! Every length comes from the file, so every step is checked against what is left of it before
//! anything is sliced or allocated.

use crate::ModelError;

/// What is wrong with a file, and at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: String,
}

impl Fault {
    /// The error of `file`, inside `what`: a key, a tensor, the header.
    pub(super) fn inside(self, file: &str, what: &str) -> ModelError {
        ModelError::file(file, format!("{what} at byte {}: {}", self.at, self.problem))
    }
}

/// A name from the file as a message shows it: quoted, control characters escaped, cut if long.
pub(super) fn quoted(name: &str) -> String {
    const SHOWN: usize = 80;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A position in a file's bytes.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at byte `at`; behind the end, every read is a fault.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// The byte that is read next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A fault where the cursor stands.
    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { at: self.at, problem: problem.into() }
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        if len > self.left() {
            return Err(self.fault(format!(
                "{len} bytes expected, but only {} are left: the file is truncated or damaged, \
                 fetch it again",
                self.left()
            )));
        }
        let taken = &self.bytes[self.at..][..len];
        self.at += len;
        Ok(taken)
    }

    /// The next `N` bytes as an array, for `from_le_bytes`.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A 64-bit count of `things` that take at least `least` bytes each, which have to be left.
    pub(super) fn count(&mut self, least: usize, things: &str) -> Result<usize, Fault> {
        let start = self.at;
        let count = self.u64()?;
        let most = (self.left() / least.max(1)) as u64;
        if count > most {
            return Err(Fault {
                at: start,
                problem: format!(
                    "{count} {things} announced, but the {} bytes that are left hold at most \
                     {most}: the file is truncated or damaged, fetch it again",
                    self.left()
                ),
            });
        }
        // Not above `most`, which came from a usize.
        Ok(count as usize)
    }

    /// A string: its length in 64 bits, then UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        let len = self.count(1, "bytes of text")?;
        let start = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|e| Fault {
            at: start + e.valid_up_to(),
            problem: "text that is no UTF-8: the file is damaged, fetch it again".to_owned(),
        })
    }
}
