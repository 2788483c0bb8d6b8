//! One self-contained HTML page of a result: warnings, tables, pictures, provenance.

use crate::EvalError;
use crate::record::Record;
use crate::report::plot;
use crate::report::table::{Detail, Table, caption, records_table};

const STYLE: &str = "\
body{font-family:sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;line-height:1.45}\
table{border-collapse:collapse;font-size:.9rem}\
th,td{padding:.25rem .7rem;border-bottom:1px solid #ccc;white-space:nowrap}\
td.n,th.n{text-align:right}div.wide{overflow-x:auto}svg{max-width:100%;height:auto;margin:1rem 0}\
ul.warnings{background:#fff3cd;padding:.7rem 2rem}code{background:#f2f2f2;padding:.1rem .3rem}";

/// The page.
///
/// # Errors
/// When a picture can't be drawn.
pub fn page(title: &str, records: &[Record]) -> Result<String, EvalError> {
    let mut body = format!("<h1>{}</h1>\n<p>{}</p>\n", escape(title), escape(&caption(records)));
    let mut warnings: Vec<&String> = records.iter().flat_map(|r| &r.warnings).collect();
    warnings.sort();
    warnings.dedup();
    if !warnings.is_empty() {
        let items = warnings.iter().map(|w| format!("<li>{}</li>", escape(w))).collect::<String>();
        body.push_str(&format!("<h2>Warnings</h2>\n<ul class=\"warnings\">{items}</ul>\n"));
    }
    body.push_str(&format!("<h2>Results</h2>\n{}", html(&records_table(records, Detail::Brief))));
    for figure in plot::ALL {
        // The table is on the page already.
        if figure.name() == "summary" {
            continue;
        }
        if let Some(picture) = figure.draw(records)? {
            let summary = heading(figure.summary());
            let svg = picture.svg();
            // Ids of one picture must not meet another's.
            let svg = svg.replace("id=\"", &format!("id=\"{}-", figure.name()));
            let svg = svg.replace("url(#", &format!("url(#{}-", figure.name()));
            let svg = svg.replace("href=\"#", &format!("href=\"#{}-", figure.name()));
            body.push_str(&format!("<h2>{summary}</h2>\n{svg}\n"));
        }
    }
    body.push_str(&format!(
        "<h2>Every quantity</h2>\n{}<h2>Provenance</h2>\n{}",
        html(&records_table(records, Detail::Full)),
        html(&provenance(records))
    ));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
        <style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
        escape(title)
    ))
}

/// The text with a capital letter first.
fn heading(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    escape(&(first + letters.as_str()))
}

fn provenance(records: &[Record]) -> Table {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for record in records {
        let (of, cell) = (&record.provenance, &record.cell);
        let row = [
            of.command.clone(),
            format!("{}{}", of.git_rev, if of.dirty { " with changes" } else { "" }),
            of.date_utc.chars().take(10).collect(),
            format!("{}, {}, {} threads", of.device, of.backend, of.threads),
            format!("burn {}, {}", of.burn_version, of.dtype),
            cell.model_sha256.clone().unwrap_or_else(|| "random".to_owned()),
            cell.dataset_sha256.clone(),
        ];
        if !rows.iter().any(|known| *known == row) {
            rows.push(row.into());
        }
    }
    let header = [
        "command",
        "revision",
        "date",
        "device",
        "versions",
        "SHA-256 of weights",
        "SHA-256 of text",
    ];
    Table { text_columns: header.len(), header: header.map(str::to_owned).into(), rows }
}

fn html(table: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells = cells.iter().enumerate().map(|(i, cell)| {
            let class = if i < table.text_columns { "" } else { " class=\"n\"" };
            format!("<{tag}{class}>{}</{tag}>", escape(cell))
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    format!("<div class=\"wide\"><table>\n{}{rows}</table></div>\n", row(&table.header, "th"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn a_page_holds_everything_and_loads_nothing() {
        let mut records = vec![record("fp16"), record("k8v4"), record("k4v4")];
        for record in &mut records {
            record.retrieval = None;
        }
        records[0].divergence = None;
        records[1].warnings = vec!["a <warning>".to_owned()];
        let page = page("a & b", &records).expect("a page");
        assert!(page.contains("<title>a &amp; b</title>") && page.contains("a &lt;warning&gt;"));
        assert!(page.matches("<svg").count() >= 3);
        assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("<text"));
        assert!(page.contains("kvr eval") && page.contains("0123456789ab"));
    }
}
