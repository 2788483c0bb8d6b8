//! Every WGSL source is valid, and becomes SPIR-V and Metal's language: a compile error at run
//! time is only logged, and its output reads as zeros.

use naga::back::{msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::support::every_format;

#[test]
fn every_shader_translates_for_vulkan_and_metal() {
    let mut seen = 0;
    for format in every_format() {
        let fits = |d: &usize| d.is_multiple_of(format.layout().values);
        for head_dim in [32, 64, 96, 128, 256].into_iter().filter(fits) {
            for (operation, source) in kvr_policy::kernels::shader_sources(&*format, head_dim) {
                let what = format!("{operation} {} D {head_dim}", format.name());
                let module = naga::front::wgsl::parse_str(&source)
                    .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&source)));
                let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{what}: {e:?}"));
                spv::write_vec(&module, &info, &spv::Options::default(), None)
                    .unwrap_or_else(|e| panic!("{what}: SPIR-V: {e}"));
                let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
                msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
                    .unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
                let bindings =
                    module.global_variables.iter().filter(|(_, g)| g.binding.is_some()).count();
                assert!(
                    bindings <= 8,
                    "{what}: WebGPU guarantees 8 storage buffers, not {bindings}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 3 * 23 * 3, "three operations in each format and most head_dims: {seen}");
}
