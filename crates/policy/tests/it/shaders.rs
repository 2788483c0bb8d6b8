//! Every WGSL source is valid, and becomes SPIR-V and Metal's language: a compile error at run
//! time is only logged, and its output reads as zeros.

use kvr_policy::kernels::attention_sources;
use naga::back::{msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::support::every_format;

/// Translates a source to SPIR-V and Metal's language, and checks what Apple's GPUs allow.
fn translate(what: &str, source: &str) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{what}: {e:?}"));
    spv::write_vec(&module, &info, &spv::Options::default(), None)
        .unwrap_or_else(|e| panic!("{what}: SPIR-V: {e}"));
    let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
    let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some()).count();
    assert!(bindings <= 8, "{what}: WebGPU guarantees 8 storage buffers, not {bindings}");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("types have layouts");
    let shared =
        module.global_variables.iter().filter(|(_, g)| g.space == naga::AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, g)| layouter[g.ty].size).sum();
    assert!(bytes <= 16 << 10, "{what}: WebGPU guarantees 16 KiB of workgroup memory, not {bytes}");
}

#[test]
fn attention_over_every_pair_of_formats_translates() {
    let formats = every_format();
    let mut seen = 0;
    for keys in &formats {
        for values in &formats {
            for head_dim in [32, 64, 96, 128, 256] {
                let fits =
                    |f: &std::sync::Arc<dyn kvr_policy::Format>| head_dim % f.layout().values == 0;
                // Every pair at the commonest size, equal ones and 8:4 at all.
                let all = keys.name() == values.name() || keys.name() == "q8_0";
                if !fits(keys) || !fits(values) || (head_dim != 64 && !all) {
                    continue;
                }
                let what = format!("{}:{} D {head_dim}", keys.name(), values.name());
                for rows in [1, 8] {
                    let sources = attention_sources(&**keys, &**values, rows, head_dim);
                    for source in &sources {
                        translate(&what, source);
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 1000, "four sources for every pair: {seen}");
}

#[test]
fn every_shader_translates_for_vulkan_and_metal() {
    let mut seen = 0;
    for format in every_format() {
        let fits = |d: &usize| d.is_multiple_of(format.layout().values);
        for head_dim in [32, 64, 96, 128, 256].into_iter().filter(fits) {
            for (operation, source) in kvr_policy::kernels::shader_sources(&*format, head_dim) {
                let what = format!("{operation} {} D {head_dim}", format.name());
                translate(&what, &source);
                seen += 1;
            }
        }
    }
    assert!(seen >= 3 * 23 * 3, "three operations in each format and most head_dims: {seen}");
}
