//! The rotary embedding in a config. Older files say `rope_theta` and `rope_scaling`, transformers
//! 5 says `rope_parameters`; some say the kind twice, as `type` and as `rope_type`.

use super::{Config, Heads};
use crate::ModelError;
use crate::spec::{RopeScaling, RopeSpec};

/// What a family does in its own way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RopeKeys {
    /// The base where the config has none.
    pub(crate) theta: f64,
    /// The top-level key of the base.
    pub(crate) theta_key: &'static str,
    /// Whether `partial_rotary_factor` means something.
    pub(crate) partial: bool,
    /// Whether every scaling is longrope, whatever it is called (Phi-3: `su`, `yarn`).
    pub(crate) always_longrope: bool,
}

impl Default for RopeKeys {
    fn default() -> Self {
        Self { theta: 1e4, theta_key: "rope_theta", partial: false, always_longrope: false }
    }
}

/// The rotary embedding of a config whose object for it is `section`; `None` finds it under its
/// usual names.
pub(crate) fn rope(
    config: &Config,
    section: Option<Config>,
    heads: Heads,
    keys: RopeKeys,
) -> Result<RopeSpec, ModelError> {
    let section = match section {
        Some(section) => section,
        None => match config.section("rope_scaling")? {
            Some(section) => section,
            None => config.section("rope_parameters")?.unwrap_or_else(|| config.empty()),
        },
    };
    let (theta, wrong) = match section.number("rope_theta")? {
        Some(theta) => (theta, section.wrong("rope_theta", "a number above 1")),
        None => (
            config.number(keys.theta_key)?.unwrap_or(keys.theta),
            config.wrong(keys.theta_key, "a number above 1"),
        ),
    };
    if theta <= 1.0 {
        return Err(wrong);
    }
    let channels = channels(config, &section, heads.dim, keys.partial)?;
    Ok(RopeSpec { theta, channels, scaling: scaling(config, &section, channels, keys)? })
}

/// How many channels of a head are rotated.
fn channels(
    config: &Config,
    section: &Config,
    dim: usize,
    partial: bool,
) -> Result<usize, ModelError> {
    const KEY: &str = "partial_rotary_factor";
    let at = if section.get(KEY).is_some() { section } else { config };
    let factor = at.positive(KEY)?.unwrap_or(1.0);
    if factor != 1.0 && !partial {
        return Err(at.wrong(KEY, "1: this architecture rotates all channels of a head"));
    }
    let channels = (dim as f64 * factor) as usize;
    if channels == 0 || channels.next_multiple_of(2) > dim {
        return Err(at.wrong(KEY, &format!("a part of the {dim} channels of a head")));
    }
    Ok(channels)
}

/// The kind of scaling: one word, however often it is said.
fn kind(section: &Config) -> Result<&str, ModelError> {
    let (new, old) = (section.text("rope_type")?, section.text("type")?);
    match (new, old) {
        (Some(new), Some(old)) if new != old => {
            Err(section.wrong("rope_type", &format!("what type says, which is \"{old}\"")))
        }
        (new, old) => Ok(new.or(old).unwrap_or("default")),
    }
}

fn scaling(
    config: &Config,
    section: &Config,
    channels: usize,
    keys: RopeKeys,
) -> Result<RopeScaling, ModelError> {
    let said = kind(section)?;
    let kind = match said {
        "su" | "yarn" if keys.always_longrope => "longrope",
        kind => kind,
    };
    let trained = || config.needs_positive("max_position_embeddings");
    // Some files have the original context beside the rotary embedding and not inside.
    const ORIGINAL: &str = "original_max_position_embeddings";
    let at = [config, section].into_iter().find(|at| at.get(ORIGINAL).is_some());
    let original = || match at {
        None => trained(),
        Some(at) => match at.needs_positive(ORIGINAL)? {
            one if one <= 1.0 => Err(at.wrong(ORIGINAL, "more than one token")),
            original => Ok(original),
        },
    };
    // Without a factor the two contexts say it.
    let factor = || match (section.positive("factor")?, at) {
        (Some(factor), _) => Ok(factor),
        (None, Some(_)) => Ok::<_, ModelError>(trained()? / original()?),
        (None, None) => Err(section.wrong("factor", "a number above 0")),
    };
    Ok(match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: section.needs_positive("factor")? },
        "dynamic" if channels > 2 => RopeScaling::Dynamic {
            factor: section.needs_positive("factor")?,
            trained_context: trained()?,
        },
        "llama3" => RopeScaling::Llama3 {
            factor: section.needs_positive("factor")?,
            low_freq_factor: section.needs_positive("low_freq_factor")?,
            high_freq_factor: section.needs_positive("high_freq_factor")?,
            original_context: original()?,
        },
        "yarn" => {
            let original_context = original()?;
            let factor = factor()?;
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast: section.positive("beta_fast")?.unwrap_or(32.0),
                beta_slow: section.positive("beta_slow")?.unwrap_or(1.0),
                truncate: section.flag("truncate", true)?,
                magnitude: yarn_magnitude(section, factor)?,
            }
        }
        "longrope" => {
            let original_context = original()?;
            let factor = factor()?;
            let magnitude = match section.positive("attention_factor")? {
                Some(magnitude) => magnitude,
                None if factor <= 1.0 => 1.0,
                None => (1.0 + factor.ln() / original_context.ln()).sqrt(),
            };
            RopeScaling::LongRope {
                short: factors(section, "short_factor", channels)?,
                long: factors(section, "long_factor", channels)?,
                original_context,
                magnitude,
            }
        }
        _ => {
            let key = if section.get("rope_type").is_some() { "rope_type" } else { "type" };
            return Err(section.wrong(
                key,
                "default, linear, dynamic, llama3, yarn or longrope: other kinds are not supported",
            ));
        }
    })
}

/// What cosines and sines are multiplied by under yarn (Peng et al. 2023, and DeepSeek's `mscale`).
fn yarn_magnitude(section: &Config, factor: f64) -> Result<f64, ModelError> {
    if let Some(magnitude) = section.positive("attention_factor")? {
        return Ok(magnitude);
    }
    let grown = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let nonzero = |key| Ok::<_, ModelError>(section.number(key)?.filter(|scale| *scale != 0.0));
    let magnitude = match (nonzero("mscale")?, nonzero("mscale_all_dim")?) {
        (Some(scale), Some(all)) => grown(scale) / grown(all),
        _ => grown(1.0),
    };
    match magnitude.is_finite() && magnitude > 0.0 {
        true => Ok(magnitude),
        false => Err(section.wrong("mscale", "one that leaves a positive magnitude")),
    }
}

/// One factor for each pair of channels.
fn factors(section: &Config, key: &str, channels: usize) -> Result<Vec<f32>, ModelError> {
    let pairs = channels.div_ceil(2);
    let expected = format!("a list of {pairs} positive numbers, one for each pair of channels");
    let values = section.list(key)?.ok_or_else(|| section.wrong(key, &expected))?;
    let numbers = values.iter().map(|value| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        (number.is_finite() && number > 0.0).then_some(number as f32)
    });
    match numbers.collect::<Option<Vec<f32>>>() {
        Some(numbers) if numbers.len() == pairs => Ok(numbers),
        _ => Err(section.wrong(key, &expected)),
    }
}
