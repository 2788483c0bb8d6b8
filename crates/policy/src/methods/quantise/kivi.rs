//! KIVI (Liu et al. 2024, arXiv 2402.02750): keys per channel, values per token, a full residual.
//!
//! Keys are quantised in groups of 32 tokens of one channel, values in groups of 32 channels of one
//! token, both between minimum and maximum. Tokens wait in full precision until `residual` of them
//! have come and are then packed together.
//!
//! Deviation: KIVI keeps the newest `residual` values in full precision at any time and packs keys
//! a whole residual at a time; here values leave with their keys, so that a token is either packed
//! or not. The prompt reads what it would in generation, where KIVI's prompt attends in full
//! precision (`--mode post-prefill` does that). `residual` equal to `group` is the least that
//! per-channel groups can do with: "no residual".

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wrap::Windowed;
use crate::{Context, KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Registry};
use crate::{Method, Setting};
use kvr_kernels::formats::{F16, Group, Range};
use kvr_kernels::{PAGE_TOKENS, PackedCache, Side};

/// The settings of KIVI.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Kivi {
    /// Bits of a key.
    pub key_bits: u32,
    /// Bits of a value.
    pub value_bits: u32,
    /// Values in one group.
    pub group: usize,
    /// Tokens that wait for each other in full precision.
    pub residual: usize,
}

impl Default for Kivi {
    fn default() -> Self {
        Self { key_bits: 2, value_bits: 2, group: 32, residual: 128 }
    }
}

impl Method for Kivi {
    const NAME: &'static str = "kivi";
    const SUMMARY: &'static str = "keys per channel, values per token, newest tokens in f16";
    const SOURCE: &'static str = "KIVI: Liu et al. 2024, arXiv 2402.02750";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "key_bits", unit: "bits", about: "2, 3, 4, 6 or 8 for a key" },
            Setting { name: "value_bits", unit: "bits", about: "2, 3, 4, 6 or 8 for a value" },
            Setting { name: "group", unit: "values", about: "32, 64 or 128 share a scale" },
            Setting { name: "residual", unit: "tokens", about: "packed together; newest in f16" },
        ]
    }

    fn policy(self, _: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: Self::NAME.to_owned(), problem };
        let side =
            |bits| Group::new(bits, self.group, Range::MinMax, 1.0).map(Arc::new).map_err(wrong);
        let keys = Side::per_channel(side(self.key_bits)?);
        let values = Side::per_token(side(self.value_bits)?);
        if self.residual == 0
            || !self.residual.is_multiple_of(self.group)
            || !PAGE_TOKENS.is_multiple_of(self.group)
        {
            return Err(wrong(format!(
                "residual = {} is no multiple of the group of {}",
                self.residual, self.group
            )));
        }
        let full = Side::per_token(Arc::new(F16));
        let packed = Arc::new(Packed { keys, values });
        Ok(Arc::new(Windowed::new((1, self.residual), full, packed)))
    }
}

/// What is packed.
struct Packed {
    keys: Side,
    values: Side,
}

impl KvCachePolicy for Packed {
    fn name(&self) -> String {
        Kivi::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(PackedCache::new(layer, context, self.keys.clone(), self.values.clone())?))
    }
}
