//! Changes of WGSL text before it is compiled: prefixed names, unrolled loops, constants.

use std::collections::HashMap;

/// Declarations of u32 constants.
pub(crate) fn constants(list: &[(&str, usize)]) -> String {
    list.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect()
}

/// A format's text with a prefix before every function and constant that it declares, so that two
/// formats can be in one program.
pub(crate) fn prefixed(text: &str, prefix: &str) -> String {
    let mut own = vec!["VALUES", "WORDS", "SCALE_SLOTS"];
    for keyword in ["fn ", "const "] {
        own.extend(text.split(keyword).skip(1).filter_map(|rest| {
            let end = rest.find(|c| !is_word(c))?;
            (end > 0).then_some(&rest[..end])
        }));
    }
    map_words(text, |word| own.contains(&word).then(|| format!("{prefix}{word}")))
}

/// Loops of at most this many iterations are unrolled.
const UNROLL: u32 = 32;

/// Unrolls loops `for (var i = 0u; i < BOUND; i++) { … }` whose bound is a small constant, so that
/// arrays are indexed by constants and stay in registers: shader compilers do not unroll loops with
/// the runtime's guard against endless ones.
pub(crate) fn unroll(text: &str) -> String {
    let constants = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("const ")?.split_once(": u32 = ")?;
        Some((name, value.split(';').next()?.trim_end_matches('u').parse().ok()?))
    });
    unrolled(text, &constants.collect())
}

fn unrolled(text: &str, constants: &HashMap<&str, u32>) -> String {
    let Some(start) = text.find("for (var ") else { return text.to_owned() };
    let (before, rest) = text.split_at(start);
    let Some((header, body)) = rest.split_once('{') else { return text.to_owned() };
    let mut depth = 1;
    let end = body.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let Some(end) = end else { return text.to_owned() };
    let (body, after) = (unrolled(&body[..end], constants), unrolled(&body[end + 1..], constants));
    let counted = counted(header, constants).filter(|(_, first, bound)| bound - first <= UNROLL);
    let written = match counted {
        Some((name, first, bound)) => (first..bound)
            .map(|i| format!("{{{}}}\n", replace_word(&body, name, &format!("{i}u"))))
            .collect(),
        None => format!("{header}{{{body}}}"),
    };
    format!("{before}{written}{after}")
}

/// Name, first value and bound of a loop that counts up by one between constants.
fn counted<'a>(header: &'a str, constants: &HashMap<&str, u32>) -> Option<(&'a str, u32, u32)> {
    let (name, rest) = header.strip_prefix("for (var ")?.split_once(" = ")?;
    let (first, rest) = rest.split_once("u; ")?;
    let rest = rest.strip_prefix(name)?.strip_prefix(" < ")?;
    let (bound, step) = rest.split_once("; ")?;
    step.strip_prefix(name)?.strip_prefix("++)")?;
    let value = |text: &str| {
        let text = text.trim();
        constants.get(text).copied().or_else(|| text.trim_end_matches('u').parse().ok())
    };
    let bound = match (bound.split_once(" * "), bound.split_once(" / ")) {
        (Some((a, b)), _) => value(a)? * value(b)?,
        (_, Some((a, b))) => value(a)? / value(b)?,
        _ => value(bound)?,
    };
    let first: u32 = first.parse().ok()?;
    (first <= bound).then_some((name, first, bound))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text with every word replaced for which `replacement` gives another. A word after a dot is
/// the member of a value and stays.
fn map_words(text: &str, replacement: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        out.push_str(&rest[..start]);
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        match replacement(word).filter(|_| !out.ends_with('.')) {
            Some(new) => out.push_str(&new),
            None => out.push_str(word),
        }
        rest = &rest[end..];
    }
    out + rest
}

fn replace_word(text: &str, word: &str, by: &str) -> String {
    map_words(text, |found| (found == word).then(|| by.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_loops_are_unrolled_and_others_stay() {
        let other = "for (var t = local; t < R; t += 9u) { y; }";
        let nested =
            "for (var i = 0u; i < R; i++) { for (var j = 1u; j < R * 2; j++) { x[i] += j; } }";
        let text = format!("const R: u32 = 2u;\n{nested}\n{other}");
        let inner =
            |i| format!("{{ {{ x[{i}] += 1u; }}\n{{ x[{i}] += 2u; }}\n{{ x[{i}] += 3u; }}\n }}\n");
        let want = format!("const R: u32 = 2u;\n{}{}\n{other}", inner("0u"), inner("1u"));
        assert_eq!(unroll(&text), want);
    }

    #[test]
    fn own_names_are_prefixed_and_others_are_not() {
        let text =
            "const TOP: u32 = 1u;\nfn put(x: u32) -> u32 { return min(TOP, x.put) + VALUES; }";
        let want = "const k_TOP: u32 = 1u;\n\
                    fn k_put(x: u32) -> u32 { return min(k_TOP, x.put) + k_VALUES; }";
        assert_eq!(prefixed(text, "k_"), want);
    }
}
