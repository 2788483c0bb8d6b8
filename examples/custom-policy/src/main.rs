//! The program: everything that `kvr` does, with the policies of this crate.

fn main() -> Result<std::process::ExitCode, kvr_policy::PolicyError> {
    Ok(kvr_cli::run(custom_policy::registry()?))
}
