//! What may be meant by a name that does not exist.

use super::Registry;
use super::names::BITS;
use crate::PolicyError;
use crate::error::nearest_names;

/// Other programs' words for full precision, and the policy and the format of that here.
const WORDS: [(&str, [&str; 2]); 8] = [
    ("half", ["fp16", "f16"]),
    ("float16", ["fp16", "f16"]),
    ("bfloat16", ["bf16", "bf16"]),
    ("float", ["fp32", "f32"]),
    ("float32", ["fp32", "f32"]),
    ("full", ["fp16", "f16"]),
    ("none", ["fp16", "f16"]),
    ("fp8", ["k8v8", "q8_0"]),
];

/// What stands around the number of bits in other programs' names: `int8`, `q4`, `4bit`.
const BIT_WORDS: [&str; 10] = ["int", "uint", "i", "u", "q", "w", "b", "f", "bit", "bits"];

/// The error of a name that is no policy.
pub(super) fn unknown_policy(registry: &Registry, name: &str) -> PolicyError {
    PolicyError::Unknown { kind: "policy", name: name.to_owned(), hint: policy(registry, name) }
}

fn policy(registry: &Registry, name: &str) -> String {
    let known = |name: &str| registry.knows(name);
    let pair = || of_widths(registry, name);
    let first = lower_case(name, known).or_else(pair).or_else(|| other_words(name, 0, known));
    first.unwrap_or_else(|| {
        let policies = registry.policies.keys().map(String::as_str);
        let methods = registry.methods.keys().copied();
        nearest(name, policies.chain(methods).chain(format_names(registry)))
    })
}

/// A hint for a name that is no format.
pub(super) fn format(registry: &Registry, name: &str) -> String {
    let known = |name: &str| registry.known_format(name).is_some_and(|format| format.is_ok());
    let first = lower_case(name, known).or_else(|| other_words(name, 1, known));
    first.unwrap_or_else(|| nearest(name, format_names(registry)))
}

/// A hint for a name that is no method: a policy may be, which takes no settings.
pub(super) fn method(registry: &Registry, name: &str) -> String {
    if let Some(spec) = registry.policies.get(name).and_then(|entry| entry.spec.as_ref()) {
        return format!("{name} is {} and takes no settings", spec.digested());
    }
    if registry.knows(name) {
        return format!("{name} is no method and takes no settings");
    }
    let methods = || registry.methods.keys().copied();
    lower_case(name, |name| registry.methods.contains_key(name))
        .unwrap_or_else(|| nearest(name, methods()))
}

/// The widths that have a name, for people.
pub(super) fn widths() -> String {
    let widths: Vec<_> = BITS.iter().rev().map(|(bits, _)| bits.to_string()).collect();
    widths.join(", ")
}

fn format_names(registry: &Registry) -> impl Iterator<Item = &str> {
    let families = registry.families.iter().map(|family| family.example);
    registry.formats.keys().map(String::as_str).chain(families)
}

fn lower_case(name: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    let lower = name.to_lowercase();
    (lower != name && known(&lower)).then(|| format!("names are in lower case: {lower}"))
}

/// `k8v3`: no pair is named so, but there may be formats of these widths.
fn of_widths(registry: &Registry, name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let (keys, values) = lower.strip_prefix('k')?.split_once('v')?;
    let (keys, values): (u32, u32) = (keys.parse().ok()?, values.parse().ok()?);
    if let Ok(pair) = registry.pair_of_bits(keys, values) {
        return Some(format!("write {pair}"));
    }
    let named = |bits: u32| BITS.iter().find(|(width, _)| *width == bits);
    let next = |bits: u32| BITS.iter().rev().find(|(width, _)| *width >= bits).map(|(w, _)| *w);
    let near = next(keys).zip(next(values)).and_then(|(k, v)| registry.pair_of_bits(k, v).ok());
    let near = near.map_or(String::new(), |near| format!(", nearest {near}"));
    let side = |bits: u32| match named(bits) {
        Some((_, format)) => Some((*format).to_owned()),
        None => Some(format!("a{bits}g32")).filter(|f| registry.format(f).is_ok()),
    };
    let made = side(keys).zip(side(values)).map(|(left, right)| {
        let mut missing = vec![keys, values];
        missing.retain(|bits| named(*bits).is_none());
        missing.dedup();
        let missing: Vec<_> = missing.iter().map(u32::to_string).collect();
        format!("; {} bits: {left}:{right}", missing.join(" and "))
    });
    Some(format!(
        "keys {keys} and values {values}: widths are {}{near}{}",
        widths(),
        made.unwrap_or_default()
    ))
}

/// What another program calls `name`; `kind` is 0 for a policy and 1 for a format.
fn other_words(name: &str, kind: usize, known: impl Fn(&str) -> bool) -> Option<String> {
    let lower = name.to_lowercase();
    let word = WORDS.iter().find(|(word, _)| *word == lower).map(|(_, ours)| vec![ours[kind]]);
    let candidates = match word {
        Some(ours) => ours.into_iter().map(str::to_owned).collect(),
        None => {
            let digits = |letter: &char| letter.is_ascii_digit();
            let bits: String = lower.chars().filter(digits).collect();
            let letters: String =
                lower.chars().filter(|l| !digits(l) && !"-_".contains(*l)).collect();
            let bits = bits.parse::<u8>().ok().filter(|_| BIT_WORDS.contains(&letters.as_str()))?;
            let names = ["q#_0", ["k#v#", "q#_1"][kind], "fp#", "f#", "a#g32"];
            names.map(|name| name.replace('#', &bits.to_string())).to_vec()
        }
    };
    let there: Vec<_> = candidates.into_iter().filter(|name| known(name)).take(2).collect();
    (!there.is_empty()).then(|| there.join(" or "))
}

/// The nearest of `known`: none with a suffix, such as `-rotated`, where nobody asked for one.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let whole = |k: &&&str| {
        let shorter = k.match_indices('-').any(|(at, _)| known.contains(&&k[..at]));
        name.contains('-') || !shorter
    };
    let near = nearest_names(name, known.iter().filter(whole).copied());
    if near.is_empty() { String::new() } else { format!("nearest {}", near.join(", ")) }
}
