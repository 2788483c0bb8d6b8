//! Values of GGUF's metadata: thirteen types, arrays of any of them among these.
//!
//! A value borrows from the file. Arrays stay as bytes until they are walked, so that a vocabulary
//! of a quarter of a million tokens costs nothing before it is used.

use super::cursor::{Cursor, Fault};

/// Arrays in arrays: the specification sets no limit, no known file has arrays of arrays of arrays.
const DEEPEST: usize = 8;

/// The type of a value, by GGUF's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

const TYPES: [ValueType; 13] = {
    use ValueType::*;
    [U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64]
};

impl ValueType {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let fault = cursor.fault("");
        let id = cursor.u32()?;
        let known = usize::try_from(id).ok().and_then(|id| TYPES.get(id));
        known.copied().ok_or_else(|| Fault {
            problem: format!(
                "value type {id} is unknown (0 to 12 are known): the file is damaged, fetch it \
                 again"
            ),
            ..fault
        })
    }

    /// Bytes of one value; of strings and arrays, the fewest.
    fn least_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

/// One value. The widths of numbers are not kept: writers differ in them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Any unsigned type.
    Unsigned(u64),
    /// Any signed type.
    Signed(i64),
    /// 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// UTF-8.
    Text(&'a str),
    /// Values of one type.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// A type's number and then the value.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let kind = ValueType::read(cursor)?;
        Self::of(kind, cursor, 0)
    }

    fn of(kind: ValueType, cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, Fault> {
        Ok(match kind {
            ValueType::U8 => Self::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
            ValueType::U16 => Self::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
            ValueType::U32 => Self::Unsigned(cursor.u32()?.into()),
            ValueType::U64 => Self::Unsigned(cursor.u64()?),
            ValueType::I8 => Self::Signed(i8::from_le_bytes(cursor.array()?).into()),
            ValueType::I16 => Self::Signed(i16::from_le_bytes(cursor.array()?).into()),
            ValueType::I32 => Self::Signed(i32::from_le_bytes(cursor.array()?).into()),
            ValueType::I64 => Self::Signed(i64::from_le_bytes(cursor.array()?)),
            ValueType::F32 => Self::Float(f32::from_le_bytes(cursor.array()?).into()),
            ValueType::F64 => Self::Float(f64::from_le_bytes(cursor.array()?)),
            ValueType::Text => Self::Text(cursor.text()?),
            ValueType::Array => Self::Array(Array::read(cursor, depth)?),
            ValueType::Bool => match cursor.clone().array()? {
                [byte @ 0..=1] => {
                    cursor.take(1)?;
                    Self::Bool(byte == 1)
                }
                [byte] => {
                    return Err(cursor.fault(format!(
                        "{byte} where 0 or 1 is expected: the file is damaged, fetch it again"
                    )));
                }
            },
        })
    }

    /// What a message calls this kind of value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
        }
    }

    /// A whole number that is not negative.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Unsigned(n) => usize::try_from(*n).ok(),
            Self::Signed(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Any number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(n) => Some(*n as f64),
            Self::Signed(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Values of one type, still as they stand in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a> {
    element: ValueType,
    len: usize,
    depth: usize,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    fn read(cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, Fault> {
        if depth == DEEPEST {
            return Err(cursor.fault(format!(
                "arrays nested deeper than {DEEPEST}: the file is damaged, fetch it again"
            )));
        }
        let element = ValueType::read(cursor)?;
        let len = cursor.count(element.least_bytes(), "values of an array")?;
        let start = cursor.clone();
        match element {
            // Their elements have to be looked at to know where the array ends or is sound.
            ValueType::Text | ValueType::Array | ValueType::Bool => {
                for _ in 0..len {
                    Value::of(element, cursor, depth + 1)?;
                }
            }
            // `count` has checked that the product is left in the file.
            _ => {
                cursor.take(len * element.least_bytes())?;
            }
        }
        let bytes = start.clone().take(cursor.at() - start.at())?;
        Ok(Self { element, len, depth, bytes })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (element, depth) = (self.element, self.depth + 1);
        let mut cursor = Cursor::new(self.bytes, 0);
        // The array was walked when the file was opened, so that no value can fail here.
        (0..self.len).map_while(move |_| Value::of(element, &mut cursor, depth).ok())
    }
}
