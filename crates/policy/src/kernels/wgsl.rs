//! WGSL sources, put together from a format, an operation and the sizes of a page, and their launch.

use std::collections::HashMap;
use std::sync::Arc;

use burn::cubecl::prelude::*;
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_wgpu::{CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::Format;
use crate::kernels::PageShape;

/// Invocations in one workgroup: a multiple of every adapter's subgroup, far below every limit.
const GROUP: u32 = 64;

/// Workgroups along x before y is used; WebGPU guarantees 65,535 on each axis.
const ROW_OF_GROUPS: u32 = 32_768;

/// The operations that exist in WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Append,
    Dequantise,
    Gather,
    Attend,
    AttendTiles,
    AttendMatrices,
    Merge,
}

impl Kernel {
    pub(super) fn body(self) -> &'static str {
        match self {
            Self::Append => include_str!("append/kernel.wgsl"),
            Self::Dequantise => include_str!("dequantise/kernel.wgsl"),
            Self::Gather => include_str!("gather/kernel.wgsl"),
            Self::Attend => include_str!("attend/gpu/partial.wgsl"),
            Self::AttendTiles => include_str!("attend/gpu/tiles.wgsl"),
            Self::AttendMatrices => include_str!("attend/gpu/matrix.wgsl"),
            Self::Merge => include_str!("attend/gpu/merge.wgsl"),
        }
    }
}

/// One operation on formats and a page shape; equal keys share a compiled pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) kernel: Kernel,
    pub(super) formats: String,
    pub(super) page: PageShape,
}

/// A program's text is made when it is compiled, so once for each key.
struct Source<F> {
    key: Key,
    text: F,
}

impl<F: Fn() -> String + Send + Sync + 'static> KernelSource for Source<F> {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new((self.text)())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Key>().info(self.key.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The whole WGSL text, or `None` where the format has no GPU twin. `gather` moves rows of any
/// format and names none.
fn text(kernel: Kernel, format: Option<&dyn Format>, page: PageShape) -> Option<String> {
    let unit = page.rows_per_unit();
    let mut constants = vec![
        ("GROUP", GROUP as usize),
        ("HEADS", page.batch * page.heads),
        ("CAPACITY", page.capacity),
        ("HEAD_DIM", page.head_dim),
        ("ROW_WORDS", page.words),
        ("SCALES", page.scales),
        ("UNIT", unit),
        ("UNIT_SCALES", (unit * page.scales).max(2)),
    ];
    if let Some(layout) = format.map(|format| format.layout()) {
        constants.extend([
            ("BLOCKS", page.head_dim / layout.values),
            ("VALUES", layout.values),
            ("WORDS", layout.code_words),
            ("BLOCK_SCALES", layout.scales),
        ]);
    }
    let mut text: String =
        constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
    if let Some(format) = format {
        text.push_str(include_str!("prelude.wgsl"));
        text.push_str(&format.wgsl()?);
    }
    text.push_str(kernel.body());
    Some(text)
}

/// A plane that a kernel may write: a page that someone else holds too is copied first, as on the
/// CPU.
pub(super) fn own(plane: CubeTensor) -> CubeTensor {
    if plane.can_mut() { plane } else { plane.copy() }
}

/// Every WGSL source for one format and head_dim, by operation: what a test validates.
pub fn shader_sources(format: &dyn Format, head_dim: usize) -> Vec<(&'static str, String)> {
    let page = PageShape::new(format.layout(), 1, 2, 256, head_dim);
    [("append", Kernel::Append), ("dequantise", Kernel::Dequantise), ("gather", Kernel::Gather)]
        .into_iter()
        .filter_map(|(name, kernel)| Some((name, text(kernel, Some(format), page)?)))
        .collect()
}

/// Checks every source of a format: the runtime only logs an error of the shader compiler, and the
/// cache would read as zeros.
///
/// # Errors
/// What the compiler says, or that the format has no WGSL.
pub(crate) fn validate(format: &dyn Format, head_dim: usize) -> Result<(), String> {
    let sources = shader_sources(format, head_dim);
    if sources.is_empty() {
        return Err("it has no WGSL".to_owned());
    }
    for (operation, source) in sources {
        check(&source).map_err(|e| format!("{operation}: {e}"))?;
    }
    Ok(())
}

/// What sources may use; those for matrix units run only where an adapter has these.
const CAPABILITIES: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32
    .union(Capabilities::SHADER_FLOAT16)
    .union(Capabilities::SUBGROUP)
    .union(Capabilities::COOPERATIVE_MATRIX);

/// Checks one source; what is wrong with it in naga's words.
pub(super) fn check(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    Validator::new(ValidationFlags::all(), CAPABILITIES)
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok(())
}

/// Runs a kernel over `buffers` with the words of `info` as its last binding.
pub(super) fn launch(
    kernel: Kernel,
    format: Option<Arc<dyn Format>>,
    page: PageShape,
    buffers: &[&CubeTensor],
    info: &[u32],
    invocations: usize,
) {
    let formats = format.as_ref().map_or(String::new(), |format| format.name().to_owned());
    let text = move || {
        text(kernel, format.as_deref(), page)
            .expect("PackedCache::new refuses formats without WGSL on a GPU")
    };
    let groups = (invocations as u32).div_ceil(GROUP);
    let count = [groups.min(ROW_OF_GROUPS), groups.div_ceil(ROW_OF_GROUPS), 1];
    submit(Key { kernel, formats, page }, text, buffers, info, (count, GROUP));
}

/// Runs the program of a key with `count` workgroups of `group` invocations each.
pub(super) fn submit(
    key: Key,
    text: impl Fn() -> String + Send + Sync + 'static,
    buffers: &[&CubeTensor],
    info: &[u32],
    ([x, y, z], group): ([u32; 3], u32),
) {
    let words = info
        .chunks(2)
        .map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
    let arguments = KernelArguments::new()
        .with_buffers(buffers.iter().map(|b| b.handle.clone().binding()).collect())
        .with_info(MetadataBindingInfo::custom(words.collect()));
    buffers[0].client.launch(
        Box::new(SourceKernel::new(Source { key, text }, CubeDim::new_1d(group))),
        CubeCount::Static(x, y, z),
        arguments,
    );
}

/// A format's text with a prefix before every function and constant that it declares, so that two
/// formats can stand in one program.
pub(super) fn prefixed(text: &str, prefix: &str) -> String {
    let mut own = vec!["VALUES", "WORDS"];
    for keyword in ["fn ", "const "] {
        own.extend(text.split(keyword).skip(1).filter_map(|rest| {
            let end = rest.find(|c| !is_word(c))?;
            (end > 0).then_some(&rest[..end])
        }));
    }
    map_words(text, |word| own.contains(&word).then(|| format!("{prefix}{word}")))
}

/// Loops of at most this many rounds are written out.
const UNROLL: u32 = 32;

/// Writes out loops `for (var i = 0u; i < BOUND; i++) { … }` whose bound is a small constant, so that
/// arrays are indexed by constants and stay in registers: shader compilers do not unroll loops that
/// carry the runtime's guard against endless ones.
pub(super) fn unroll(text: &str) -> String {
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
    let rounds = rounds(header, constants).filter(|(_, first, bound)| bound - first <= UNROLL);
    let written = match rounds {
        Some((name, first, bound)) => (first..bound)
            .map(|i| format!("{{{}}}\n", replace_word(&body, name, &format!("{i}u"))))
            .collect(),
        None => format!("{header}{{{body}}}"),
    };
    format!("{before}{written}{after}")
}

/// Name, first value and bound of a loop that counts up by one between constants.
fn rounds<'a>(header: &'a str, constants: &HashMap<&str, u32>) -> Option<(&'a str, u32, u32)> {
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

/// Every word of a text that `replacement` answers for, replaced; a word behind a dot is a member of
/// something and stays.
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
    fn small_loops_are_written_out_and_others_stay() {
        let text = "const R: u32 = 2u;\nfor (var i = 0u; i < R; i++) { for (var j = 1u; j < R * 2; j++) { x[i] += j; } }\nfor (var t = local; t < R; t += 9u) { y; }";
        let want = "const R: u32 = 2u;\n{ { x[0u] += 1u; }\n{ x[0u] += 2u; }\n{ x[0u] += 3u; }\n }\n{ { x[1u] += 1u; }\n{ x[1u] += 2u; }\n{ x[1u] += 3u; }\n }\n\nfor (var t = local; t < R; t += 9u) { y; }";
        assert_eq!(unroll(text), want);
    }

    #[test]
    fn own_names_are_prefixed_and_others_are_not() {
        let text =
            "const TOP: u32 = 1u;\nfn put(x: u32) -> u32 { return min(TOP, x.put) + VALUES; }";
        let want = "const k_TOP: u32 = 1u;\nfn k_put(x: u32) -> u32 { return min(k_TOP, x.put) + k_VALUES; }";
        assert_eq!(prefixed(text, "k_"), want);
    }
}
