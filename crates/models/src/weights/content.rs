//! The bytes of one file of weights.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use kvr_kernels::linear::SharedBytes;
use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{ModelError, hex};

/// A file mapped into memory, or bytes that are there already.
#[derive(Clone)]
pub(crate) struct Content(SharedBytes);

impl Content {
    /// Maps a file, which may not be empty.
    pub(crate) fn map(path: &Path) -> Result<Self, ModelError> {
        let error = |source| ModelError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(error)?;
        if file.metadata().map_err(error)?.len() == 0 {
            return Err(ModelError::file(
                path.display().to_string(),
                "is empty: fetch the file again",
            ));
        }
        // SAFETY: the map is read only. Another process that truncates the file while we run could
        // still end us; weights are written once and then left alone.
        let map = unsafe { Mmap::map(&file) }.map_err(error)?;
        Ok(Self(Arc::new(map)))
    }

    pub(crate) fn of(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    /// The bytes, for weights that outlive what they were found by.
    pub(crate) fn shared(&self) -> SharedBytes {
        self.0.clone()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// SHA-256 of a model's files, in order: of the only file itself, or of the shards' digests.
pub(crate) fn sha256<'a>(files: impl Iterator<Item = &'a [u8]>) -> String {
    let files: Vec<&[u8]> = files.collect();
    let digests: Vec<_> = files.into_par_iter().map(Sha256::digest).collect();
    match digests.as_slice() {
        [only] => hex(only),
        many => hex(&Sha256::digest(many.concat())),
    }
}
