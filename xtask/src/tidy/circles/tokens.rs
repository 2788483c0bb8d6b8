//! Rust source as tokens: comments, strings and characters fall away, so that what is left is code.

/// A token and its line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// An identifier, `::`, or a single character of punctuation.
    pub(super) text: &'a str,
    pub(super) line: usize,
}

impl Token<'_> {
    /// Whether this is an identifier, keywords included.
    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of a file; numbers are left out too.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (length, kept) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(length) = string(rest) {
            (length, false)
        } else if first == '\'' {
            (character(rest), false)
        } else if first.is_alphanumeric() || first == '_' {
            (word(rest), !first.is_numeric())
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (first.len_utf8(), !first.is_whitespace())
        };
        let text = &rest[..length];
        if kept {
            out.push(Token { text, line });
        }
        line += text.matches('\n').count();
        at += length;
    }
    out
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let step = if rest[at..].starts_with("/*") {
            depth += 1;
            2
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string literal at the start of `rest`, raw or not, with its prefix.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| {
            let opening = if prefix.ends_with('r') { after.trim_start_matches('#') } else { after };
            opening.starts_with('"')
        })
    })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        let closed = rest[body..].find(&end).map(|length| body + length + end.len());
        return Some(closed.unwrap_or(rest.len()));
    }
    Some(prefix.len() + 1 + quoted(&after[1..], '"'))
}

/// The length of what is left of a literal, its closing quote included.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

/// A character literal, or a lifetime.
fn character(rest: &str) -> usize {
    let body = &rest[1..];
    let mut chars = body.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => 1 + quoted(body, '\''),
        _ => 1 + word(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn only_code_is_left() {
        assert_eq!(texts("a::b /* c /* d */ e */ f // g\nh"), ["a", "::", "b", "f", "h"]);
        assert_eq!(
            texts(r####"x("crate::a \" b", r#"c" d"#, b"e", 'f', '"', '\'') g"####),
            ["x", "(", ",", ",", ",", ",", ",", ")", "g"]
        );
        assert_eq!(texts("fn f<'a>(x: &'a str) -> u8 { 1u8 + b'x' }")[..4], ["fn", "f", "<", ">"]);
        assert_eq!(texts("for each in raw"), ["for", "each", "in", "raw"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("/*\n\n*/ a\n\"\n\" b\n'\\n' c");
        let lines: Vec<_> = found.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(lines, [("a", 3), ("b", 5), ("c", 6)]);
    }
}
