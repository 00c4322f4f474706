//! Table `revision`: numbered versions, and the history that joins them with what brought them about.

use std::time::Duration;

use skipper_core::{
    actor::Provenance,
    id::{ReleaseId, RolloutId},
    release::{Revision, RevisionState, Source},
    rollout::{Phase, Verb},
    time::Timestamp,
};

use crate::{
    Error, Numeric, Store,
    db::{Row, args, statements},
    release::numeric,
    store::page,
};

/// A release's rollouts, each with the revision it led to.
macro_rules! history {
    ($which:literal) => {
        concat!(
            "SELECT rollout.num AS num, rollout.id AS rollout_id, rollout.verb AS verb, rollout.phase AS phase, \
                rollout.from_revision AS from_revision, rollout.to_revision AS to_revision, rollout.purge AS purge, \
                rollout.provenance AS provenance, rollout.created_at AS created_at, rollout.started_at AS started_at, \
                rollout.finished_at AS finished_at, revision.state AS state, revision.source AS source, \
                revision.description AS description, revision.version AS version \
            FROM rollout LEFT JOIN revision \
                ON revision.release_id = rollout.release_id AND revision.number = rollout.to_revision \
            WHERE rollout.release_id = $1 AND ",
            $which
        )
    };
}

statements! {
    GET = "SELECT * FROM revision WHERE release_id = $1 AND number = $2";
    LATEST = "SELECT * FROM revision WHERE release_id = $1 ORDER BY number DESC LIMIT 1";
    LATEST_IN_STATE = "SELECT * FROM revision WHERE release_id = $1 AND state = $2 AND number < $3 ORDER BY number DESC LIMIT 1";
    LIST = "SELECT number, state, source, provenance, description, created_at FROM revision \
        WHERE release_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
    HISTORY = history!("rollout.num < $2 ORDER BY rollout.num DESC LIMIT $3");
    HISTORY_OF = history!("rollout.to_revision = $2 ORDER BY rollout.num DESC LIMIT 1");
    /// Without a version, it is the next one.
    INSERT = "INSERT INTO revision (release_id, number, state, source, package_repository, package_name, package_version, \
            manifest, spec_version, spec, provenance, description, created_at, updated_at, version, scaled, made_of, kept, \
            tag, signed_at) \
        VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, \
            COALESCE($13, (SELECT COALESCE(MAX(version), 0) + 1 FROM revision WHERE release_id = $1)), $14, $15, $16, $17, $18)";
    /// Of an app: whether that tag was deployed before.
    TAGGED = "SELECT number FROM revision \
        WHERE release_id = $1 AND tag = $2 AND state IN ('pending', 'live', 'superseded') LIMIT 1";
    /// Of an app: the tag that was deployed last.
    NEWEST_TAG = "SELECT number, tag FROM revision \
        WHERE release_id = $1 AND tag IS NOT NULL AND state IN ('pending', 'live', 'superseded') ORDER BY number DESC LIMIT 1";
    /// Of an app: another tag that was signed after that time.
    SIGNED_LATER = "SELECT number FROM revision \
        WHERE release_id = $1 AND signed_at > $2 AND tag <> $3 AND state IN ('pending', 'live', 'superseded') \
        ORDER BY signed_at DESC LIMIT 1";
    ORIGIN_OF = "SELECT package_repository, package_name, package_version, version, made_of, kept FROM revision \
        WHERE release_id = $1 AND number = $2";
    SET_STATE = "UPDATE revision SET state = $3, updated_at = $4, row_version = row_version + 1 \
        WHERE release_id = $1 AND number = $2";
    /// What no rollout has settled yet stays as it is.
    RETIRE_STATE = "UPDATE revision SET state = $3, updated_at = $4, row_version = row_version + 1 \
        WHERE release_id = $1 AND state = $2";
}

/// A revision without its manifest and spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionSummary {
    /// 1, 2, 3, …
    pub number: u64,
    /// What has become of it.
    pub state: RevisionState,
    /// What was asked for.
    pub source: Source,
    /// Who and through what.
    pub provenance: Provenance,
    /// Free text of the person who asked.
    pub description: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// One line of a release's history: what somebody asked for, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Pass the last entry's as `before` to get the page that follows.
    pub cursor: i64,
    /// The rollout.
    pub rollout: RolloutId,
    /// What was asked.
    pub verb: Verb,
    /// The revision that served when it began.
    pub from: Option<u64>,
    /// The revision to reach; `None` for a delete.
    pub to: Option<u64>,
    /// The version that this revision is, or is a scaling of; `None` for a delete, or after a purge.
    pub version: Option<u64>,
    /// With everything removed.
    pub purge: bool,
    /// What has become of that revision; `None` for a delete, or after a purge.
    pub state: Option<RevisionState>,
    /// What it was made of.
    pub source: Option<Source>,
    /// Free text of the person who asked.
    pub description: Option<String>,
    /// Where the rollout stands, with the cause where it failed.
    pub phase: Phase,
    /// Who and through what.
    pub provenance: Provenance,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When work on it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl HistoryEntry {
    /// From acceptance to the end; `None` while it goes on.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.finished_at.map(|end| end.since(self.created_at))
    }
}

impl Store {
    /// One revision with manifest and spec.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn revision_get(&self, release: ReleaseId, number: u64) -> Result<Option<Revision>, Error> {
        self.one("read the revision", GET, args![release, number]).await?.as_ref().map(read).transpose()
    }

    /// The revision's numeric id.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn revision_numeric(&self, release: ReleaseId, number: u64) -> Result<Option<Numeric>, Error> {
        self.one("read the revision", GET, args![release, number]).await?.as_ref().map(numeric).transpose()
    }

    /// The newest revision, whatever has become of it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn revision_latest(&self, release: ReleaseId) -> Result<Option<Revision>, Error> {
        self.one("read the newest revision", LATEST, args![release]).await?.as_ref().map(read).transpose()
    }

    /// What a rollback goes to where no number is given: the newest revision below `serving` that served before it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn revision_previous(&self, release: ReleaseId, serving: u64) -> Result<Option<Revision>, Error> {
        let state = RevisionState::Superseded.as_str();
        let row = self.one("read the previous revision", LATEST_IN_STATE, args![release, state, serving]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Revisions, newest first, below number `before`, at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn revision_list(
        &self,
        release: ReleaseId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<RevisionSummary>, Error> {
        let before = before.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX));
        let rows = self.all("list revisions", LIST, args![release, before, page(limit)]).await?;
        rows.iter().map(read_summary).collect()
    }

    /// Everything that was asked of a release, newest first: installs, upgrades, rollbacks, scalings and deletes, each with
    /// how it went. The page after the entry whose cursor is `before`; at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn history(
        &self,
        release: ReleaseId,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        let rows =
            self.all("read the history", HISTORY, args![release, before.unwrap_or(i64::MAX), page(limit)]).await?;
        rows.iter().map(read_history).collect()
    }

    /// What brought one revision about; `None` when its rollout is not remembered.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn history_of(&self, release: ReleaseId, number: u64) -> Result<Option<HistoryEntry>, Error> {
        self.one("read the history", HISTORY_OF, args![release, number]).await?.as_ref().map(read_history).transpose()
    }
}

fn state(word: &str) -> Option<RevisionState> {
    RevisionState::parse(word)
}

pub(crate) fn read(row: &Row) -> Result<Revision, Error> {
    Ok(Revision {
        release: row.parse("release_id")?,
        number: row.count("number")?,
        state: row.word("state", state)?,
        source: row.json("source")?,
        manifest: row.maybe_text("manifest")?,
        spec: row.maybe_json("spec")?,
        provenance: row.json("provenance")?,
        description: row.maybe_text("description")?,
        created_at: row.time("created_at")?,
    })
}

fn read_summary(row: &Row) -> Result<RevisionSummary, Error> {
    Ok(RevisionSummary {
        number: row.count("number")?,
        state: row.word("state", state)?,
        source: row.json("source")?,
        provenance: row.json("provenance")?,
        description: row.maybe_text("description")?,
        created_at: row.time("created_at")?,
    })
}

fn read_history(row: &Row) -> Result<HistoryEntry, Error> {
    let known = row.maybe_text("state")?.is_some();
    Ok(HistoryEntry {
        cursor: row.int("num")?,
        rollout: row.parse("rollout_id")?,
        verb: row.word("verb", Verb::parse)?,
        from: row.maybe_count("from_revision")?,
        to: row.maybe_count("to_revision")?,
        version: row.maybe_count("version")?.filter(|version| *version > 0),
        purge: row.flag("purge")?,
        state: known.then(|| row.word("state", state)).transpose()?,
        source: row.maybe_json("source")?,
        description: row.maybe_text("description")?,
        phase: row.json("phase")?,
        provenance: row.json("provenance")?,
        created_at: row.time("created_at")?,
        started_at: row.maybe_time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}

/// The columns by which a delivery of an app is told from another one: its tag, and when it was signed.
pub(crate) fn delivery(source: &Source) -> (Option<String>, Option<Timestamp>) {
    match source {
        Source::App { tag, signed_at, .. } => (Some(tag.clone()), *signed_at),
        Source::Package { .. } | Source::Tenant { .. } | Source::Revision { .. } | Source::Scale { .. } => (None, None),
    }
}
