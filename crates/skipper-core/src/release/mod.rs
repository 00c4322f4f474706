//! Releases and their revisions: what is remembered.

use serde::{Deserialize, Serialize};

use crate::{
    actor::Provenance,
    digest::Sha256,
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    spec::Spec,
    time::Timestamp,
};

/// Which door owns a release: a name belongs to one door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Packages: `/v1/releases`, `/api`, the CLI.
    Releases,
    /// Apps: webhooks.
    Deploys,
    /// Tenants' services: the fleet.
    Fleet,
}

impl Door {
    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Releases => "releases",
            Self::Deploys => "deploys",
            Self::Fleet => "fleet",
        }
    }

    /// The door of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Releases, Self::Deploys, Self::Fleet].into_iter().find(|door| door.as_str() == word)
    }
}

/// A named thing that runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// For ever its own.
    pub id: ReleaseId,
    /// Who owns it.
    pub tenant: TenantName,
    /// Unique in its tenant.
    pub name: ReleaseName,
    /// The door it belongs to.
    pub door: Door,
    /// The revision that serves; `None` before the first success and after a delete.
    pub serving: Option<u64>,
    /// The highest revision number given so far.
    pub last_revision: u64,
    /// Deleted, with its history kept.
    pub deleted: bool,
    /// When it was first installed.
    pub created_at: Timestamp,
    /// When anything about it last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change; for ETags.
    pub row_version: u64,
}

/// What has become of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionState {
    /// Its rollout has not ended.
    Pending,
    /// It serves.
    Live,
    /// It served, and a later one does now.
    Superseded,
    /// Its rollout failed and was undone.
    Failed,
    /// Its rollout was cancelled, or replaced before it began.
    Cancelled,
    /// It served until the release was deleted.
    Deleted,
}

impl RevisionState {
    const ALL: [Self; 6] = [Self::Pending, Self::Live, Self::Superseded, Self::Failed, Self::Cancelled, Self::Deleted];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One numbered version of a release. Manifest and spec never change once they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Of which release.
    pub release: ReleaseId,
    /// 1, 2, 3, …
    pub number: u64,
    /// What has become of it.
    pub state: RevisionState,
    /// What was asked for, as the source's own kind of document; see [`Source`].
    pub source: Source,
    /// The rendered text; `None` until resolved.
    pub manifest: Option<String>,
    /// The typed form; `None` until resolved.
    pub spec: Option<Spec>,
    /// Who and through what.
    pub provenance: Provenance,
    /// Free text of the person who asked.
    pub description: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Of what a release is a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewOf {
    /// The app.
    pub app: ReleaseName,
    /// The preview's id as it was asked for.
    pub id: String,
    /// The commit, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
}

/// What a revision was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// A package with values.
    Package {
        /// The repository's name.
        repository: String,
        /// The package's name.
        name: String,
        /// The package's version.
        version: String,
        /// Digest of the archive.
        sha256: Sha256,
        /// What the user set, before it was merged with the package's own values.
        values: serde_json::Value,
        /// The platform account for applications that name none, as chosen then: an upgrade keeps it unless told
        /// otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<crate::name::PlatformName>,
        /// `values` as the text they came as, where the door has to show them as they were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw: Option<String>,
    },
    /// An app of the configuration, at a tag.
    App {
        /// Its image, without a tag.
        image: String,
        /// The tag, or `sha256:…`.
        tag: String,
        /// In a pod, whole references by the name of their container.
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        images: std::collections::BTreeMap<String, String>,
        /// What it is a preview of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<Box<PreviewOf>>,
        /// When whoever asked signed it, where that is known: the order of commits, whenever they arrive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_at: Option<Timestamp>,
    },
    /// What a tenant wants, resolved: its own document with the services that have documents of their own.
    Tenant {
        /// The tenant's spec.
        spec: serde_json::Value,
    },
    /// The stored manifest and spec of an earlier revision.
    Revision {
        /// Its number.
        number: u64,
    },
    /// The serving revision with other instance counts.
    Scale {
        /// The revision that was scaled.
        number: u64,
        /// New count by application.
        replicas: std::collections::BTreeMap<String, u32>,
    },
}
