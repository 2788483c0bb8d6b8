//! Policies with settings in one line: `name(setting=value;…)`, nested at will.

use kvr_kernels::formats;

use crate::PolicyError;

/// Splits `name(setting=value;…)` into the name and the settings.
pub(crate) fn parse(text: &str) -> Result<(&str, toml::Table), PolicyError> {
    let broken = |problem: String| PolicyError::Settings { policy: text.to_owned(), problem };
    let inner = text.split_once('(').and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)));
    let Some((name, settings)) = inner else {
        return Err(broken("the bracket is not closed: write name(setting=value;…)".to_owned()));
    };
    let mut table = toml::Table::new();
    for setting in split(settings).map_err(broken)? {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(broken(format!("the setting '{setting}' has no '='")));
        };
        let key = key.trim().to_owned();
        if table.insert(key.clone(), self::value(value.trim())).is_some() {
            return Err(broken(format!("the setting '{key}' stands there twice")));
        }
    }
    Ok((name.trim(), table))
}

/// Splits at the semicolons that stand in no bracket.
pub(crate) fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return Err(format!("'{text}' closes a bracket that was not opened"));
        }
    }
    if depth > 0 {
        return Err(format!("'{text}' leaves a bracket open"));
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    Ok(parts)
}

/// A number or truth value where it reads as one, else text.
fn value(text: &str) -> toml::Value {
    if let Ok(number) = text.parse::<i64>() {
        return toml::Value::Integer(number);
    }
    match (text.parse::<f64>(), text.parse::<bool>()) {
        (Ok(number), _) => toml::Value::Float(number),
        (_, Ok(truth)) => toml::Value::Boolean(truth),
        _ => toml::Value::String(text.to_owned()),
    }
}

/// The inverse of [`parse`]. Long lists, such as codebooks, are cut to their length and a digest,
/// which tells two of them apart but can't be read back.
pub(crate) fn write(name: &str, settings: &toml::Table) -> String {
    let settings = settings.iter().map(|(key, value)| format!("{key}={}", written(value)));
    format!("{name}({})", settings.collect::<Vec<_>>().join(";"))
}

fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => match table.get("method").and_then(|m| m.as_str()) {
            Some(method) => {
                let mut settings = table.clone();
                settings.remove("method");
                write(method, &settings)
            }
            None => digest(value),
        },
        toml::Value::Array(list) if list.iter().all(|v| v.is_table()) && list.len() <= 128 => {
            let tables = list.iter().map(|v| {
                let fields = v.as_table().into_iter().flatten();
                fields.map(|(_, v)| written(v)).collect::<Vec<_>>().join(": ")
            });
            format!("[{}]", tables.collect::<Vec<_>>().join(", "))
        }
        toml::Value::Array(_) => digest(value),
        other => other.to_string(),
    }
}

/// The Fowler-Noll-Vo hash (FNV-1a, 64 bits) of a value's text.
fn digest(value: &toml::Value) -> String {
    format!("#{:016x}", formats::digest(value.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let text =
            "window(block=1;policy=rotate(policy=k4v4[0=fp16;last 1=k8v4]);recent=64;share=0.5)";
        let (name, table) = parse(text).expect("a policy with settings");
        assert_eq!(write(name, &table), text);
        assert_eq!(table["recent"].as_integer(), Some(64));
        assert_eq!(table["share"].as_float(), Some(0.5));
        assert_eq!(table["policy"].as_str(), Some("rotate(policy=k4v4[0=fp16;last 1=k8v4])"));
    }

    #[test]
    fn broken_brackets_are_said() {
        assert!(parse("window(recent=4").is_err());
        assert!(parse("window(recent)").is_err());
        assert!(parse("window(policy=rotate(policy=k4v4)").is_err());
        assert!(parse("window(recent=4;recent=5)").is_err());
    }
}
