//! One JSON object per measured cell: everything needed to read, compare and repeat a number.
//!
//! The object is flat. Here it is put together from the parts that a measurement has; the fields of
//! a part that was not measured are absent. docs/records.md explains each field.

pub mod files;
mod folder;
mod merge;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::EvalError;

pub use self::folder::{RECORDS, ResultFolder, read, read_lines};
pub use self::merge::merge;

/// The version of this layout; raised when a field changes its meaning.
pub const SCHEMA: u32 = 2;

/// One measured cell. Field names carry their units.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)] // The names are the documentation, and docs/records.md explains each.
pub struct Record {
    #[serde(flatten)]
    pub provenance: Provenance,
    #[serde(flatten)]
    pub cell: Cell,
    #[serde(flatten)]
    pub quality: Option<Quality>,
    #[serde(flatten)]
    pub text: Option<TextQuality>,
    #[serde(flatten)]
    pub retrieval: Option<Retrieval>,
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
    #[serde(flatten)]
    pub divergence: Option<Divergence>,
    #[serde(flatten)]
    pub memory: Memory,
    #[serde(flatten)]
    pub speed: Option<Speed>,
    pub warnings: Vec<String>,
}

/// Who measured, when and on what.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Provenance {
    pub schema: u32,
    pub git_rev: String,
    pub dirty: bool,
    pub date_utc: String,
    pub command: String,
    pub device: String,
    pub backend: String,
    pub threads: usize,
    pub burn_version: String,
    pub dtype: String,
}

/// What was measured: everything that decides the numbers, except the machine.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Cell {
    pub model: String,
    pub model_sha256: Option<String>,
    pub dataset: String,
    pub dataset_sha256: String,
    pub policy: String,
    pub policy_config: String,
    pub protocol: String,
    pub protocol_version: u32,
    pub mode: String,
    pub ctx: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_percent: Option<f64>,
    pub batch_tokens: usize,
    pub chunks: usize,
    pub scored_tokens: usize,
    pub seed: u64,
}

impl Cell {
    /// A key of the content: two records with one key measured the same thing. The machine, the
    /// revision, the date and what the policy was called are not in it: its settings are.
    /// `baseline` has the settings of the policy that it is compared with.
    ///
    /// # Errors
    /// When a number in it is not finite.
    pub fn key(&self, baseline: Option<&str>) -> Result<String, EvalError> {
        let unnamed = Self { policy: String::new(), ..self.clone() };
        let text = serde_json::to_string(&(unnamed, baseline));
        let text = text.map_err(|e| EvalError::Setting(format!("a cell has no key: {e}")))?;
        Ok(kvr_models::hex(&Sha256::digest(text))[..16].to_owned())
    }
}

/// Loss over the scored tokens.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Quality {
    pub nll: f64,
    pub nll_stderr: Option<f64>,
    #[serde(deserialize_with = "unbounded")]
    pub perplexity: f64,
    pub perplexity_stderr: Option<f64>,
}

/// Loss by units of the text instead of tokens.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct TextQuality {
    pub words: usize,
    pub bytes: usize,
    #[serde(deserialize_with = "unbounded")]
    pub word_perplexity: f64,
    pub word_perplexity_stderr: Option<f64>,
    #[serde(deserialize_with = "unbounded")]
    pub byte_perplexity: f64,
    pub byte_perplexity_stderr: Option<f64>,
    pub bits_per_byte: f64,
    pub bits_per_byte_stderr: Option<f64>,
}

/// Right answers, as shares from 0 to 1.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Retrieval {
    pub exact_match: f64,
    pub exact_match_stderr: Option<f64>,
    pub token_accuracy: f64,
    pub token_accuracy_stderr: Option<f64>,
}

/// Difference to the baseline over the same tokens.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Comparison {
    pub baseline: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_config: Option<String>,
    pub delta_nll: f64,
    pub delta_nll_stderr: Option<f64>,
    #[serde(deserialize_with = "unbounded")]
    pub perplexity_ratio: f64,
    pub perplexity_ratio_stderr: Option<f64>,
}

/// `e` to a loss of more than 709 nats is beyond f64: infinite here, null in JSON, which has no
/// word for it. The loss itself is always there.
fn unbounded<'de, D: serde::Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or(f64::INFINITY))
}

/// Divergence of the predictions from the baseline's.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Divergence {
    pub kld_mean: f64,
    pub kld_stderr: Option<f64>,
    pub kld_median: f64,
    pub kld_p99: f64,
    pub kld_p999: f64,
    pub kld_max: f64,
    pub same_top: f64,
    pub same_top_stderr: Option<f64>,
    pub rms_dp: f64,
    pub rms_dp_stderr: Option<f64>,
}

/// Bytes of the cache, counted over live buffers.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Memory {
    pub memory_ctx: usize,
    pub cache_bytes_held: u64,
    pub cache_bytes_allocated: u64,
    pub cache_bytes_fp16: u64,
    pub bytes_per_token: f64,
    pub peak_process_bytes: Option<u64>,
}

/// Tokens per second.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Speed {
    pub prefill_s: Option<f64>,
    pub prefill_tok_s: Option<f64>,
    pub decode_tok_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_spread: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_spread: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_s: Option<f64>,
}

impl Record {
    /// The baseline, where there is one.
    pub fn baseline(&self) -> Option<&str> {
        self.comparison.as_ref().map(|c| c.baseline.as_str())
    }

    /// Whether this is the baseline of its own line-up: another policy may have its name. Records
    /// of earlier versions know it by the name alone.
    pub fn is_baseline(&self) -> bool {
        self.comparison.as_ref().is_some_and(|comparison| match &comparison.baseline_config {
            Some(config) => *config == self.cell.policy_config,
            None => comparison.baseline == self.cell.policy,
        })
    }

    /// The settings of the baseline, where there is one; its name where they were not recorded.
    fn baseline_identity(&self) -> Option<&str> {
        let comparison = self.comparison.as_ref()?;
        Some(comparison.baseline_config.as_ref().unwrap_or(&comparison.baseline))
    }

    /// The content key of its cell.
    ///
    /// # Errors
    /// When a number in it is not finite.
    pub fn key(&self) -> Result<String, EvalError> {
        self.cell.key(self.baseline_identity())
    }

    /// The record as one line of JSON.
    ///
    /// # Errors
    /// When a number in it is not finite.
    pub fn line(&self) -> Result<String, EvalError> {
        serde_json::to_string(self)
            .map_err(|e| EvalError::Setting(format!("a record can't be written: {e}")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record to change in tests.
    pub(crate) fn record(policy: &str) -> Record {
        let text = include_str!("../../tests/goldens/record.json");
        let mut record: Record = serde_json::from_str(text).expect("a record of this schema");
        record.cell.policy = policy.to_owned();
        record.cell.policy_config = format!("settings of {policy}");
        record
    }

    #[test]
    fn records_are_flat_and_come_back_as_they_were() {
        let mut record = record("k8v4");
        record.retrieval = None;
        let line = record.line().expect("a line");
        let flat: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let fields = flat.as_object().expect("an object");
        assert!(fields.values().all(|value| !value.is_object()), "{line}");
        assert_eq!(flat["policy"], "k8v4");
        assert!(flat.get("exact_match").is_none());
        assert_eq!(serde_json::from_str::<Record>(&line).expect("a record"), record);
    }

    #[test]
    fn a_baseline_is_known_by_its_settings() {
        let mut record = record("fp16");
        let comparison = record.comparison.as_mut().expect("a comparison");
        assert_eq!((comparison.baseline.as_str(), &comparison.baseline_config), ("fp16", &None));
        assert!(record.is_baseline(), "a record of an earlier version");
        let own = record.cell.policy_config.clone();
        for (config, is_baseline) in [(own, true), ("of another fp16".to_owned(), false)] {
            let comparison = record.comparison.as_mut().expect("a comparison");
            comparison.baseline_config = Some(config);
            assert_eq!(record.is_baseline(), is_baseline);
        }
    }

    #[test]
    fn perplexities_beyond_f64_come_back() {
        let mut record = record("k8v4");
        let quality = record.quality.as_mut().expect("a perplexity");
        *quality = Quality {
            nll: 800.0,
            nll_stderr: Some(1.0),
            perplexity: f64::INFINITY,
            perplexity_stderr: None,
        };
        let line = record.line().expect("a line");
        assert!(line.contains("\"perplexity\":null"), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).expect("a record"), record);
        // A record of speed has no perplexity, which is another thing.
        let none = line.replace("\"perplexity\":null,", "");
        assert_eq!(serde_json::from_str::<Record>(&none).expect("a record").quality, None);
    }

    #[test]
    fn the_key_is_about_content() {
        let record = record("k8v4");
        let mut other = record.clone();
        other.provenance.device = "another".to_owned();
        assert_eq!(record.key().expect("a key"), other.key().expect("a key"));
        other.cell.policy = "another name".to_owned();
        assert_eq!(record.key().expect("a key"), other.key().expect("a key"));
        other.cell.policy_config = "other settings".to_owned();
        assert_ne!(record.key().expect("a key"), other.key().expect("a key"));
        other.cell = record.cell.clone();
        other.cell.seed += 1;
        assert_ne!(record.key().expect("a key"), other.key().expect("a key"));
    }
}
