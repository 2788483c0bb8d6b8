//! Formats by name, and the pairs of widths that are named after their bits.

use std::sync::Arc;

use super::Registry;
use super::hints;
use crate::{Format, PolicyError};
use kvr_kernels::formats;

/// What the bits in names such as `k8v4` stand for.
pub(super) const BITS: [(u32, &str); 5] =
    [(32, "f32"), (16, "f16"), (8, "q8_0"), (5, "q5_0"), (4, "q4_0")];

impl Registry {
    /// The storage format of that name: one that was added, or one of a family, such as `a4g64`.
    ///
    /// # Errors
    /// When no such format exists; the error says what may be meant.
    pub fn format(&self, name: &str) -> Result<Arc<dyn Format>, PolicyError> {
        if let Some(format) = self.known_format(name) {
            return format;
        }
        if let Some((inner, _)) = name.split_once('+') {
            // The error is the inner format's.
            self.format(inner)?;
        }
        Err(PolicyError::Unknown {
            kind: "format",
            name: name.to_owned(),
            hint: hints::format(self, name),
        })
    }

    /// The format of that name; `None` where the name has the shape of none.
    pub(super) fn known_format(&self, name: &str) -> Option<Result<Arc<dyn Format>, PolicyError>> {
        if let Some(format) = self.formats.get(name) {
            return Some(Ok(format.clone()));
        }
        if let Some((inner, count)) = name.split_once('+') {
            let inner = self.known_format(inner)?;
            return Some(inner.and_then(|inner| {
                outliers(inner, count)
                    .map_err(|problem| PolicyError::Settings { policy: name.to_owned(), problem })
            }));
        }
        let format = self.families.iter().find_map(|family| (family.parse)(name))?;
        Some(format.map_err(|problem| PolicyError::Settings { policy: name.to_owned(), problem }))
    }

    /// The name of the pair that stores keys in `key_bits` and values in `value_bits`.
    ///
    /// # Errors
    /// When no format stands for that number of bits.
    pub fn pair_of_bits(&self, key_bits: u32, value_bits: u32) -> Result<String, PolicyError> {
        let format = |bits: u32| {
            BITS.iter().find(|(b, _)| *b == bits).map(|(_, name)| *name).ok_or_else(|| {
                PolicyError::Unknown {
                    kind: "width",
                    name: format!("{bits} bits"),
                    hint: format!("widths are {}", hints::widths()),
                }
            })
        };
        let (keys, values) = (format(key_bits)?, format(value_bits)?);
        Ok(match (key_bits, value_bits) {
            (32, 32) => "fp32".to_owned(),
            (16, 16) => "fp16".to_owned(),
            _ if self.policies.contains_key(&format!("k{key_bits}v{value_bits}")) => {
                format!("k{key_bits}v{value_bits}")
            }
            _ => format!("{keys}:{values}"),
        })
    }
}

/// A format with `count` values of each block kept apart, as in `nf3g64+1`.
fn outliers(inner: Arc<dyn Format>, count: &str) -> Result<Arc<dyn Format>, String> {
    let count = count.parse().map_err(|_| format!("'{count}' is not a number of values"))?;
    Ok(Arc::new(formats::Outliers::new(inner, count)?))
}
