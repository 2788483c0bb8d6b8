//! GGUF, the model files of llama.cpp: weights, config and tokenizer in one file, or in parts.
//!
//! ```text
//! layout    one file: header, metadata (metadata, value), tensors; bounds checked (cursor)
//! split     which files make a model
//! config    metadata -> the `config.json` that the model has on the Hugging Face hub
//! names     GGUF's names of tensors -> Hugging Face's
//! tokenizer metadata -> a tokenizer with llama.cpp's ids
//! ```
//!
//! A GGUF is run in its own order of channels, and with its weights in the type that they have.
//! Both differ from the same model in safetensors, and [`Gguf::config`] says how.

mod config;
mod cursor;
mod layout;
mod metadata;
mod names;
pub(crate) mod split;
mod tensors;
#[cfg(test)]
mod tests;
mod tokenizer;
mod type_names;
mod value;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

pub use kvr_kernels::ggml::BlockType;
pub use metadata::Metadata;
pub use tokenizer::SpecialTokens;
pub use value::{Array, Value};

use self::cursor::quoted;
use self::layout::Layout;
use self::tensors::TensorInfo;
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use crate::weights::Content;

pub(crate) use weights::GgufWeights;

/// A model in GGUF files, mapped into memory. Nothing is decoded before it is asked for.
pub struct Gguf {
    parts: Vec<Part>,
    /// Tensors by name, with the number of their part.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

struct Part {
    file: String,
    content: Content,
    index: metadata::Index,
}

/// One tensor: blocks of values, row after row.
#[derive(Debug, Clone, Copy)]
pub struct GgufTensor<'a> {
    /// How its values are stored.
    pub block_type: BlockType,
    /// Its dimensions, outermost first, as Hugging Face writes them: a projection's weight is
    /// `[out, in]` (the file itself has the innermost first). Rows are whole blocks.
    pub shape: &'a [usize],
    /// Its blocks: `product(shape) / block_type.values() * block_type.bytes()` bytes.
    pub bytes: &'a [u8],
}

/// Opens a model: `path` is its file, or any of its parts (`NAME-00001-of-00003.gguf`).
///
/// # Errors
/// When a file is missing, truncated, damaged, big-endian, of version 1, or holds a tensor of a
/// type that can't be read.
pub fn open(path: &Path) -> Result<Gguf, ModelError> {
    let parts = split::parts(path)?;
    let contents = parts.iter().map(|part| Ok((part.display().to_string(), Content::map(part)?)));
    Gguf::new(contents.collect::<Result<_, ModelError>>()?)
}

impl Gguf {
    fn new(contents: Vec<(String, Content)>) -> Result<Self, ModelError> {
        let mut gguf = Self { parts: Vec::new(), tensors: BTreeMap::new() };
        let count = contents.len();
        for (number, (file, content)) in contents.into_iter().enumerate() {
            let Layout { index, tensors } = Layout::read(content.bytes(), &file)?;
            split::check(
                &Metadata { file: &file, bytes: content.bytes(), index: &index },
                number,
                count,
            )?;
            for tensor in tensors {
                let name = tensor.name.clone();
                if gguf.tensors.insert(name.clone(), (number, tensor)).is_some() {
                    return Err(ModelError::file(
                        file,
                        format!(
                            "tensor {} is there twice: the file is damaged, fetch it again",
                            quoted(&name)
                        ),
                    ));
                }
            }
            gguf.parts.push(Part { file, content, index });
        }
        let metadata = gguf.metadata();
        const TOTAL: &str = "split.tensors.count";
        let (told, found) = (metadata.size(TOTAL)?, gguf.tensors.len());
        match told {
            Some(told) if count > 1 && told != found => Err(metadata.error(
                TOTAL,
                format!("is {told}, but the parts hold {found} tensors: fetch all parts again"),
            )),
            _ => Ok(gguf),
        }
    }

    /// The file that messages name: the first part.
    pub fn file(&self) -> &str {
        &self.parts[0].file
    }

    /// The model's metadata, which its first part holds.
    pub fn metadata(&self) -> Metadata<'_> {
        let Part { file, content, index } = &self.parts[0];
        Metadata { file, bytes: content.bytes(), index }
    }

    /// A tensor by GGUF's name, such as `blk.0.attn_q.weight`.
    pub fn tensor(&self, name: &str) -> Option<GgufTensor<'_>> {
        self.tensors.get(name).map(|(part, info)| self.view(*part, info))
    }

    /// Every tensor with its name, in alphabetical order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, GgufTensor<'_>)> {
        self.tensors.iter().map(|(name, (part, info))| (name.as_str(), self.view(*part, info)))
    }

    fn view<'a>(&'a self, part: usize, info: &'a TensorInfo) -> GgufTensor<'a> {
        let bytes = &self.parts[part].content.bytes()[info.bytes.clone()];
        GgufTensor { block_type: info.block_type, shape: &info.shape, bytes }
    }

    /// The model's own tokenizer, whose ids are llama.cpp's.
    ///
    /// # Errors
    /// When its kind or its way of splitting text is unknown, or its parts contradict each other.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        tokenizer::build(&self.metadata())
    }

    /// The tokens that begin and end texts and answers of a chat, and whether they are added.
    ///
    /// # Errors
    /// When the tokenizer's metadata can't be used.
    pub fn special_tokens(&self) -> Result<SpecialTokens, ModelError> {
        SpecialTokens::read(&self.metadata())
    }

    /// The Jinja template that writes a chat as one text, if the file has one.
    ///
    /// # Errors
    /// When it is no text.
    pub fn chat_template(&self) -> Result<Option<&str>, ModelError> {
        self.metadata().text("tokenizer.chat_template")
    }

    /// SHA-256 of the file, or of the parts' digests.
    pub fn sha256(&self) -> String {
        crate::weights::sha256(self.parts.iter().map(|part| part.content.bytes()))
    }
}
