//! WGSL sources, put together from a format, an operation and the sizes of a page, and their launch.

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
    Merge,
}

impl Kernel {
    pub(super) fn body(self) -> &'static str {
        match self {
            Self::Append => include_str!("append/kernel.wgsl"),
            Self::Dequantise => include_str!("dequantise/kernel.wgsl"),
            Self::Gather => include_str!("gather/kernel.wgsl"),
            Self::Attend => include_str!("attend/partial.wgsl"),
            Self::Merge => include_str!("attend/merge.wgsl"),
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

/// Checks one source; what is wrong with it in naga's words.
pub(super) fn check(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok(())
}

/// Runs a kernel over `buffers` with the words of `info` as its last binding.
pub(super) fn launch(
    kernel: Kernel,
    format: Option<&dyn Format>,
    page: PageShape,
    buffers: &[&CubeTensor],
    info: &[u32],
    invocations: usize,
) {
    let text =
        text(kernel, format, page).expect("PackedCache::new refuses formats without WGSL on a GPU");
    let formats = format.map_or(String::new(), |format| format.name().to_owned());
    let groups = (invocations as u32).div_ceil(GROUP);
    let count = [groups.min(ROW_OF_GROUPS), groups.div_ceil(ROW_OF_GROUPS), 1];
    submit(Key { kernel, formats, page }, move || text.clone(), buffers, info, (count, GROUP));
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
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut own = vec!["VALUES", "WORDS"];
    for keyword in ["fn ", "const "] {
        own.extend(text.split(keyword).skip(1).filter_map(|rest| {
            let end = rest.find(|c| !is_word(c))?;
            (end > 0).then_some(&rest[..end])
        }));
    }
    let mut out = String::with_capacity(text.len() + 512);
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        out.push_str(&rest[..start]);
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        // A word behind a dot is a member of something else.
        if own.contains(&word) && !out.ends_with('.') {
            out.push_str(prefix);
        }
        out.push_str(word);
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_prefixed_and_others_are_not() {
        let text =
            "const TOP: u32 = 1u;\nfn put(x: u32) -> u32 { return min(TOP, x.put) + VALUES; }";
        let want = "const k_TOP: u32 = 1u;\nfn k_put(x: u32) -> u32 { return min(k_TOP, x.put) + k_VALUES; }";
        assert_eq!(prefixed(text, "k_"), want);
    }
}
