//! Tests on small GGUFs that are built here.

mod config;
mod container;
mod damage;
mod heap;
mod sample;
mod tokenizer;
mod writer;

use super::Gguf;
use crate::ModelError;
use crate::weights::Content;

/// Opens one file from memory.
fn open(bytes: Vec<u8>) -> Result<Gguf, ModelError> {
    Gguf::new(vec![("test.gguf".to_owned(), Content::of(bytes))])
}

/// What opening a damaged file says; it has to name the file.
fn refused(bytes: Vec<u8>) -> String {
    match open(bytes) {
        Ok(_) => panic!("a damaged file was accepted"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("test.gguf: "), "{text}");
            text
        }
    }
}
