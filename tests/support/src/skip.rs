//! How a test says that it did not run.
//!
//! Rust's test harness knows passed and failed. A test that returns early counts as passed, so it
//! says why on stderr, past the harness's capture, and adds a line to the file that [`REPORT`]
//! names. `cargo xtask check` names one, and prints the number of skipped tests and the reasons at
//! its end.

use std::fs::File;
use std::io::Write;

/// The environment variable that names the file of reasons.
pub const REPORT: &str = "KVR_SKIPPED";

/// Skips a test that needs a capability that few machines have, such as matrix units. The caller
/// returns.
pub fn skip(reason: &str) {
    // Errors are dropped: they must not fail a test that has nothing to do with them.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    if let Some(path) = std::env::var_os(REPORT) {
        let file = File::options().append(true).create(true).open(path);
        // One write a line: tests of several processes write at the same time.
        let _ = file.and_then(|mut file| file.write_all(format!("{reason}\n").as_bytes()));
    }
}

/// Skips a test that needs what every machine can have, such as data or a software adapter. The
/// caller returns.
///
/// # Panics
/// Where the environment has `CI=true`: there it has to be present.
pub fn skip_outside_ci(reason: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "CI=true, so this test may not be skipped: {reason}");
    skip(reason);
}
