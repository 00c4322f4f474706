//! What `/v1/…` reads and writes: the stable schema of Skipper's own door, shared with its command line.
//!
//! Every type here is a wire type: renaming a field breaks clients. Nothing here decides anything. Points in time are
//! RFC 3339 text in UTC, spans are milliseconds with `_ms` in the name, digests are 64 hexadecimal digits, ids are UUIDs.
//! Answers may grow fields; requests refuse fields they do not know.

mod edge;
mod event;
mod log;
mod package;
mod past;
mod problem;
mod release;
mod request;
mod revision;
mod rollout;
mod secret;
mod server;
mod token;

pub use edge::{AppStats, CaddyView, EdgeView, LeftHost, StatsView};
pub use event::{EventPage, EventView, VerifyView};
pub use log::LogLine;
pub use package::{
    AddRepository, PackageDetail, PackagePage, PackageView, PlatformList, PlatformView, RefreshReport, RepositoryList,
    RepositoryView,
};
pub use past::{PastRevision, TakeOverRequest, TakenOver};
pub use problem::Problem;
pub use release::{AppStatus, DriftView, InstanceStatus, ReleasePage, ReleaseState, ReleaseStatus, ReleaseSummary};
pub use request::{
    DeleteQuery, ExecRequest, ExecView, HoldRequest, InstallRequest, MaintenanceRequest, PackageRef, PlanRequest,
    RollbackRequest, ScaleRequest, UpgradeRequest,
};
pub use revision::{DiffView, HistoryPage, PlanStep, PlanView, RevisionDetail, RevisionView, SourceView, WhyView};
pub use rollout::{
    Accepted, AppEvidenceView, BundleView, CauseView, ExitView, ProbeView, RolloutSummary, RolloutView, StepView,
};
pub use secret::{SecretList, SecretValueRequest, SecretView};
pub use server::{Health, Index, Ready};
pub use token::{NewToken, TokenCreated, TokenList, TokenView};

#[cfg(test)]
mod tests;
