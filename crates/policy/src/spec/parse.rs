//! The one parser of names: recursive descent, errors with the place that they mean.

use std::str::FromStr;
use std::sync::Arc;

use super::cursor::{Cursor, too_deep};
use super::{Argument, MAX_DEPTH, PolicySpec, Rule, Tree, Value, Word};
use crate::PolicyError;

/// A word that reads as a number or a truth value.
pub(super) fn literal(word: &str) -> Option<Value> {
    match word {
        "true" => return Some(Value::Boolean(true)),
        "false" => return Some(Value::Boolean(false)),
        _ => {}
    }
    let digits = word.trim_start_matches(['+', '-']).trim_start_matches('.');
    // `inf` and `nan` are names.
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let whole = word.parse().map(Value::Integer).ok();
    whole.or_else(|| word.parse().map(Value::Float).ok())
}

/// Splits a list of names at the commas that stand in no bracket and no quotes.
pub fn split_names(text: &str) -> Vec<&str> {
    let (mut names, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0usize, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                names.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    names.push(text[start..].trim());
    names
}

impl FromStr for PolicySpec {
    type Err = PolicyError;

    /// # Errors
    /// With the place in `text` that can't be understood.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text: Arc<str> = text.into();
        let mut parser = Cursor::new(&text);
        let spec = parser.policy()?;
        parser.end()?;
        match spec.depth() {
            0..=MAX_DEPTH => Ok(spec),
            _ => Err(too_deep(spec.place)),
        }
    }
}

impl FromStr for Value {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text: Arc<str> = text.into();
        let mut parser = Cursor::new(&text);
        let value = parser.value()?;
        parser.end().map(|()| value)
    }
}

impl Cursor<'_> {
    fn policy(&mut self) -> Result<PolicySpec, PolicyError> {
        self.deeper(|parser| {
            let start = parser.here().start;
            let tree = match parser.quoted()? {
                Some(file) if file.text.ends_with(".toml") => file_of(file.text),
                Some(text) => {
                    let problem = format!("text in quotes is no policy: write {}", text.text);
                    return Err(PolicyError::Spec { place: text.place, problem });
                }
                None => {
                    let word = parser.word();
                    parser.named(word)?
                }
            };
            parser.rules(start, tree)
        })
    }

    /// The policy that begins with `word`.
    fn named(&mut self, word: Word) -> Result<Tree, PolicyError> {
        let range = self.at - word.text.len()..self.at;
        if word.text.is_empty() {
            let here = self.here();
            return self.fail(here, "a policy is missing here");
        }
        let settings = self.peek() == Some('(');
        if word.text.ends_with(".toml") {
            return match settings {
                false => Ok(file_of(word.text)),
                true => self.fail(range, "a file takes no settings: write them into it"),
            };
        }
        if let Some((keys, values)) = word.text.split_once(':') {
            if settings {
                return self.fail(range, "a pair of formats takes no settings");
            }
            let (left, right) = (keys.trim_end(), values.trim_start());
            if left.is_empty() || right.is_empty() || right.contains(':') {
                return self
                    .fail(range, "a pair is <key format>:<value format>, such as q5_1:q4_0");
            }
            let word = |text: &str, start: usize| Word {
                text: text.to_owned(),
                place: self.place(start..start + text.len()),
            };
            let keys = word(left, range.start);
            return Ok(Tree::Pair { keys, values: word(right, range.end - right.len()) });
        }
        if !settings {
            return Ok(Tree::Name(word.text));
        }
        let arguments = self.items([')', ';'], Self::argument)?;
        Ok(Tree::Method { name: word, arguments })
    }

    /// The brackets with rules behind a policy.
    fn rules(&mut self, start: usize, tree: Tree) -> Result<PolicySpec, PolicyError> {
        let mut spec = PolicySpec { tree, place: self.place(start..self.at) };
        for behind in 0.. {
            let open = self.here();
            if self.peek() != Some('[') {
                break;
            }
            if behind == MAX_DEPTH {
                return Err(too_deep(self.place(open)));
            }
            let rules = self.items([']', ';'], Self::rule)?;
            if rules.is_empty() {
                return self
                    .fail(open.start..self.at, "a rule is missing: write [selector=policy]");
            }
            let tree = Tree::ByLayer { base: Box::new(spec), rules };
            spec = PolicySpec { tree, place: self.place(start..self.at) };
        }
        Ok(spec)
    }

    fn rule(&mut self, _: &[Rule]) -> Result<Rule, PolicyError> {
        let here = self.here();
        let Some(select) = self.key()? else {
            let word = self.word();
            let range = if word.text.is_empty() { here } else { here.start..self.at };
            let problem = format!("the rule '{}' has no '=': write selector=policy", word.text);
            return self.fail(range, problem);
        };
        let place = select.place;
        let select = select.text.parse();
        let select = select.map_err(|problem| PolicyError::Spec { place, problem })?;
        Ok(Rule { select, policy: self.policy()? })
    }

    fn argument(&mut self, before: &[Argument]) -> Result<Argument, PolicyError> {
        let start = self.here().start;
        let setting = self.key()?;
        if let Some(name) = &setting {
            let twice =
                |other: &Argument| other.setting.as_ref().is_some_and(|s| s.text == name.text);
            if before.iter().any(twice) {
                let problem = format!("the setting '{}' is given twice", name.text);
                return Err(PolicyError::Spec { place: name.place.clone(), problem });
            }
        }
        let from = self.here().start;
        let value = self.value()?;
        let policy = matches!(value, Value::Policy(_));
        if setting.is_none() && !(policy && before.is_empty()) {
            let text = &self.text[start..self.at];
            let problem = match before.is_empty() {
                true => format!(
                    "{text} is no policy, and only a policy needs no name: write setting={text}"
                ),
                false => format!("the setting '{text}' has no '=': write setting=value"),
            };
            return self.fail(start..self.at, problem);
        }
        Ok(Argument { setting, value, place: self.place(from..self.at) })
    }

    fn value(&mut self) -> Result<Value, PolicyError> {
        match self.peek() {
            Some('[') => self.deeper(|parser| {
                parser.items([']', ','], |parser, _| parser.value()).map(Value::List)
            }),
            Some('{') => {
                self.deeper(|parser| parser.items(['}', ';'], Self::field).map(Value::Table))
            }
            Some('"') => {
                let start = self.at;
                let text = self.quoted()?.unwrap_or_else(|| Word::from(""));
                if !text.text.ends_with(".toml") {
                    return Ok(Value::Text(text.text));
                }
                self.at = start;
                self.policy().map(Value::Policy)
            }
            _ => {
                let (start, word) = (self.at, self.word());
                let alone = !matches!(self.peek(), Some('(' | '['));
                match literal(&word.text).filter(|_| alone) {
                    Some(Value::Float(number)) if !number.is_finite() => {
                        let problem = format!("{} is beyond the largest number", word.text);
                        Err(PolicyError::Spec { place: word.place, problem })
                    }
                    Some(value) => Ok(value),
                    None if word.text.is_empty() && alone => {
                        let here = self.here();
                        self.fail(here, "a value is missing here")
                    }
                    None => {
                        self.at = start;
                        self.policy().map(Value::Policy)
                    }
                }
            }
        }
    }

    fn field(&mut self, before: &[(String, Value)]) -> Result<(String, Value), PolicyError> {
        let here = self.here();
        let Some(key) = self.key()? else {
            return self.fail(here, "a table is {name=value;…}: '=' is missing");
        };
        if before.iter().any(|(name, _)| *name == key.text) {
            let problem = format!("'{}' is given twice", key.text);
            return Err(PolicyError::Spec { place: key.place, problem });
        }
        Ok((key.text, self.value()?))
    }
}

fn file_of(path: String) -> Tree {
    Tree::File { path, says: None }
}
