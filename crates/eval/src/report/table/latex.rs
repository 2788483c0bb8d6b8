//! LaTeX: a `tabular` for a paper, with the rules of booktabs.

use super::Table;

/// The table as a `tabular` environment.
pub(super) fn tabular(table: &Table) -> String {
    let numbers = table.header.len().saturating_sub(table.text_columns);
    let columns = "l".repeat(table.text_columns) + &"r".repeat(numbers);
    let row = |cells: &[String]| {
        cells.iter().map(|cell| escape(cell)).collect::<Vec<_>>().join(" & ") + r" \\" + "\n"
    };
    let rows: String = table.rows.iter().map(|cells| row(cells)).collect();
    format!(
        "% needs \\usepackage{{booktabs}}\n\
        \\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n{rows}\\bottomrule\n\
        \\end{{tabular}}\n",
        row(&table.header)
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out.push_str(r"\textasciitilde{}"),
            '^' => out.push_str(r"\textasciicircum{}"),
            '\\' => out.push_str(r"\textbackslash{}"),
            '±' => out.push_str(r"$\pm$"),
            '↓' => out.push_str(r"$\downarrow$"),
            '↑' => out.push_str(r"$\uparrow$"),
            'Δ' => out.push_str(r"$\Delta$"),
            '·' => out.push_str(r"$\cdot$"),
            '×' => out.push_str(r"$\times$"),
            '−' => out.push_str("$-$"),
            '–' => out.push_str("--"),
            '⁻' => out.push_str("$^{-}$"),
            '³' => out.push_str("$^{3}$"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        let table = Table {
            text_columns: 1,
            header: vec!["policy".to_owned(), "Δ (%) ↓".to_owned()],
            rows: vec![vec!["q8_0:q4_0".to_owned(), "+0.1 ± 0.2".to_owned()]],
        };
        let want = "% needs \\usepackage{booktabs}\n\
            \\begin{tabular}{lr}\n\\toprule\n\
            policy & $\\Delta$ (\\%) $\\downarrow$ \\\\\n\\midrule\n\
            q8\\_0:q4\\_0 & +0.1 $\\pm$ 0.2 \\\\\n\\bottomrule\n\
            \\end{tabular}\n";
        assert_eq!(tabular(&table), want);
    }
}
