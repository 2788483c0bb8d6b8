//! JSON as programs and people write it: Python's `NaN` and `Infinity`, comments, a byte order
//! mark.

use serde_json::Value;

/// Parses JSON. `NaN` and `Infinity`, which JSON does not have, become words in quotes: where a
/// number is asked for they are an error that names their key, elsewhere nobody minds.
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice(text)
        .or_else(|error| serde_json::from_slice(&strict(text)).map_err(|_| error))
}

/// The text without comments, and with words in quotes that stand where a number may. Line breaks
/// stay.
fn strict(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => string(rest),
            b'/' if rest.starts_with(b"//") => {
                let end = rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len());
                rest = &rest[end..];
                continue;
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
                rest = &rest[end.map_or(rest.len(), |at| at + 4)..];
                continue;
            }
            _ => {
                match [&b"-Infinity"[..], b"Infinity", b"NaN"].iter().find(|w| rest.starts_with(w))
                {
                    Some(word) => {
                        out.push(b'"');
                        out.extend(*word);
                        out.push(b'"');
                        rest = &rest[word.len()..];
                        continue;
                    }
                    None => 1,
                }
            }
        };
        out.extend(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// Bytes of the string that `text` begins with, quotes included.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|c| {
        let ends = *c == b'"' && !escaped;
        escaped = *c == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_words_for_numbers_are_read() {
        let text = "\u{feff}{ // one\n \"a\": -Infinity, /* two\n */ \"b\": [NaN, 1],\n \
                    \"c\": \"// NaN \\\" /*\" }";
        let value = parse(text.as_bytes()).expect("lenient JSON");
        assert_eq!(
            value,
            serde_json::json!({"a": "-Infinity", "b": ["NaN", 1], "c": "// NaN \" /*"})
        );
        for broken in ["", "{", "{\"a", "/*", "/", "{\"a\": Inf}"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }
}
