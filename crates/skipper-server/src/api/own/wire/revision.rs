use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{BundleView, CauseView, DriftView, RolloutSummary};

/// One line of a release's history: something that somebody asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RevisionView {
    /// 1, 2, 3, …; of a delete, the revision that served until then (0 when none did).
    pub revision: u64,
    /// The version that it is, as `/api` counts them: a scaling makes a revision and no version. Absent for a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// `install`, `upgrade`, `rollback`, `scale` or `delete`; empty where its rollout is not remembered.
    #[serde(default)]
    pub verb: String,
    /// `pending`, `live`, `superseded`, `failed`, `cancelled` or `deleted`.
    pub state: String,
    /// What it was made of.
    pub source: SourceView,
    /// Who asked.
    pub actor: String,
    /// Through which door.
    pub trigger: String,
    /// Free text of the person who asked.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was accepted.
    pub created_at: String,
    /// Its rollout, while it is remembered.
    #[serde(default)]
    pub rollout: Option<RolloutSummary>,
    /// How long its rollout took, once it ended.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// What a revision was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SourceView {
    /// A package with values.
    Package {
        /// The repository.
        repository: String,
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Digest of the archive.
        sha256: String,
        /// What the user set.
        #[schema(value_type = Object)]
        values: Value,
    },
    /// An app of the configuration, at a tag.
    App {
        /// Its image, without a tag.
        image: String,
        /// The tag, or `sha256:…`.
        tag: String,
    },
    /// An earlier revision.
    Revision {
        /// Its number.
        revision: u64,
    },
    /// The serving revision with other instance counts.
    Scale {
        /// Which revision was scaled.
        revision: u64,
        /// New count by application.
        replicas: std::collections::BTreeMap<String, u32>,
    },
    /// Nothing: the release was deleted.
    Delete {
        /// With its history.
        purge: bool,
    },
}

impl SourceView {
    /// In a few words: `hello-1.0.0`, `revision 3`, `revision 3, web x 2`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Delete { purge: false } => "delete".to_owned(),
            Self::Delete { purge: true } => "delete and purge".to_owned(),
            Self::Package { name, version, .. } => format!("{name}-{version}"),
            Self::App { image, tag } if tag.starts_with("sha256:") => format!("{image}@{tag}"),
            Self::App { image, tag } => format!("{image}:{tag}"),
            Self::Revision { revision } => format!("revision {revision}"),
            Self::Scale { revision, replicas } => {
                let counts: Vec<_> = replicas.iter().map(|(app, n)| format!("{app} x {n}")).collect();
                format!("revision {revision}, {}", counts.join(", "))
            }
        }
    }
}

/// A page of a release's history, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// The revisions.
    pub items: Vec<RevisionView>,
    /// Give it as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One revision with its typed form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RevisionDetail {
    /// The line of the history.
    #[serde(flatten)]
    pub revision: RevisionView,
    /// Whether manifest and spec are there.
    pub resolved: bool,
    /// The spec document, as the engine runs it; absent until resolved.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub spec: Option<Value>,
    /// Counts up with every change of the release; the ETag is made of it.
    pub row_version: u64,
}

/// What a verb would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// Give it as `require_plan` to refuse anything else.
    pub hash: String,
    /// The verb.
    pub verb: String,
    /// The release.
    pub release: String,
    /// The revision that serves now.
    #[serde(default)]
    pub from: Option<u64>,
    /// The revision number it would get; absent for a delete.
    #[serde(default)]
    pub to: Option<u64>,
    /// The steps, in order. Empty when nothing would have to be done.
    pub steps: Vec<PlanStep>,
    /// Steps from this index on clear away and never fail the rollout.
    pub commit: u32,
    /// What is decided against the letter of the source.
    pub notices: Vec<String>,
    /// The manifest as it would be stored; absent for a delete.
    #[serde(default)]
    pub manifest: Option<String>,
    /// Unified diff from the serving revision's manifest; absent when there is none or nothing differs.
    #[serde(default)]
    pub diff: Option<String>,
}

/// One step that would be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanStep {
    /// Its place.
    pub index: u32,
    /// The application it is about.
    pub app: String,
    /// The platform account it would happen on.
    pub platform: String,
    /// `fetch`, `launch`, `shift`, …
    pub action: String,
    /// What it does, as a sentence.
    pub text: String,
    /// Whether it only clears away what no longer serves.
    pub after_commit: bool,
    /// Longest it may take.
    pub bound_ms: u64,
}

/// The difference of two manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// From this revision.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// Whether they are the same text.
    pub equal: bool,
    /// Unified diff, empty when equal.
    pub diff: String,
}

/// What a release is waiting for, or what broke it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyView {
    /// The release.
    pub release: String,
    /// One sentence.
    pub answer: String,
    /// What to do next, where something is known.
    #[serde(default)]
    pub hint: Option<String>,
    /// The rollout it is about.
    #[serde(default)]
    pub rollout: Option<RolloutSummary>,
    /// What broke, if anything did.
    #[serde(default)]
    pub cause: Option<CauseView>,
    /// Everything that tells why it broke.
    #[serde(default)]
    pub bundle: Option<BundleView>,
    /// How what runs differs from what should.
    pub drift: Vec<DriftView>,
    /// What happened last, newest first.
    pub events: Vec<super::EventView>,
}
