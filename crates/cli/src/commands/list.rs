//! `kvr models`, `kvr protocols`, `kvr datasets`: what there is.

use kvr_eval::report::table::{Format, Table};
use kvr_eval::run::{dataset, modes, protocols};
use kvr_models::{ALIASES, Hub, geometries, geometry};

use crate::shared::output::write_out;

fn show(text_columns: usize, header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    let header = header.iter().map(|h| (*h).to_owned()).collect();
    write_out(&Table { text_columns, header, rows }.render(Format::Text))
}

pub(crate) fn models() -> anyhow::Result<()> {
    let hub = Hub { offline: true, ..Hub::from_env() };
    let mut rows = Vec::new();
    let mut row = |name: String, what: String, sizes: &str| -> anyhow::Result<()> {
        let g = geometry(sizes, &hub)?;
        let sizes = [g.layers, g.query_heads, g.kv_heads, g.head_dim, g.max_positions];
        rows.push([name, what].into_iter().chain(sizes.map(|n| n.to_string())).collect());
        Ok(())
    };
    row("mini".to_owned(), "inside the program".to_owned(), "mini")?;
    for alias in ALIASES {
        row(alias.name.to_owned(), format!("hub:{}", alias.repository), alias.geometry)?;
    }
    for name in geometries::names() {
        row(format!("random:{name}"), "random weights".to_owned(), name)?;
    }
    show(2, &["model", "what", "layers", "query heads", "kv heads", "head_dim", "context"], rows)?;
    write_out(
        "Also: a folder with config.json, tokenizer.json and safetensors; \
        hub:owner/name[@revision].\n",
    )
}

pub(crate) fn protocols() -> anyhow::Result<()> {
    let rows = protocols::ALL
        .iter()
        .map(|p| vec![p.name().to_owned(), p.version().to_string(), p.summary().to_owned()]);
    show(3, &["protocol", "version", "rule"], rows.collect())?;
    let modes = modes::ALL.map(|mode| vec![mode.name().to_owned(), mode.summary().to_owned()]);
    show(2, &["mode", "how the cache is read while scoring"], modes.into())
}

pub(crate) fn datasets() -> anyhow::Result<()> {
    let rows = dataset::manifests().into_iter().map(|(name, manifest)| {
        let place = match &manifest.repository {
            Some(repository) => format!("hub: {repository}"),
            None => "inside the program".to_owned(),
        };
        vec![name.to_owned(), manifest.title, manifest.licence, place]
    });
    show(4, &["dataset", "what", "licence", "where"], rows.collect())?;
    write_out(
        "Also: any UTF-8 text file; wikitext-2:PATH for a local copy whose SHA-256 is checked.\n",
    )
}
