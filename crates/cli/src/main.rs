//! The `kvr` program: the command line over the built-in policies.

fn main() -> std::process::ExitCode {
    kvr_cli::run(kvr_policy::Registry::builtin())
}
