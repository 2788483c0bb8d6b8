//! A text that is read from left to right, and the errors that point into it.

use std::ops::Range;
use std::sync::Arc;

use super::{MAX_DEPTH, Word};
use crate::{Place, PolicyError};

/// Characters that no plain word has.
const SPECIAL: [char; 10] = ['(', ')', '[', ']', '{', '}', ';', ',', '=', '"'];

/// Whether `text` can stand without quotes.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(SPECIAL)
}

/// The error of a name with too much inside itself.
pub(crate) fn too_deep(place: Place) -> PolicyError {
    let problem = format!("more than {MAX_DEPTH} policies inside each other");
    PolicyError::Spec { place, problem: format!("{problem}: name an inner one with less in it") }
}

/// Where reading has come to.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a Arc<str>,
    pub(super) at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a Arc<str>) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(super) fn place(&self, range: Range<usize>) -> Place {
        Place::new(self.text, range)
    }

    pub(super) fn fail<T>(
        &self,
        range: Range<usize>,
        problem: impl Into<String>,
    ) -> Result<T, PolicyError> {
        Err(PolicyError::Spec { place: self.place(range), problem: problem.into() })
    }

    /// The next character that is no space.
    pub(super) fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    pub(super) fn eat(&mut self, letter: char) -> bool {
        let there = self.peek() == Some(letter);
        self.at += if there { letter.len_utf8() } else { 0 };
        there
    }

    /// The bytes of the next character, none at the end.
    pub(super) fn here(&mut self) -> Range<usize> {
        let length = self.peek().map_or(0, char::len_utf8);
        self.at..self.at + length
    }

    pub(super) fn end(&mut self) -> Result<(), PolicyError> {
        let here = self.here();
        match self.peek() {
            None => Ok(()),
            Some(letter @ (')' | ']' | '}')) => {
                self.fail(here, format!("'{letter}' closes a bracket that was not opened"))
            }
            Some('=') => {
                self.fail(here, "'=' stands in the brackets of a method: name(setting=value)")
            }
            Some(letter) => self.fail(here, format!("unexpected '{letter}' after a policy")),
        }
    }

    /// Runs `read` one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, PolicyError>,
    ) -> Result<T, PolicyError> {
        if self.depth == MAX_DEPTH {
            let here = self.here();
            return Err(too_deep(self.place(here)));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    /// A plain word, which may be empty.
    pub(super) fn word(&mut self) -> Word {
        self.peek();
        let rest = &self.text[self.at..];
        let run = rest[..rest.find(SPECIAL).unwrap_or(rest.len())].trim_end();
        let range = self.at..self.at + run.len();
        self.at = range.end;
        Word { text: run.to_owned(), place: self.place(range) }
    }

    /// Text in quotes, if it begins here.
    pub(super) fn quoted(&mut self) -> Result<Option<Word>, PolicyError> {
        let start = self.here();
        if !self.eat('"') {
            return Ok(None);
        }
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find('"') else {
                return self.fail(start, "these quotes are not closed");
            };
            text.push_str(&rest[..end]);
            self.at += end + 1;
            if !self.text[self.at..].starts_with('"') {
                let place = self.place(start.start..self.at);
                return Ok(Some(Word { text, place }));
            }
            text.push('"');
            self.at += 1;
        }
    }

    /// The word before a `=`; nothing is read where there is none.
    pub(super) fn key(&mut self) -> Result<Option<Word>, PolicyError> {
        let start = self.at;
        let key = match self.quoted()? {
            Some(key) => key,
            None => self.word(),
        };
        if self.peek() == Some('=') {
            if key.text.is_empty() {
                let here = self.here();
                return self.fail(here, "the name of a setting is missing before '='");
            }
            self.at += 1;
            return Ok(Some(key));
        }
        self.at = start;
        Ok(None)
    }

    /// What stands between brackets, the first of which is next.
    pub(super) fn items<T>(
        &mut self,
        [close, separator]: [char; 2],
        mut item: impl FnMut(&mut Self, &[T]) -> Result<T, PolicyError>,
    ) -> Result<Vec<T>, PolicyError> {
        let open = self.here();
        self.at = open.end;
        let mut items = Vec::new();
        while !self.eat(close) {
            if self.peek().is_none() {
                return self
                    .fail(open, format!("this bracket is not closed: '{close}' is missing"));
            }
            let next = item(self, &items)?;
            items.push(next);
            let here = self.here();
            match self.peek() {
                Some(letter) if letter == separator => self.at = here.end,
                Some(letter) if letter == close => {}
                None => {
                    let problem = format!("this bracket is not closed: '{close}' is missing");
                    return self.fail(open, problem);
                }
                Some(letter @ (',' | ';')) => {
                    let problem = format!("'{separator}' belongs here, not '{letter}'");
                    return self.fail(here, problem);
                }
                Some(letter) => {
                    let problem =
                        format!("unexpected '{letter}': '{separator}' or '{close}' belongs here");
                    return self.fail(here, problem);
                }
            }
        }
        Ok(items)
    }
}
