//! Codebooks: each value becomes the index of the nearest of `2^b` centroids, times a scale.
//!
//! Families: `nf4g64` is NormalFloat (Dettmers et al. 2023, QLoRA): centroids are quantiles of the
//! normal distribution over [-1, 1], 0 among them, and the scale is the absmax of the group. The
//! four-bit centroids are bitsandbytes' table; two and three bits follow its construction. `lm4g64`
//! is the Lloyd-Max quantiser of the normal distribution (Max 1960), whose scale is the group's
//! root mean square: what TurboQuant applies after a rotation. Calibrated codebooks (KVQuant) give
//! their own centroids.
//!
//! Deviation: scales are f16, bitsandbytes' are f32 or themselves quantised.

use std::sync::Arc;

use half::f16;
use serde::{Deserialize, Serialize};

use super::bits::{pack, unpack, with_bits};
use super::digest;
use super::group::{check_group, letter_bits_group};
use super::normal::{lloyd_max, normal_float};
use super::{BlockLayout, Format, FormatFamily, MAX_BLOCK, Packing};
use crate::simd::look_up;

/// NormalFloat and Lloyd-Max.
pub(super) fn families() -> [FormatFamily; 2] {
    [
        FormatFamily {
            pattern: "nf<bits>g<group>",
            example: "nf4g64",
            summary: "NormalFloat of 2, 3 or 4 bits, scaled by the absmax of a group",
            parse: |name| parse(name, "nf", Scale::AbsMax, normal_float),
        },
        FormatFamily {
            pattern: "lm<bits>g<group>",
            example: "lm4g64",
            summary: "Lloyd-Max centroids of the normal distribution, scaled by the group's RMS",
            parse: |name| parse(name, "lm", Scale::Rms, lloyd_max),
        },
    ]
}

fn parse(
    name: &str,
    letters: &str,
    scale: Scale,
    centroids: fn(u32) -> Vec<f32>,
) -> Option<Result<Arc<dyn Format>, String>> {
    let (bits, group, "") = letter_bits_group(name, letters)? else { return None };
    if ![2, 3, 4].contains(&bits) {
        return Some(Err(format!("a codebook of {bits} bits: choose 2, 3 or 4")));
    }
    Some(check_group(group).and_then(|()| {
        let format = Codebook::new(name, group, scale, centroids(bits))?;
        Ok(Arc::new(format) as Arc<dyn Format>)
    }))
}

/// What a group's values are divided by before the nearest centroid is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// The largest magnitude, kept in f16.
    #[serde(rename = "absmax")]
    AbsMax,
    /// The root mean square, kept in f16.
    Rms,
    /// Nothing; nothing is kept.
    None,
}

/// A format of any centroids.
#[derive(Debug, Clone)]
pub struct Codebook {
    name: String,
    bits: usize,
    group: usize,
    scale: Scale,
    /// Ascending.
    centroids: Vec<f32>,
    /// Halfway between neighbouring centroids.
    bounds: Vec<f32>,
}

impl Codebook {
    /// Blocks of `group` values over 4, 8 or 16 `centroids`, ascending.
    ///
    /// # Errors
    /// When the centroids or the group are not such.
    pub fn new(
        name: impl Into<String>,
        group: usize,
        scale: Scale,
        centroids: Vec<f32>,
    ) -> Result<Self, String> {
        let bits = match centroids.len() {
            4 => 2,
            8 => 3,
            16 => 4,
            other => return Err(format!("{other} centroids: a codebook has 4, 8 or 16")),
        };
        if !group.is_multiple_of(32) || group == 0 || group > MAX_BLOCK {
            return Err(format!("blocks of {group}: choose a multiple of 32 up to {MAX_BLOCK}"));
        }
        if !centroids.is_sorted() || centroids.iter().any(|centroid| !centroid.is_finite()) {
            return Err(format!("centroids must be finite and ascend: {centroids:?}"));
        }
        let bounds = centroids.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        Ok(Self { name: name.into(), bits, group, scale, centroids, bounds })
    }

    /// As [`new`](Self::new), under a name with a digest of the centroids.
    ///
    /// # Errors
    /// As there.
    pub fn calibrated(group: usize, scale: Scale, centroids: Vec<f32>) -> Result<Self, String> {
        let bytes: Vec<u8> = centroids.iter().flat_map(|centroid| centroid.to_le_bytes()).collect();
        let name = format!("codebook{}g{group}-{scale:?}-{:016x}", centroids.len(), digest(&bytes));
        Self::new(name, group, scale, centroids)
    }

    #[inline(always)]
    fn scale_of(&self, values: &[f32]) -> f32 {
        match self.scale {
            Scale::AbsMax => values.iter().fold(0.0f32, |m, v| m.max(v.abs())),
            Scale::Rms => (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt(),
            Scale::None => 1.0,
        }
    }
}

impl Format for Codebook {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout {
            values: self.group,
            code_words: self.group * self.bits / 32,
            scales: usize::from(self.scale != Scale::None),
        }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let mut scale = self.scale_of(values);
        if self.scale != Scale::None {
            scales[0] = f16::from_f32(scale).to_bits();
            scale = f16::from_bits(scales[0]).to_f32();
        }
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut codes = [0u8; MAX_BLOCK];
        let codes = &mut codes[..values.len()];
        // The number of bounds below a value is the index of its nearest centroid.
        for bound in &self.bounds {
            for (code, value) in codes.iter_mut().zip(values) {
                *code += u8::from(value * inverse > *bound);
            }
        }
        with_bits!(self.bits, BITS => pack::<BITS>(codes, words));
    }

    #[inline(always)]
    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let scale = scales.first().map_or(1.0, |scale| f16::from_bits(*scale).to_f32());
        let mut centroids = [0.0f32; 16];
        for (scaled, centroid) in centroids.iter_mut().zip(&self.centroids) {
            *scaled = centroid * scale;
        }
        with_bits!(self.bits, BITS => {
            let (values, _) = values.as_chunks_mut();
            for (values, words) in values.iter_mut().zip(words.chunks_exact(BITS)) {
                look_up(&centroids, &unpack::<BITS>(words), values);
            }
        });
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn wgsl(&self) -> Option<String> {
        let list = |values: &[f32]| {
            let values: Vec<String> = values.iter().map(|v| format!("{v:?}f")).collect();
            format!("array<f32, {}>({})", values.len(), values.join(", "))
        };
        let scale = match self.scale {
            Scale::AbsMax => "ABSMAX",
            Scale::Rms => "RMS",
            Scale::None => "NONE",
        };
        Some(format!(
            "const BITS: u32 = {}u;\nconst CENTROIDS = {};\nconst BOUNDS = {};\n\
             const ABSMAX: u32 = 0u;\nconst RMS: u32 = 1u;\nconst NONE: u32 = 2u;\n\
             const SCALE: u32 = {scale};\n{}{}",
            self.bits,
            list(&self.centroids),
            list(&self.bounds),
            include_str!("bits.wgsl"),
            include_str!("codebook.wgsl"),
        ))
    }
}
