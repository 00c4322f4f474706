//! Table `release_metadata`: releases by what their documents say of themselves.
//!
//! Rows are written when a revision is resolved. Those of the serving revision count, or of the newest where none serves, as
//! in a list; those of revisions before the serving one are removed when the next is resolved.

use std::collections::BTreeSet;

use skipper_core::{
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    spec::Spec,
};

use crate::{
    Error, Store,
    db::{Txn, args, statements},
    release::{ListedRelease, like, read_listed},
    store::page,
};

statements! {
    FIND = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, rollout.phase_name AS open_phase, \
            rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release_metadata \
        JOIN release ON release.id = release_metadata.release_id \
            AND release_metadata.revision = COALESCE(release.serving, release.last_revision) \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release_metadata.tenant = $1 AND release_metadata.key = $2 AND release_metadata.value = $3 \
            AND release_metadata.name > $4 AND release.purged = 0 AND release.deleted <= $5 \
            AND lower(release_metadata.name) LIKE $6 ESCAPE '!' \
        ORDER BY release_metadata.name LIMIT $7";
    ADD = "INSERT INTO release_metadata (tenant, key, value, name, release_id, revision) \
        SELECT tenant, $3, $4, name, id, $2 FROM release WHERE id = $1 ON CONFLICT DO NOTHING";
    FORGET = "DELETE FROM release_metadata WHERE release_id = $1 \
        AND (revision = $2 OR revision < (SELECT serving FROM release WHERE id = $1))";
}

/// The key under which the names of applications are found.
const NAME: &str = "name";
/// Most pairs of one revision; what is more is not found by.
const MAX_PAIRS: usize = 1000;
/// Longest key and value, in bytes, that are found by: an index holds both.
const MAX_TEXT: usize = 500;

/// What to find releases by.
#[derive(Debug, Clone, Copy)]
pub struct ByMetadata<'a> {
    /// The key in a document's `metadata`.
    pub key: &'a str,
    /// Its whole value.
    pub value: &'a str,
    /// Only those whose name holds this text, in any case.
    pub q: Option<&'a str>,
    /// Deleted ones too, whose history is kept.
    pub deleted: bool,
}

impl Store {
    /// Releases one of whose documents has that pair in its `metadata`, by name, after the name `after`, at most `limit`
    /// (and never more than 1000). Costs the same for any number of releases that do not have it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_list_by_metadata(
        &self,
        tenant: &TenantName,
        wanted: ByMetadata<'_>,
        after: Option<&ReleaseName>,
        limit: u32,
    ) -> Result<Vec<ListedRelease>, Error> {
        let after = after.map_or("", ReleaseName::as_str);
        let ByMetadata { key, value, q, deleted } = wanted;
        let pattern = like(q.map_or("", str::trim));
        let args = args![tenant.as_str(), key, value, after, i64::from(deleted), pattern, page(limit)];
        self.all("find releases by their metadata", FIND, args).await?.iter().map(read_listed).collect()
    }
}

/// Remembers what a revision's documents say of themselves, in place of what was known of it.
pub(crate) async fn set_in_txn(txn: &mut Txn, id: ReleaseId, revision: u64, spec: &Spec) -> Result<(), Error> {
    txn.later(FORGET, args![id, revision]).await?;
    let names = spec.applications.iter().map(|app| (NAME, app.name.as_str()));
    let others = spec.metadata.iter().flat_map(|(key, values)| {
        let fits = |text: &str| text.len() <= MAX_TEXT && !text.contains('\0');
        values.iter().map(|value| (key.as_str(), value.as_str())).filter(move |(key, value)| fits(key) && fits(value))
    });
    let pairs: BTreeSet<_> = names.chain(others).take(MAX_PAIRS).collect();
    for (key, value) in pairs {
        txn.later(ADD, args![id, revision, key, value]).await?;
    }
    Ok(())
}
