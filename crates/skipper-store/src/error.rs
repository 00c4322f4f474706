//! What can go wrong, in words that say what to do.

use std::{error::Error as StdError, path::PathBuf};

use skipper_core::{
    id::RolloutId,
    name::{ReleaseName, SecretName},
    port,
    release::Door,
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for is not there.
    #[error("{kind} `{name}` does not exist")]
    NotFound {
        /// `release`, `revision`, `rollout`, `package`, …
        kind: &'static str,
        /// What it was called by.
        name: String,
    },
    /// Another rollout of the release is open.
    #[error("release `{release}` is busy: rollout {rollout} is {phase}")]
    Busy {
        /// The release.
        release: ReleaseName,
        /// The rollout that is open.
        rollout: RolloutId,
        /// The phase it is in.
        phase: String,
    },
    /// The name belongs to another door.
    #[error("release `{release}` belongs to the door `{}`", .door.as_str())]
    NameTaken {
        /// The name.
        release: ReleaseName,
        /// Whose it is.
        door: Door,
    },
    /// An install of a release that serves.
    #[error("release `{release}` is installed already, at revision {revision}")]
    AlreadyInstalled {
        /// The release.
        release: ReleaseName,
        /// The revision that serves.
        revision: u64,
    },
    /// The release was deleted; only its history is left.
    #[error("release `{release}` was deleted")]
    Deleted {
        /// The release.
        release: ReleaseName,
    },
    /// Somebody was faster: the serving revision is not the one the intent was made for.
    #[error("release `{release}` changed meanwhile: {} serves now", .serving.map_or_else(|| "nothing".to_owned(), |n| format!("revision {n}")))]
    Changed {
        /// The release.
        release: ReleaseName,
        /// The revision that serves now.
        serving: Option<u64>,
    },
    /// Something newer was accepted before.
    #[error("`{tag}` of `{release}` was {why} before, and something else since (revision {newer})")]
    Outdated {
        /// The release.
        release: ReleaseName,
        /// What was to be deployed.
        tag: String,
        /// `signed` or `deployed`.
        why: &'static str,
        /// The revision that is newer.
        newer: u64,
    },
    /// The rollout is past the point where it can be cancelled.
    #[error("rollout {rollout} is {phase} and cannot be cancelled any more")]
    NotCancellable {
        /// The rollout.
        rollout: RolloutId,
        /// Where it stands.
        phase: String,
    },
    /// A route that another release holds.
    #[error("route {route} belongs to release `{owner}`")]
    RouteTaken {
        /// Listener, host and path.
        route: String,
        /// `tenant/name` of the release that holds it.
        owner: String,
    },
    /// No port of the range is free.
    #[error("no free port is left between {from} and {to} for application ports")]
    NoFreePort {
        /// First port of the range.
        from: u16,
        /// Last port of the range.
        to: u16,
    },
    /// That version of the package is there already.
    #[error("package `{name}` {version} exists already in repository `{repository}`")]
    PackageExists {
        /// The repository.
        repository: String,
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
    /// The archive is not the one that is known by this version.
    #[error("package `{name}` {version} has the digest sha256:{found}, and sha256:{known} is known of this version")]
    PackageChanged {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The digest that is known.
        known: String,
        /// The digest that was found.
        found: String,
    },
    /// A release uses the package.
    #[error("package `{name}` {version} is in use by release `{release}`")]
    PackageInUse {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// `tenant/name` of a release that uses it.
        release: String,
    },
    /// A thing of that name exists already.
    #[error("{kind} `{name}` exists already")]
    Exists {
        /// `repository`, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// It is still needed.
    #[error("{kind} `{name}` cannot be removed: {reason}")]
    StillNeeded {
        /// `repository`, …
        kind: &'static str,
        /// Its name.
        name: String,
        /// Who needs it.
        reason: String,
    },
    /// A release uses the secret.
    #[error("secret `{name}` is in use by release `{release}`")]
    SecretInUse {
        /// The secret.
        name: SecretName,
        /// A release that uses it.
        release: String,
    },
    /// No key to open or seal secrets with, or the wrong one.
    #[error("{problem}")]
    Key {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The same idempotency key came with another request.
    #[error("idempotency key `{key}` was used before with a different request")]
    IdempotencyMismatch {
        /// The key.
        key: String,
    },
    /// The same request was carried out meanwhile; nothing was done again.
    #[error("the request with idempotency key `{key}` was carried out already")]
    Repeated {
        /// The key.
        key: String,
    },
    /// The lease is not the newest any more.
    #[error("the lease on rollout {rollout} was lost to a newer one")]
    Fenced {
        /// The rollout.
        rollout: RolloutId,
    },
    /// The generation is not the newest any more.
    #[error("{what} was changed by a newer generation")]
    StaleGeneration {
        /// The release or deployment.
        what: String,
    },
    /// Something that was given breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The database was written by a newer Skipper.
    #[error("the database {location} has schema {found}, and this Skipper knows schemas up to {known}")]
    NewerSchema {
        /// Where it is.
        location: String,
        /// Its schema.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// The database belongs to another program.
    #[error("the database {location} was not made by Skipper")]
    NotOurs {
        /// Where it is.
        location: String,
    },
    /// Not a database at all.
    #[error("{location} is not an SQLite database")]
    NotADatabase {
        /// Where it is.
        location: String,
    },
    /// What is stored cannot be understood.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// What is damaged.
        what: String,
        /// Why it is not understood.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// Somebody else holds the database for too long.
    #[error("{doing}: the database is locked by another process")]
    Locked {
        /// What was being done.
        doing: &'static str,
    },
    /// The disk is full.
    #[error("{doing}: the disk is full")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// The database cannot be written.
    #[error("{doing}: the database is read-only")]
    ReadOnly {
        /// What was being done.
        doing: &'static str,
    },
    /// The file or server cannot be reached.
    #[error("{doing}: the database {location} cannot be opened")]
    CannotOpen {
        /// What was being done.
        doing: &'static str,
        /// Where it is.
        location: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The connection broke, or no connection was free in time.
    #[error("{doing}: the database does not answer")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A file of a backup or restore.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database did not do what it was told.
    #[error("{doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    pub(crate) fn not_found(kind: &'static str, name: impl std::fmt::Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }

    /// What became of a file; a full or read-only disk is called that.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull => Self::Full { doing },
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { doing },
            _ => Self::File { doing, path: path.into(), source },
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), source: None }
    }

    pub(crate) fn corrupt_because(what: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Corrupt { what: what.into(), source: Some(source.into()) }
    }

    /// A stable word for APIs and logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Busy { .. } => "release-busy",
            Self::NameTaken { .. } => "name-taken",
            Self::AlreadyInstalled { .. } => "already-installed",
            Self::Deleted { .. } => "release-deleted",
            Self::Changed { .. } => "release-changed",
            Self::Outdated { .. } => "outdated",
            Self::NotCancellable { .. } => "not-cancellable",
            Self::RouteTaken { .. } => "route-taken",
            Self::NoFreePort { .. } => "no-free-port",
            Self::PackageExists { .. } => "package-exists",
            Self::PackageChanged { .. } => "package-changed",
            Self::PackageInUse { .. } => "package-in-use",
            Self::Exists { .. } => "exists",
            Self::StillNeeded { .. } => "still-needed",
            Self::SecretInUse { .. } => "secret-in-use",
            Self::Key { .. } => "secret-key",
            Self::IdempotencyMismatch { .. } => "idempotency-mismatch",
            Self::Repeated { .. } => "repeated",
            Self::Fenced { .. } => "lease-lost",
            Self::StaleGeneration { .. } => "stale-generation",
            Self::Invalid(_) => "invalid",
            Self::NewerSchema { .. } => "newer-schema",
            Self::NotOurs { .. } => "not-ours",
            Self::NotADatabase { .. } => "not-a-database",
            Self::Corrupt { .. } => "store-corrupt",
            Self::Locked { .. } => "store-locked",
            Self::Full { .. } => "disk-full",
            Self::ReadOnly { .. } => "store-read-only",
            Self::CannotOpen { .. } => "store-unreachable",
            Self::Unavailable { .. } => "store-unavailable",
            Self::File { .. } => "file",
            Self::Database { .. } => "store-error",
        }
    }

    /// What the operator can do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Busy { rollout, .. } => format!("wait for rollout {rollout}, or cancel it"),
            Self::NameTaken { .. } => "choose another name, or delete the release through the door that owns it".into(),
            Self::AlreadyInstalled { .. } => "upgrade it, or choose another name".into(),
            Self::Deleted { .. } => "install it again; revision numbers go on where they ended".into(),
            Self::Outdated { .. } => "send `\"force\": true` with it, or roll back".into(),
            Self::Changed { .. } => "look at the release again and repeat what you wanted".into(),
            Self::RouteTaken { owner, .. } => format!("choose another host, path or port, or delete release `{owner}`"),
            Self::NoFreePort { .. } => "widen the range of edge ports, or delete releases that hold ports".into(),
            Self::PackageExists { .. } => "raise the version; a published version never changes".into(),
            Self::PackageChanged { .. } => "ask whoever runs the repository: a published version never changes".into(),
            Self::PackageInUse { .. } => "upgrade or delete the releases that use it first".into(),
            Self::SecretInUse { .. } => "remove it from the release first, or force its removal".into(),
            Self::Key { hint, .. } => hint.clone(),
            Self::IdempotencyMismatch { .. } => "use a new key for a new request".into(),
            Self::Repeated { .. } => "repeat it: it is answered as the first one was".into(),
            Self::NewerSchema { .. } => "start the newer Skipper again, or restore a backup that this one wrote".into(),
            Self::NotOurs { .. } => "give Skipper a database of its own".into(),
            Self::NotADatabase { .. } => "give another path, or restore a backup".into(),
            Self::Corrupt { .. } => "stop the server and restore the latest backup with `skipper restore`".into(),
            Self::Locked { .. } => "find the other process that has the database open and stop it".into(),
            Self::Full { .. } => "free some space; nothing that was accepted is lost".into(),
            Self::ReadOnly { .. } => "make the file and its folder writable for the user Skipper runs as".into(),
            Self::CannotOpen { .. } => "check the path or URL, and the permissions".into(),
            Self::Unavailable { .. } => "check that the database server runs and is reachable".into(),
            _ => return None,
        })
    }
}

impl From<Error> for port::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFound { .. } => port::ErrorKind::NotFound,
            Error::Fenced { .. } | Error::StaleGeneration { .. } => port::ErrorKind::Fenced,
            Error::Locked { .. }
            | Error::Full { .. }
            | Error::CannotOpen { .. }
            | Error::Unavailable { .. }
            | Error::Database { .. } => port::ErrorKind::Transient,
            Error::Corrupt { .. } => port::ErrorKind::Damaged,
            _ => port::ErrorKind::Permanent,
        };
        let hint = error.hint();
        let mapped = Self::new(kind, error.code(), error.to_string());
        let mapped = match hint {
            Some(hint) => mapped.hint(hint),
            None => mapped,
        };
        match error {
            Error::Corrupt { source: Some(source), .. } | Error::CannotOpen { source, .. } => mapped.because(source),
            Error::Unavailable { source, .. } | Error::Database { source, .. } => mapped.because(source),
            Error::File { source, .. } => mapped.because(source),
            _ => mapped,
        }
    }
}
