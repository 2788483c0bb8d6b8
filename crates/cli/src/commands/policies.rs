//! `kvr policies`: what there is, and what one of them can be told.

use kvr_eval::report::table::{Format, Table};
use kvr_eval::run::policies::find;
use kvr_policy::{MethodEntry, Promise, Registry};

use crate::shared::output::write_out;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A policy, method, format or FILE.toml to explain.
    name: Option<String>,
}

pub(crate) fn run(args: &Args, registry: &Registry) -> anyhow::Result<()> {
    match &args.name {
        None => all(registry),
        Some(name) => one(name, registry),
    }
}

fn show(text_columns: usize, header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    let header = header.iter().map(|h| (*h).to_owned()).collect();
    write_out(&Table { text_columns, header, rows }.render(Format::Text))
}

fn all(registry: &Registry) -> anyhow::Result<()> {
    let rows =
        registry.policies().map(|(name, entry)| vec![name.to_owned(), entry.summary.clone()]);
    show(2, &["policy", "what"], rows.collect())?;
    let rows = registry.methods().map(|method| {
        vec![method.name.to_owned(), method.summary.to_owned(), method.source.to_owned()]
    });
    show(3, &["method", "what", "source"], rows.collect())?;
    let named = registry.formats().map(|format| {
        let layout = format.layout();
        vec![
            format.name().to_owned(),
            format!("{} bits per value", layout.bits_per_value()),
            format!("blocks of {}", layout.values),
        ]
    });
    let families = registry.families().iter().map(|family| {
        vec![
            family.pattern.to_owned(),
            family.summary.to_owned(),
            format!("such as {}", family.example),
        ]
    });
    let outliers =
        [["<format>+<n>", "n values of each block kept apart in f16", "such as nf3g64+1"]];
    let outliers = outliers.map(|row| row.map(str::to_owned).to_vec());
    show(3, &["format", "what", "size"], named.chain(families).chain(outliers).collect())?;
    write_out(
        "\
Two formats make a policy: <key format>:<value format>, such as q8_0:a4g64.
Methods take settings: name(setting=value;…), such as h2o(ratio=0.5;policy=k8v4); a first value
without a name is the inner policy: window(k4v4).
Layers and heads can have their own: base[selector=policy;…], such as k8v4[first 2=fp16;5.0=k8v8].
FILE.toml stands for what it says: method = \"…\" and settings. Each may stand in the others.
`kvr policies NAME` explains one.
",
    )
}

fn one(name: &str, registry: &Registry) -> anyhow::Result<()> {
    if let Ok(method) = registry.method(name) {
        return explain(method);
    }
    let policy = find(registry, name)?;
    let Promise { streaming_exact, budget, .. } = policy.promise();
    let mut rows = vec![
        vec!["policy".to_owned(), policy.name()],
        vec!["settings".to_owned(), policy.config()],
        vec![
            "streaming-exact".to_owned(),
            if streaming_exact { "yes: steps of any size give the same result" } else { "no" }
                .to_owned(),
        ],
    ];
    if let Some(budget) = budget {
        rows.push(vec!["budget".to_owned(), budget.to_string()]);
    }
    show(2, &["", ""], rows)?;
    let config = policy.config();
    let method = config.split_once('(').and_then(|(method, _)| registry.method(method).ok());
    method.map_or(Ok(()), explain)
}

fn explain(method: &MethodEntry) -> anyhow::Result<()> {
    write_out(&format!("{}: {}\nSource: {}\n", method.name, method.summary, method.source))?;
    let default = |name: &str| match method.defaults.get(name) {
        Some(toml::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "(none)".to_owned(),
    };
    let rows = method.settings.iter().map(|setting| {
        [setting.name, setting.unit, &default(setting.name), setting.about]
            .map(str::to_owned)
            .to_vec()
    });
    show(4, &["setting", "unit", "default", "what it does"], rows.collect())?;
    let first = method
        .settings
        .first()
        .map_or(String::new(), |setting| format!("{}={}", setting.name, default(setting.name)));
    write_out(&format!(
        "Use: --policy '{0}({first})', or a TOML file with method = \"{0}\".\n",
        method.name
    ))
}
