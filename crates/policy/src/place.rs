//! A place in a text that a person typed, so that an error can point at it.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

/// Characters of a line that are shown around a place.
const SHOWN: usize = 96;

/// Some bytes of a text. Two places are always equal: where a thing was written does not change
/// what it is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    text: Arc<str>,
    range: Range<usize>,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl Place {
    /// The bytes `range` of `text`.
    pub(crate) fn new(text: &Arc<str>, range: Range<usize>) -> Self {
        Self { text: text.clone(), range }
    }

    /// Whether no text is known.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.text.is_empty()
    }

    /// `problem` below the text, with carets under the place; `problem` alone where the place is
    /// the whole text, or nowhere.
    ///
    /// ```text
    /// k8v4[first 2=fp17]
    ///              ^^^^ unknown policy 'fp17': nearest fp16
    /// ```
    pub fn show(&self, problem: &str) -> String {
        let Range { start, end } = self.range;
        let (Some(before), Some(_)) = (self.text.get(..start), self.text.get(start..end)) else {
            return problem.to_owned();
        };
        if before.trim().is_empty() && self.text[end..].trim().is_empty() {
            return problem.to_owned();
        }
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let column = self.text[line_start..start].chars().count();
        let width = self.text[start..end].lines().next().map_or(0, |part| part.chars().count());
        // Of a long line, as a calibrated policy has, what is around the place.
        let skipped = (column + width.min(SHOWN / 2)).saturating_sub(SHOWN / 2);
        let skipped = if line.chars().count() <= SHOWN { 0 } else { skipped.min(column) };
        let shown: String = line.chars().skip(skipped).take(SHOWN).collect();
        let carets = "^".repeat(width.clamp(1, SHOWN.saturating_sub(column - skipped).max(1)));
        let mut picture = shown.replace('\t', " ");
        let _ = write!(picture, "\n{}{carets} {problem}", " ".repeat(column - skipped));
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, range: Range<usize>) -> String {
        Place::new(&text.into(), range).show("wrong")
    }

    #[test]
    fn carets_stand_under_the_place() {
        assert_eq!(show("k8v4[0=fp17]", 7..11), "k8v4[0=fp17]\n       ^^^^ wrong");
        assert_eq!(show("é[0=fp17]", 5..9), "é[0=fp17]\n    ^^^^ wrong", "characters, not bytes");
        assert_eq!(show("k8v4[0", 6..6), "k8v4[0\n      ^ wrong", "an end has one caret");
        assert_eq!(show("a\nbc[d]", 5..6), "bc[d]\n   ^ wrong", "the line of the place");
    }

    #[test]
    fn a_place_that_is_everything_or_nowhere_is_not_drawn() {
        assert_eq!(show("fp17", 0..4), "wrong");
        assert_eq!(Place::default().show("wrong"), "wrong");
        assert_eq!(show("short", 3..9), "wrong", "outside of the text");
    }

    #[test]
    fn of_a_long_line_a_part_is_shown() {
        let text = format!("{}[x]{}", "a".repeat(5000), "b".repeat(5000));
        let shown = show(&text, 5001..5002);
        assert!(shown.lines().all(|line| line.chars().count() <= SHOWN + 6), "{shown}");
        let (line, carets) = shown.split_once('\n').expect("two lines");
        assert_eq!(line.as_bytes()[carets.find('^').expect("a caret")], b'x');
    }
}
