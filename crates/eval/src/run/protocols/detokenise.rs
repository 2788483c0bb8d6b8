//! WikiText's spaced-out punctuation, undone as lm-evaluation-harness undoes it.
//!
//! Source: `wikitext_detokenizer` of lm_eval 0.4.13, replacement by replacement, its slips included
//! (the second pattern can't match); a test compares with its output.

use std::sync::LazyLock;

use regex::Regex;

enum Step {
    Text(&'static str, &'static str),
    Pattern(Regex, &'static str),
}

static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    use Step::Text;
    let pattern = |pattern, with| Step::Pattern(Regex::new(pattern).expect("tested below"), with);
    vec![
        Text("s '", "s'"),
        pattern("/' [0-9]/", "/'[0-9]/"),
        Text(" @-@ ", "-"),
        Text(" @,@ ", ","),
        Text(" @.@ ", "."),
        Text(" : ", ": "),
        Text(" ; ", "; "),
        Text(" . ", ". "),
        Text(" ! ", "! "),
        Text(" ? ", "? "),
        Text(" , ", ", "),
        pattern(r"\(\s*([^\)]*?)\s*\)", "($1)"),
        pattern(r"\[\s*([^\]]*?)\s*\]", "[$1]"),
        pattern(r"\{\s*([^}]*?)\s*\}", "{$1}"),
        pattern(r#""\s*([^"]*?)\s*""#, "\"$1\""),
        pattern(r"'\s*([^']*?)\s*'", "'$1'"),
        Text("= = = =", "===="),
        Text("= = =", "==="),
        Text("= =", "=="),
        Text(" \u{b0} ", "\u{b0}"),
        Text(" \n", "\n"),
        Text("\n ", "\n"),
        Text(" N ", " 1 "),
        Text(" 's", "'s"),
    ]
});

/// A page of WikiText as people write it.
pub fn wikitext(page: &str) -> String {
    STEPS.iter().fold(page.to_owned(), |text, step| match step {
        Step::Text(from, to) => text.replace(from, to),
        Step::Pattern(pattern, with) => pattern.replace_all(&text, *with).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_harness() {
        let golden = include_str!("../../../tests/goldens/detokenised.json");
        let pairs: Vec<[String; 2]> = serde_json::from_str(golden).expect("a list of pairs");
        assert!(pairs.len() >= 8);
        for [page, want] in pairs {
            assert_eq!(wikitext(&page), want);
        }
    }
}
