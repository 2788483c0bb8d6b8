//! `kvr doctor`: what a bug report should contain.

use kvr_kernels::MatrixUnits;
use kvr_models::Hub;

use crate::shared::backend::{adapter, describe, processor};
use crate::shared::output::write_out;
use crate::shared::provenance;

pub(crate) fn run() -> anyhow::Result<()> {
    let hub = Hub::from_env();
    let dirty = if provenance::dirty() { ", changed since" } else { "" };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let adapter = match adapter() {
        Ok((_, adapter)) => {
            let info = adapter.get_info();
            let units = match MatrixUnits::of(&adapter) {
                Some(_) => "with matrix units",
                None => "no matrix units that attention can use",
            };
            format!("{}, {:?}, {units}", describe(&info), info.device_type)
        }
        Err(why) => format!("none ({why}); Debian: apt-get install mesa-vulkan-drivers"),
    };
    // `V4(…)`: the name of the instruction set, without the proof that it is there.
    let simd = format!("{:?}", pulp::Arch::new());
    let simd = simd.split('(').next().unwrap_or_default();
    let lines = [
        ("kvr", format!("{} (revision {}{dirty})", env!("CARGO_PKG_VERSION"), provenance::GIT_REV)),
        ("burn", provenance::BURN_VERSION.to_owned()),
        ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("cpu", format!("{}, {threads} threads, SIMD level {simd}", processor())),
        ("wgpu adapter", adapter),
        ("hub", format!("{}{}", hub.endpoint, if hub.offline { " (offline)" } else { "" })),
        ("hub cache", hub.cache.display().to_string()),
        ("hub token", if hub.token.is_some() { "set" } else { "not set" }.to_owned()),
    ];
    let text: String = lines.iter().map(|(what, value)| format!("{what:<14}{value}\n")).collect();
    write_out(&text)
}
