//! The program and the hub: the environment that says where it is.

use kvr_testing::fake_hub::{Behaviour, FakeHub, repository};

use crate::support::command;

#[test]
fn the_program_reads_the_environment_that_all_hub_programs_read() {
    let fake = FakeHub::start(repository(), Behaviour { gated: true, ..Behaviour::default() });
    let out = fake.cache().join("logits.safetensors");
    let run = |token: Option<&str>, offline: &str| {
        let out = out.to_str().expect("UTF-8");
        let mut command = command(&[
            "logits",
            "--model",
            "hub:owner/name",
            "--tokens",
            "1,2",
            "--backend",
            "cpu",
            "--out",
            out,
        ]);
        command
            .env("HF_ENDPOINT", fake.endpoint())
            .env("HF_HOME", fake.cache())
            .env("HF_HUB_OFFLINE", offline);
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        command.output().expect("the program starts")
    };
    let refused = run(None, "0");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HF_TOKEN"));
    assert_eq!(
        run(Some("secret"), "1").status.code(),
        Some(2),
        "offline, and nothing in the cache"
    );
    let done = run(Some("secret"), "0");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.exists());
}
