//! Table `release`: named things that run, or ran.

use skipper_core::{
    generation::Generation,
    id::{ReleaseId, RolloutId},
    name::{ReleaseName, TenantName},
    release::{Door, Release, RevisionState},
    rollout::Verb,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    store::{PAGE, page},
};

statements! {
    GET = "SELECT * FROM release WHERE tenant = $1 AND name = $2 AND purged = 0";
    GET_BY_ID = "SELECT * FROM release WHERE id = $1";
    /// What stands behind every page of a list: one row of `release`, of its open rollout and of its newest revision.
    LIST = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, rollout.phase_name AS open_phase, \
            rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.deleted = 0 AND release.name > $2 \
        ORDER BY release.name LIMIT $3";
    SEARCH = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, rollout.phase_name AS open_phase, \
            rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.deleted = 0 AND release.name > $2 \
            AND lower(release.name) LIKE $4 ESCAPE '!' \
        ORDER BY release.name LIMIT $3";
    /// Deleted ones too: of a name that was given again after a delete there is one row only.
    LIST_ALL = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, rollout.phase_name AS open_phase, \
            rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.name > $2 \
        ORDER BY release.name LIMIT $3";
    SEARCH_ALL = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, \
            rollout.phase_name AS open_phase, rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.name > $2 \
            AND lower(release.name) LIKE $4 ESCAPE '!' \
        ORDER BY release.name LIMIT $3";
    OF_DOOR = "SELECT release.*, rollout.id AS open_id, rollout.verb AS open_verb, rollout.phase_name AS open_phase, \
            rollout.to_revision AS open_to, revision.state AS last_state \
        FROM release \
        LEFT JOIN rollout ON rollout.release_id = release.id AND rollout.slot = 'open' \
        LEFT JOIN revision ON revision.release_id = release.id AND revision.number = release.last_revision \
        WHERE release.tenant = $1 AND release.door = $2 AND release.purged = 0 AND release.deleted = 0 \
            AND release.name > $3 AND release.name < $4 \
        ORDER BY release.name LIMIT $5";
    INSERT = "INSERT INTO release (id, tenant, name, door, last_revision, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, 0, $5, $5) ON CONFLICT DO NOTHING";
    /// The first statement of whatever changes a release: on PostgreSQL it holds everybody else off.
    LOCK = "UPDATE release SET row_version = row_version + 1, updated_at = $2 WHERE id = $1 RETURNING *";
    LOCK_BY_NAME = "UPDATE release SET row_version = row_version + 1, updated_at = $3 \
        WHERE tenant = $1 AND name = $2 AND purged = 0 RETURNING *";
    SET_REVISION = "UPDATE release SET last_revision = $2, deleted = $3, door = $4 WHERE id = $1";
    SET_GENERATION = "UPDATE release SET gen_epoch = $2, gen_counter = $3 WHERE id = $1";
}

/// A release in a list, with what a list shows beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRelease {
    /// The release.
    pub release: Release,
    /// The rollout that is under way.
    pub open: Option<OpenRollout>,
    /// What has become of the newest revision.
    pub last_state: Option<RevisionState>,
}

/// The rollout that is under way, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRollout {
    /// Its id.
    pub id: RolloutId,
    /// What was asked.
    pub verb: Verb,
    /// The name of its phase.
    pub phase: String,
    /// The revision to reach.
    pub to: Option<u64>,
}

/// The numeric id and row version of a row, for APIs that show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numeric {
    /// Unique among rows of its kind, never used again.
    pub num: i64,
    /// Counts the changes of the row.
    pub row_version: u64,
}

impl Store {
    /// The release of that name, a deleted one too (its `deleted` is set). `None` when there is none, or it was purged.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_get(&self, tenant: &TenantName, name: &ReleaseName) -> Result<Option<Release>, Error> {
        let row = self.one("read the release", GET, args![tenant.as_str(), name.as_str()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The release of that id, a purged one too.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_get_by_id(&self, id: ReleaseId) -> Result<Option<Release>, Error> {
        self.one("read the release", GET_BY_ID, args![id]).await?.as_ref().map(read).transpose()
    }

    /// The release's numeric id.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_numeric(&self, id: ReleaseId) -> Result<Option<Numeric>, Error> {
        self.one("read the release", GET_BY_ID, args![id]).await?.as_ref().map(numeric).transpose()
    }

    /// Releases that are not deleted, by name, after the name `after`, at most `limit` (and never more than 1000). With
    /// `q`, only those whose name holds that text, in any case. Costs the same for any number of releases, unless `q` is
    /// given: that looks at every name.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_list(
        &self,
        tenant: &TenantName,
        q: Option<&str>,
        after: Option<&ReleaseName>,
        limit: u32,
    ) -> Result<Vec<ListedRelease>, Error> {
        self.listed([LIST, SEARCH], tenant, q, after, limit).await
    }

    /// The same with the releases that are deleted and whose history is kept.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_list_all(
        &self,
        tenant: &TenantName,
        q: Option<&str>,
        after: Option<&ReleaseName>,
        limit: u32,
    ) -> Result<Vec<ListedRelease>, Error> {
        self.listed([LIST_ALL, SEARCH_ALL], tenant, q, after, limit).await
    }

    /// Every release that came through a door and is not deleted, by name; with `prefix`, only those whose names begin with it.
    /// Costs as much as there are of them.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn release_list_of_door(
        &self,
        tenant: &TenantName,
        door: Door,
        prefix: &str,
    ) -> Result<Vec<ListedRelease>, Error> {
        // No name holds a tilde, which comes after every character of one.
        let (mut after, end) = (prefix.to_owned(), format!("{prefix}~"));
        let mut found = Vec::new();
        loop {
            let args = args![tenant.as_str(), door.as_str(), after.as_str(), end.as_str(), i64::from(PAGE)];
            let page = self.all("list releases", OF_DOOR, args).await?;
            found.reserve(page.len());
            for row in &page {
                found.push(read_listed(row)?);
            }
            match found.last().filter(|_| page.len() == PAGE as usize) {
                Some(last) => last.release.name.as_str().clone_into(&mut after),
                None => return Ok(found),
            }
        }
    }

    async fn listed(
        &self,
        [every, matching]: [&'static str; 2],
        tenant: &TenantName,
        q: Option<&str>,
        after: Option<&ReleaseName>,
        limit: u32,
    ) -> Result<Vec<ListedRelease>, Error> {
        let after = after.map_or("", ReleaseName::as_str);
        let mut args = args![tenant.as_str(), after, page(limit)];
        let sql = match q.map(str::trim).filter(|q| !q.is_empty()) {
            None => every,
            Some(q) => {
                args.push(like(q).into());
                matching
            }
        };
        self.all("list releases", sql, args).await?.iter().map(read_listed).collect()
    }
}

/// A pattern for `lower(x) LIKE … ESCAPE '!'` that finds the text anywhere.
pub(crate) fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars().take(255).flat_map(char::to_lowercase).filter(|c| *c != '\0') {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

pub(crate) fn numeric(row: &Row) -> Result<Numeric, Error> {
    Ok(Numeric { num: row.int("num")?, row_version: row.count("row_version")? })
}

pub(crate) fn read(row: &Row) -> Result<Release, Error> {
    Ok(Release {
        id: row.parse("id")?,
        tenant: row.parse("tenant")?,
        name: row.parse("name")?,
        door: row.word("door", Door::parse)?,
        serving: row.maybe_count("serving")?,
        last_revision: row.count("last_revision")?,
        deleted: row.flag("deleted")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        row_version: row.count("row_version")?,
    })
}

pub(crate) fn read_listed(row: &Row) -> Result<ListedRelease, Error> {
    let open = match row.maybe_parse("open_id")? {
        None => None,
        Some(id) => Some(OpenRollout {
            id,
            verb: row.word("open_verb", Verb::parse)?,
            phase: row.text("open_phase")?,
            to: row.maybe_count("open_to")?,
        }),
    };
    let last_state = row
        .maybe_text("last_state")?
        .map(|word| {
            RevisionState::parse(&word).ok_or_else(|| Error::corrupt(format!("unknown revision state `{word}`")))
        })
        .transpose()?;
    Ok(ListedRelease { release: read(row)?, open, last_state })
}

/// Locks a release for the rest of the transaction, and says what it is.
pub(crate) async fn lock_in_txn(txn: &mut Txn, id: ReleaseId) -> Result<Release, Error> {
    let now = txn.shared().clock.now();
    let row = txn.one(LOCK, args![id, now]).await?;
    row.as_ref().map(read).transpose()?.ok_or_else(|| Error::not_found("release", id))
}

pub(crate) async fn lock_by_name_in_txn(
    txn: &mut Txn,
    tenant: &TenantName,
    name: &ReleaseName,
) -> Result<Option<Release>, Error> {
    let now = txn.shared().clock.now();
    txn.one(LOCK_BY_NAME, args![tenant.as_str(), name.as_str(), now]).await?.as_ref().map(read).transpose()
}

/// Remembers the newest right to act on the release.
pub(crate) async fn set_generation_in_txn(txn: &mut Txn, id: ReleaseId, newest: Generation) -> Result<(), Error> {
    txn.later(SET_GENERATION, args![id, newest.epoch, newest.counter]).await
}
