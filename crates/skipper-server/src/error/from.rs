//! What the crates below say, as errors of the verbs.

use skipper_engine::Failure;
use skipper_source::Faults;
use skipper_store::Error as StoreError;

use super::{Code, Error};

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = code_of(&error);
        let hint = error.hint();
        let rollout = match &error {
            StoreError::Busy { rollout, .. } | StoreError::NotCancellable { rollout, .. } => Some(*rollout),
            _ => None,
        };
        let detail = match code {
            // The sentences of these name files, statements and drivers: for the log.
            Code::Internal => return Self::internal(error),
            Code::StoreUnavailable if matches!(error, StoreError::ReadOnly { .. }) => error.to_string(),
            Code::StoreUnavailable => "the store does not answer right now".to_owned(),
            _ => error.to_string(),
        };
        let mut mapped = Self::new(code, detail);
        if let Some(hint) = hint {
            mapped = mapped.hint(hint);
        }
        if let Some(rollout) = rollout {
            mapped = mapped.rollout(rollout);
        }
        mapped.because(error)
    }
}

fn code_of(error: &StoreError) -> Code {
    match error {
        StoreError::NotFound { kind, .. } => match *kind {
            "release" => Code::ReleaseNotFound,
            "revision" => Code::RevisionNotFound,
            "rollout" => Code::RolloutNotFound,
            "package" => Code::PackageNotFound,
            "repository" => Code::RepositoryNotFound,
            // A listed one is asked for by name only where it is removed; one that a spec names is `SecretMissing`.
            "secret" => Code::SecretNotFound,
            "token" => Code::TokenNotFound,
            _ => Code::NotFound,
        },
        StoreError::Busy { .. } => Code::ReleaseBusy,
        StoreError::NameTaken { .. } => Code::NameTaken,
        StoreError::AlreadyInstalled { .. } => Code::ReleaseExists,
        StoreError::Deleted { .. } => Code::NotServing,
        StoreError::Changed { .. } => Code::ReleaseChanged,
        StoreError::NotCancellable { .. } => Code::NotCancellable,
        StoreError::RouteTaken { .. } => Code::RouteTaken,
        StoreError::NoFreePort { .. } => Code::NoFreePort,
        StoreError::PackageExists { .. } => Code::PackageExists,
        StoreError::PackageChanged { .. } => Code::RepositoryFailed,
        StoreError::PackageInUse { .. } => Code::PackageInUse,
        StoreError::Exists { .. } => Code::NameInUse,
        StoreError::StillNeeded { .. } | StoreError::Outdated { .. } => Code::Conflict,
        StoreError::SecretInUse { .. } => Code::SecretInUse,
        StoreError::IdempotencyMismatch { .. } => Code::IdempotencyMismatch,
        StoreError::Repeated { .. } => Code::Conflict,
        StoreError::Invalid(_) => Code::Invalid,
        StoreError::Full { .. } => Code::StorageFull,
        StoreError::Locked { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::CannotOpen { .. }
        | StoreError::Unavailable { .. } => Code::StoreUnavailable,
        _ => Code::Internal,
    }
}

/// A plan that the engine refuses to make.
pub(crate) fn plan_failure(failure: &Failure) -> Error {
    let code = match failure.code.as_str() {
        "not-found" | "secret-missing" | "secret-not-found" => Code::SecretMissing,
        "invalid-spec" | "unsupported" | "unknown-platform" => Code::PlanRefused,
        "store-unavailable" | "store-locked" | "store-unreachable" | "store-error" => Code::StoreUnavailable,
        "disk-full" => Code::StorageFull,
        _ => Code::PlanRefused,
    };
    let mapped = Error::new(code, failure.message.clone());
    let mapped = match (&failure.hint, code) {
        (Some(hint), _) => mapped.hint(hint.clone()),
        (None, Code::SecretMissing) => mapped.hint("set it with `skipper secrets set NAME`"),
        (None, _) => mapped,
    };
    // Several reasons come in one sentence; as a list they can be read.
    let faults: Vec<String> = failure.message.split("; ").map(str::to_owned).collect();
    if code == Code::PlanRefused && faults.len() > 1 { mapped.faults(faults) } else { mapped }
}

/// Everything that is wrong with a package, the errors before the warnings.
pub(crate) fn package_faults(code: Code, what: &str, faults: &Faults) -> Error {
    let count = faults.findings().len();
    let first = faults.findings().first().map(ToString::to_string).unwrap_or_default();
    let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
    Error::new(code, format!("{what}: {first}{more}")).faults(faults.findings().iter().map(ToString::to_string))
}
