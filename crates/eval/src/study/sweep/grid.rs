//! The file that describes a sweep: lists whose product is measured.

use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::run::modes::Mode;
use crate::run::protocols;
use crate::study::experiment::Settings;

/// A sweep: every model on every dataset under every protocol, mode, context, depth and seed, with
/// every policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Models, as `--model` takes them.
    #[serde(default = "mini")]
    pub models: Vec<String>,
    /// Texts, as `--dataset` takes them.
    #[serde(default = "sample")]
    pub datasets: Vec<String>,
    /// Policies, as `--policy` takes them.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Key formats: with every one of `value_formats` a policy more.
    #[serde(default)]
    pub key_formats: Vec<String>,
    /// Value formats.
    #[serde(default)]
    pub value_formats: Vec<String>,
    /// The policy that the others are compared with; measured too.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Protocols.
    #[serde(default = "protocol")]
    pub protocols: Vec<String>,
    /// Modes.
    #[serde(default = "mode")]
    pub modes: Vec<String>,
    /// Tokens in a window; the protocol's own where empty.
    #[serde(default)]
    pub contexts: Vec<usize>,
    /// Tokens between windows of the strided protocol.
    #[serde(default)]
    pub stride: Option<usize>,
    /// Depths of what hides, in percent.
    #[serde(default)]
    pub depths: Vec<f64>,
    /// Seeds of synthetic texts.
    #[serde(default = "seed")]
    pub seeds: Vec<u64>,
    /// At most this many windows, articles or samples.
    #[serde(default)]
    pub chunks: Option<usize>,
    /// Tokens appended in one step.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn mini() -> Vec<String> {
    vec!["mini".to_owned()]
}

fn sample() -> Vec<String> {
    vec!["sample".to_owned()]
}

fn protocol() -> Vec<String> {
    vec![Settings::default().protocol]
}

fn mode() -> Vec<String> {
    vec![Settings::default().mode]
}

fn seed() -> Vec<u64> {
    vec![0]
}

fn batch() -> usize {
    Settings::default().batch
}

/// The cells of a sweep that share model, text and settings; they differ in the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The model.
    pub model: String,
    /// The text.
    pub dataset: String,
    /// Protocol, mode and the rest.
    pub settings: Settings,
}

impl Grid {
    /// Reads the text of a sweep file; `file` is for messages.
    ///
    /// # Errors
    /// When it is not TOML, has unknown keys, or names an unknown protocol or mode.
    pub fn parse(text: &str, file: &str) -> Result<Self, EvalError> {
        let grid: Self = toml::from_str(text).map_err(|e| {
            EvalError::Setting(format!("{file}: is not a sweep: {}", e.to_string().trim()))
        })?;
        grid.check()?;
        if grid.policies().is_empty() {
            return Err(EvalError::Setting(format!(
                "{file}: names no policy: give policies, or key_formats and value_formats"
            )));
        }
        Ok(grid)
    }

    /// Refuses unknown protocols and modes.
    ///
    /// # Errors
    /// With the first that is unknown.
    pub fn check(&self) -> Result<(), EvalError> {
        for name in &self.protocols {
            protocols::by_name(name)?;
        }
        self.modes.iter().try_for_each(|name| name.parse::<Mode>().map(|_| ()))
    }

    /// The policies in order, each once, the baseline first.
    pub fn policies(&self) -> Vec<String> {
        let pairs = self
            .key_formats
            .iter()
            .flat_map(|k| self.value_formats.iter().map(move |v| format!("{k}:{v}")));
        let all = self.baseline.iter().cloned().chain(self.policies.iter().cloned()).chain(pairs);
        let mut policies: Vec<String> = Vec::new();
        for policy in all {
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }

    /// The groups in the order in which they are measured: one model after the other.
    pub fn groups(&self) -> Vec<Group> {
        let contexts = optional(&self.contexts);
        let mut groups = Vec::new();
        for model in &self.models {
            for dataset in &self.datasets {
                for protocol in &self.protocols {
                    let hides = protocols::by_name(protocol).is_ok_and(|p| p.hides());
                    let depths = if hides { optional(&self.depths) } else { vec![None] };
                    for mode in &self.modes {
                        for ctx in &contexts {
                            for depth in &depths {
                                for seed in &self.seeds {
                                    let settings = Settings {
                                        protocol: protocol.clone(),
                                        mode: mode.clone(),
                                        ctx: *ctx,
                                        stride: self.stride,
                                        depth: *depth,
                                        chunks: self.chunks,
                                        batch: self.batch,
                                        seed: *seed,
                                    };
                                    let (model, dataset) = (model.clone(), dataset.clone());
                                    groups.push(Group { model, dataset, settings });
                                }
                            }
                        }
                    }
                }
            }
        }
        groups
    }
}

/// The values, or once "as usual".
fn optional<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_in_order() {
        let text = r#"
            policies = ["fp16", "k8v4"]
            key_formats = ["q8_0"]
            value_formats = ["q4_0", "q4_1"]
            baseline = "fp16"
            contexts = [256, 512]
            protocols = ["llama-cpp", "passkey"]
            depths = [0.0, 100.0]
            seeds = [1, 2]
        "#;
        let grid = Grid::parse(text, "test.toml").expect("a sweep");
        assert_eq!(grid.policies(), ["fp16", "k8v4", "q8_0:q4_0", "q8_0:q4_1"]);
        let groups = grid.groups();
        // llama-cpp: 2 contexts x 2 seeds; passkey: x 2 depths.
        assert_eq!(groups.len(), 4 + 8);
        assert_eq!(groups[0].settings.depth, None);
        assert_eq!(groups[5].settings.depth, Some(0.0));
    }

    #[test]
    fn mistakes_are_said() {
        let said = |text: &str| Grid::parse(text, "x.toml").expect_err("a mistake").to_string();
        assert!(said("policy = ['fp16']").contains("unknown field `policy`"));
        assert!(said("").contains("names no policy"));
        assert!(said("policies = ['fp16']\nprotocols = ['gpt']").contains("gptq"));
        assert!(said("policies = ['fp16']\nmodes = ['x']").contains("unknown mode"));
        assert!(said("policies = 3").contains("x.toml"));
    }
}
