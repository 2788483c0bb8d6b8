//! Writes small GGUFs, byte by byte, after the specification.

/// A metadata value.
#[derive(Clone)]
pub(super) enum Field {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// The element's type number and the elements.
    Array(u32, Vec<Field>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Field {
    pub(super) fn texts(texts: &[&str]) -> Self {
        Self::Array(8, texts.iter().map(|t| Self::Text((*t).to_owned())).collect())
    }

    fn id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::Array(..) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(x) => out.push(*x),
            Self::I8(x) => out.extend(x.to_le_bytes()),
            Self::U16(x) => out.extend(x.to_le_bytes()),
            Self::I16(x) => out.extend(x.to_le_bytes()),
            Self::U32(x) => out.extend(x.to_le_bytes()),
            Self::I32(x) => out.extend(x.to_le_bytes()),
            Self::F32(x) => out.extend(x.to_le_bytes()),
            Self::Bool(x) => out.push(u8::from(*x)),
            Self::Text(text) => write_text(text, out),
            Self::Array(element, values) => {
                out.extend(element.to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| value.write(out));
            }
            Self::U64(x) => out.extend(x.to_le_bytes()),
            Self::I64(x) => out.extend(x.to_le_bytes()),
            Self::F64(x) => out.extend(x.to_le_bytes()),
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A tensor's description and its bytes.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Innermost first, as in the file.
    pub(super) shape: Vec<u64>,
    pub(super) id: u32,
    pub(super) bytes: Vec<u8>,
    /// Where it is said to be; behind the one before it if none.
    pub(super) offset: Option<u64>,
}

/// A file that is being put together.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) version: u32,
    pub(super) alignment: usize,
    pub(super) keys: Vec<(String, Field)>,
    pub(super) tensors: Vec<Entry>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() }
    }

    pub(super) fn key(&mut self, key: &str, field: Field) -> &mut Self {
        self.keys.push((key.to_owned(), field));
        self
    }

    /// Replaces a key's value, or removes the key.
    pub(super) fn set(&mut self, key: &str, field: Option<Field>) -> &mut Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.extend(field.map(|field| (key.to_owned(), field)));
        self
    }

    /// A tensor of F32, its dimensions innermost first.
    pub(super) fn floats(&mut self, name: &str, shape: &[u64], values: &[f32]) -> &mut Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, shape, 0, bytes)
    }

    pub(super) fn tensor(
        &mut self,
        name: &str,
        shape: &[u64],
        id: u32,
        bytes: Vec<u8>,
    ) -> &mut Self {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Entry { name, shape, id, bytes, offset: None });
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, field) in &self.keys {
            write_text(key, &mut out);
            out.extend(field.id().to_le_bytes());
            field.write(&mut out);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            write_text(&tensor.name, &mut out);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|size| out.extend(size.to_le_bytes()));
            out.extend(tensor.id.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(data);
        out
    }
}
