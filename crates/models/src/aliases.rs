//! Short names of models on the hub.

/// A short name of a model on the hub.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The short name.
    pub name: &'static str,
    /// The repository, `owner/name`.
    pub repository: &'static str,
    /// The built-in geometry that the model has.
    pub geometry: &'static str,
}

const fn alias(name: &'static str, repository: &'static str, geometry: &'static str) -> Alias {
    Alias { name, repository, geometry }
}

/// A short name that is also the name of its geometry.
const fn same(name: &'static str, repository: &'static str) -> Alias {
    alias(name, repository, name)
}

/// The short names: those trained to chat, but for `-base`. A name without a size is the smallest.
pub const ALIASES: &[Alias] = &[
    same("tinyllama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
    alias("tinyllama-base", "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T", "tinyllama"),
    alias("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m"),
    same("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    same("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct"),
    same("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    alias("qwen2.5", "Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b"),
    same("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct"),
    same("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct"),
    same("qwen2.5-3b", "Qwen/Qwen2.5-3B-Instruct"),
    same("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct"),
    alias("qwen3", "Qwen/Qwen3-0.6B", "qwen3-0.6b"),
    same("qwen3-0.6b", "Qwen/Qwen3-0.6B"),
    same("qwen3-1.7b", "Qwen/Qwen3-1.7B"),
    same("qwen3-4b", "Qwen/Qwen3-4B"),
    same("qwen3-8b", "Qwen/Qwen3-8B"),
    alias("llama-3.2", "meta-llama/Llama-3.2-1B-Instruct", "llama-3.2-1b"),
    same("llama-3.2-1b", "meta-llama/Llama-3.2-1B-Instruct"),
    same("llama-3.2-3b", "meta-llama/Llama-3.2-3B-Instruct"),
    same("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.1"),
    same("phi-3-mini", "microsoft/Phi-3-mini-4k-instruct"),
    alias("gemma-3", "google/gemma-3-270m-it", "gemma-3-270m"),
    same("gemma-3-270m", "google/gemma-3-270m-it"),
    same("gemma-3-1b", "google/gemma-3-1b-it"),
    alias("smollm3", "HuggingFaceTB/SmolLM3-3B", "smollm3-3b"),
];

/// The alias of that name, in capitals or not, or `None`.
pub(crate) fn named(name: &str) -> Option<&'static Alias> {
    ALIASES.iter().find(|alias| alias.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_has_a_geometry() {
        for alias in ALIASES {
            assert!(crate::geometries::named(alias.geometry).is_some(), "{}", alias.name);
        }
        let found = named("SmolLM2-1.7B").map(|alias| alias.geometry);
        assert_eq!(found, Some("smollm2-1.7b"));
    }
}
