//! What most commands need: a device, a model, a text, policies, checked before work begins.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use kvr_eval::EvalError;
use kvr_eval::run::policies::{distinct, find};
use kvr_models::{Hub, Model, ModelSource};
use kvr_policy::{KvCachePolicy, Registry};

use crate::shared::args::{DeviceArgs, PolicyArgs};
use crate::shared::backend::{self, Backend};

/// The policies that the flags name, in order, each once.
pub(crate) fn policies(
    args: &PolicyArgs,
    registry: &Registry,
) -> anyhow::Result<Vec<Arc<dyn KvCachePolicy>>> {
    let find = |name: &str| find(registry, name);
    let policies = match (args.kvq, args.kvq_key, args.kvq_val) {
        (None, None, None) => args.names().into_iter().map(find).collect::<Result<_, _>>()?,
        (Some(bits), ..) => vec![find(&registry.pair_of_bits(bits, bits)?)?],
        (None, keys, values) => {
            vec![find(&registry.pair_of_bits(keys.unwrap_or(16), values.unwrap_or(16))?)?]
        }
    };
    Ok(distinct(policies)?)
}

/// The policies with the baseline first: the one that is asked for, else fp16 where it is listed.
pub(crate) fn with_baseline(
    mut policies: Vec<Arc<dyn KvCachePolicy>>,
    wanted: Option<&str>,
    registry: &Registry,
) -> anyhow::Result<(Vec<Arc<dyn KvCachePolicy>>, bool)> {
    let baseline = match wanted {
        Some(name) => Some(find(registry, name)?),
        // The built-in one: a file may have its name.
        None => registry.policy("fp16").ok().and_then(|fp16| {
            policies.iter().find(|policy| policy.config() == fp16.config()).cloned()
        }),
    };
    let Some(baseline) = baseline else { return Ok((policies, false)) };
    policies.insert(0, baseline);
    Ok((distinct(policies)?, true))
}

/// Opens the device and loads the model that `name` says.
pub(crate) fn load(name: &str, args: &DeviceArgs, hub: &Hub) -> anyhow::Result<(Backend, Model)> {
    let source: ModelSource = name.parse()?;
    load_on(backend::open(args)?, source, hub)
}

/// Loads a model onto a device that is open.
pub(crate) fn load_on(
    backend: Backend,
    source: ModelSource,
    hub: &Hub,
) -> anyhow::Result<(Backend, Model)> {
    let model = source.load(hub, &backend.context)?;
    Ok((backend, model))
}

/// Text to token ids for timings, where any text will do.
pub(crate) fn any_tokens(model: &Model) -> Result<Vec<u32>, EvalError> {
    let hub = Hub { offline: true, ..Hub::from_env() };
    let text = kvr_eval::run::dataset::Dataset::load("sample", &hub)?.text;
    kvr_eval::run::protocols::Encoder::new(model)?.text(&text)
}

/// A bar on stderr that counts windows.
pub(crate) fn bar(windows: usize) -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{msg:28} {wide_bar} {pos}/{len} windows, {eta} left")?;
    Ok(ProgressBar::new(windows as u64).with_style(style))
}
