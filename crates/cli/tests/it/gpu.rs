//! The whole program on wgpu, on whatever adapter there is; software Vulkan in CI.

use kvr_testing::skip_outside_ci;
use serde_json::Value;

use crate::support::{command, stdout};

fn has_adapter() -> bool {
    let found =
        !stdout(&["doctor"]).lines().any(|l| l.starts_with("wgpu adapter") && l.contains("none ("));
    if !found {
        skip_outside_ci("no Vulkan or Metal adapter (Debian: mesa-vulkan-drivers)");
    }
    found
}

#[test]
fn the_gpu_gives_the_numbers_of_the_cpu() {
    if !has_adapter() {
        return;
    }
    // A value that rounds the other way moves all that follows, so few tokens differ by more than
    // many do; two thousand are enough for the bound.
    let run = |backend: &str| -> Vec<f64> {
        let json = stdout(&[
            "eval",
            "--backend",
            backend,
            "--policy",
            "fp16,k8v4",
            "--ctx",
            "512",
            "--chunks",
            "4",
            "--format",
            "json",
        ]);
        let records: Vec<Value> = serde_json::from_str(&json).expect("JSON");
        assert!(records.iter().all(|r| r["backend"] == backend));
        records.iter().map(|r| r["perplexity"].as_f64().expect("a number")).collect()
    };
    for (cpu, gpu) in run("cpu").iter().zip(run("wgpu")) {
        assert!((gpu / cpu - 1.0).abs() <= 2e-4, "cpu {cpu}, wgpu {gpu}");
    }
}

#[test]
fn without_an_adapter_wgpu_is_refused_and_auto_takes_the_cpu() {
    if cfg!(target_os = "macos") {
        return; // Metal can't be hidden.
    }
    let hidden = |args: &[&str]| {
        let mut command = command(args);
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        command
            .env("LIBGL_DRIVERS_PATH", "/nonexistent")
            .env("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent");
        command.output().expect("the program starts")
    };
    let small = ["eval", "--policy", "k8v4", "--ctx", "64", "--chunks", "2", "--backend"];
    let output = hidden(&[&small[..], &["wgpu"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("mesa-vulkan-drivers"), "{stderr}");
    let output = hidden(&[&small[..], &["auto"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("backend: cpu"), "{stderr}");
}
