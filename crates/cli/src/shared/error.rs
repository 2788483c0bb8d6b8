//! From errors to a message and an exit code.

use kvr_eval::EvalError;
use kvr_eval::record::Record;
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

/// What every message begins with.
const PROGRAM: &str = "kvr: ";

/// The message on one line; on more, under each other, where it points at a place in a text.
pub(crate) fn message(failure: &anyhow::Error) -> String {
    let text = format!("{failure:#}");
    let points = failure.chain().any(|cause| {
        let policy = match cause.downcast_ref() {
            Some(EvalError::Policy(error)) => Some(error),
            _ => cause.downcast_ref(),
        };
        matches!(policy, Some(PolicyError::Spec { .. } | PolicyError::File { .. }))
    });
    let separator =
        if points { format!("\n{}", " ".repeat(PROGRAM.len())) } else { " ".to_owned() };
    let lines = text.lines().map(|line| match points {
        true => line.trim_end().to_owned(),
        false => line.split_whitespace().collect::<Vec<_>>().join(" "),
    });
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    format!("{PROGRAM}{}", lines.join(&separator))
}

/// The records among the results of policies, and why others have none.
pub(crate) fn split(results: Vec<Result<Record, EvalError>>) -> (Vec<Record>, Vec<EvalError>) {
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(record) => records.push(record),
            Err(failure) => failures.push(failure),
        }
    }
    (records, failures)
}

/// Fails where anything did, after what succeeded was shown: says every failure, and exits as the
/// last one asks.
pub(crate) fn all(mut failures: Vec<EvalError>) -> anyhow::Result<()> {
    let Some(last) = failures.pop() else { return Ok(()) };
    for failure in failures {
        eprintln!("{}", message(&failure.into()));
    }
    Err(last.into())
}

/// 2 for the user's mistakes, 1 for failures of the machine.
pub(crate) fn exit_code(failure: &anyhow::Error) -> u8 {
    let device = failure.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(EvalError::Device(_) | EvalError::NotANumber { .. }))
            || matches!(cause.downcast_ref(), Some(PolicyError::Kernel(KernelError::Device(_))))
    });
    let known = failure.is::<Usage>()
        || failure.is::<EvalError>()
        || failure.is::<ModelError>()
        || failure.is::<PolicyError>();
    if known && !device { 2 } else { 1 }
}
