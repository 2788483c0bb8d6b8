//! Every WGSL source is valid, and becomes SPIR-V and Metal's language: a compile error at run
//! time is only logged, and its output reads as zeros.

use kvr_kernels::MatrixUnits;
use kvr_kernels::attention::sources as attention_sources;
use kvr_kernels::paged::shader_sources;
use naga::back::{msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::support::every_format;

/// Translates a source to SPIR-V and Metal's language, and checks what Apple's GPUs allow.
fn translate(what: &str, source: &str) {
    translate_with(what, source, Capabilities::SHADER_FLOAT16_IN_FLOAT32, 16 << 10);
}

fn translate_with(what: &str, source: &str, capabilities: Capabilities, workgroup: u32) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{what}: {e:?}"));
    spv::write_vec(&module, &info, &spv::Options::default(), None)
        .unwrap_or_else(|e| panic!("{what}: SPIR-V: {e}"));
    let lang_version = (3, 0);
    let options = msl::Options { lang_version, fake_missing_bindings: true, ..Default::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
    let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some()).count();
    assert!(bindings <= 8, "{what}: WebGPU guarantees 8 storage buffers, not {bindings}");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("types have layouts");
    let shared =
        module.global_variables.iter().filter(|(_, g)| g.space == naga::AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, g)| layouter[g.ty].size).sum();
    assert!(bytes <= workgroup, "{what}: {workgroup} bytes of workgroup memory, not {bytes}");
}

/// What Apple's and NVIDIA's GPUs with matrix units have: 8 and 16 square, subgroups of 32, 32 KiB.
#[test]
fn attention_on_matrix_units_translates() {
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SUBGROUP
        | Capabilities::COOPERATIVE_MATRIX;
    let mut seen = 0;
    for format in every_format() {
        for head_dim in [64, 80, 128, 256] {
            // f32 stays f32, and what has no packing is read as f32.
            let reads = format.name() != "f32" && format.packing().is_some();
            if head_dim % format.layout().values != 0 || !reads {
                continue;
            }
            for (tile, rows) in [(8, 16), (8, 100), (16, 16), (16, 100)] {
                let units = Some(MatrixUnits::with(tile, 32));
                let [source, _] = attention_sources(&*format, &*format, rows, head_dim, units);
                assert!(source.contains("coopMultiplyAdd"), "{} D {head_dim}", format.name());
                let what = format!("{} D {head_dim} on {tile}", format.name());
                translate_with(&what, &source, capabilities, 32 << 10);
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "four sources for every format and size: {seen}");
}

#[test]
fn attention_over_every_pair_of_formats_translates() {
    let formats = every_format();
    let mut seen = 0;
    for keys in &formats {
        for values in &formats {
            for head_dim in [32, 64, 96, 128, 256] {
                let fits =
                    |f: &std::sync::Arc<dyn kvr_kernels::Format>| head_dim % f.layout().values == 0;
                // Every pair at the commonest size, equal ones and 8:4 at all; what has no packing
                // is read as f32.
                if keys.packing().is_none() || values.packing().is_none() {
                    continue;
                }
                let all = keys.name() == values.name() || keys.name() == "q8_0";
                if !fits(keys) || !fits(values) || (head_dim != 64 && !all) {
                    continue;
                }
                let what = format!("{}:{} D {head_dim}", keys.name(), values.name());
                for rows in [1, 8, 64] {
                    let sources = attention_sources(&**keys, &**values, rows, head_dim, None);
                    for source in &sources {
                        translate(&what, source);
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 1000, "six sources for every pair: {seen}");
}

#[test]
fn every_shader_translates_for_vulkan_and_metal() {
    let mut seen = 0;
    for format in every_format() {
        let fits = |d: &usize| d.is_multiple_of(format.layout().values);
        for head_dim in [32, 64, 96, 128, 256].into_iter().filter(fits) {
            for (operation, source) in shader_sources(&*format, head_dim) {
                let what = format!("{operation} {} D {head_dim}", format.name());
                translate(&what, &source);
                seen += 1;
            }
        }
    }
    assert!(seen >= 3 * 23 * 3, "three operations in each format and most head_dims: {seen}");
}
