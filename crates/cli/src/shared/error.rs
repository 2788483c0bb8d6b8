//! From errors to one line and an exit code.

use kvr_eval::EvalError;
use kvr_kernels::KernelError;
use kvr_models::ModelError;
use kvr_policy::PolicyError;

/// A mistake that only the command line can know of.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The message without line breaks.
pub(crate) fn one_line(failure: &anyhow::Error) -> String {
    format!("{failure:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// 2 for the user's mistakes, 1 for failures of the machine.
pub(crate) fn exit_code(failure: &anyhow::Error) -> u8 {
    let device = failure.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(EvalError::Device(_)))
            || matches!(cause.downcast_ref(), Some(PolicyError::Kernel(KernelError::Device(_))))
    });
    let known = failure.is::<Usage>()
        || failure.is::<EvalError>()
        || failure.is::<ModelError>()
        || failure.is::<PolicyError>();
    if known && !device { 2 } else { 1 }
}
