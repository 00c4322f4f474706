//! Revisions as Spring's API shows them: numbered without scalings, with what brought them about, what they were made of
//! and what runs of them, each list in one statement.

use skipper_core::{
    deployment::Live,
    id::{ReleaseId, RolloutId},
    name::{ReleaseName, TenantName},
    release::{RevisionState, Source},
    rollout::{Phase, Verb},
    spec::Spec,
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{Row, args, statements},
    live,
    release::like,
    store::page,
};

/// One row a version: the newest scaling of it that succeeded says how many instances there are, and whether it serves.
macro_rules! versions {
    ($which:literal) => {
        versions!("FROM release JOIN revision ON revision.release_id = release.id ", $which)
    };
    ($from:literal, $which:literal) => {
        concat!(
            "SELECT release.id AS release_id, release.name AS release_name, release.serving AS serving, \
                revision.num AS num, revision.row_version AS row_version, revision.number AS number, \
                revision.version AS version, revision.state AS state, revision.source AS source, \
                revision.kept AS kept, revision.manifest AS manifest, revision.spec AS spec, \
                revision.created_at AS created_at, made.source AS made_source, \
                scaled.number AS scaled_number, scaled.num AS scaled_num, scaled.state AS scaled_state, scaled.spec AS scaled_spec, \
                rollout.id AS rollout_id, rollout.verb AS verb, rollout.phase AS phase, \
                overtaking.id AS overtaken_by ",
            $from,
            "LEFT JOIN revision AS made ON made.release_id = revision.release_id AND made.number = revision.made_of \
            LEFT JOIN revision AS scaled ON scaled.release_id = revision.release_id AND scaled.number = \
                (SELECT MAX(number) FROM revision AS newest WHERE newest.release_id = revision.release_id \
                    AND newest.version = revision.version AND newest.scaled = 1 \
                    AND newest.state IN ('live', 'superseded', 'deleted')) \
            LEFT JOIN rollout ON rollout.release_id = revision.release_id AND rollout.to_revision = revision.number \
            LEFT JOIN rollout AS overtaking ON overtaking.release_id = revision.release_id AND overtaking.slot = 'open' \
                AND overtaking.phase_name = 'finishing' AND overtaking.verb <> 'scale' \
                AND overtaking.to_revision > revision.number \
            WHERE release.tenant = $1 AND release.purged = 0 AND release.door = 'releases' AND revision.scaled = 0 AND ",
            $which
        )
    };
}

statements! {
    NEWEST = versions!("release.name = $2 AND revision.version = \
        (SELECT MAX(version) FROM revision AS newest WHERE newest.release_id = release.id)");
    ONE = versions!("release.name = $2 AND revision.version = $3");
    /// What serves, or served.
    SETTLED = versions!("release.name = $2 AND revision.state IN ('live', 'superseded', 'deleted') \
        ORDER BY revision.version DESC LIMIT $3");
    HISTORY = versions!("release.name = $2 ORDER BY revision.version DESC LIMIT $3");
    /// All that is not over, in the order of its numbers: which table is read first is said, and not left to be guessed. Of a
    /// version that was scaled, the scaling is what is live. Of a release that never served and was deleted there is nothing.
    LISTED = versions!("FROM revision AS shown CROSS JOIN release CROSS JOIN revision ",
        "shown.state IN ('live', 'failed', 'cancelled', 'pending') AND (shown.scaled = 0 OR shown.state = 'live') \
        AND (release.deleted = 0 OR EXISTS (SELECT 1 FROM revision AS served WHERE served.release_id = release.id \
            AND served.state IN ('live', 'superseded', 'deleted'))) \
        AND release.id = shown.release_id AND revision.release_id = shown.release_id AND revision.version = shown.version \
        AND lower(release.name) LIKE $2 ESCAPE '!' AND shown.num > $3 ORDER BY shown.num LIMIT $4");
    NAMED = versions!("lower(release.name) LIKE $2 ESCAPE '!' ORDER BY release.name, revision.version DESC LIMIT $3");
    BY_NUM = versions!("revision.num = $2");
    PAGE = versions!("FROM revision CROSS JOIN release ",
        "release.id = revision.release_id ORDER BY revision.num LIMIT $2 OFFSET $3");
    NAME_UP = versions!("1 = 1 ORDER BY release.name, revision.num LIMIT $2 OFFSET $3");
    NAME_DOWN = versions!("1 = 1 ORDER BY release.name DESC, revision.num DESC LIMIT $2 OFFSET $3");
    VERSION_UP = versions!("1 = 1 ORDER BY revision.version, revision.num LIMIT $2 OFFSET $3");
    VERSION_DOWN = versions!("1 = 1 ORDER BY revision.version DESC, revision.num DESC LIMIT $2 OFFSET $3");
    COUNT = "SELECT COUNT(*) AS n FROM revision JOIN release ON release.id = revision.release_id \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.door = 'releases' AND revision.scaled = 0";
    RUNNING = "SELECT live.*, revision.version AS version FROM live JOIN release ON release.id = live.release_id \
        LEFT JOIN revision ON revision.release_id = live.release_id AND revision.number = live.revision \
        WHERE release.tenant = $1 AND release.purged = 0 AND release.door = 'releases'";
    RUNNING_OF = "SELECT live.*, revision.version AS version FROM live \
        LEFT JOIN revision ON revision.release_id = live.release_id AND revision.number = live.revision \
        WHERE live.release_id = $1";
}

/// Which versions are wanted.
#[derive(Debug, Clone, Copy)]
pub enum VersionFilter<'a> {
    /// The newest one of a release.
    Newest(&'a ReleaseName),
    /// One of a release.
    One(&'a ReleaseName, u64),
    /// Of a release those that serve or served, the newest first, at most so many.
    Settled(&'a ReleaseName, u32),
    /// Of a release, the newest first, at most so many.
    History(&'a ReleaseName, u32),
    /// Those that are neither deleted nor superseded, in the order in which they were asked for (or scaled last), of
    /// releases whose name holds this text in any case, after the one whose [`StoredVersion::place`] is this, at most so
    /// many.
    Listed(&'a str, i64, u32),
    /// All versions of releases whose name holds this text in any case, by name, the newest first, at most so many.
    Named(&'a str, u32),
    /// That of this number.
    Num(i64),
    /// In an order, so many (at most 1000), without the first so many.
    Page(VersionOrder, u32, u64),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrder {
    /// As they were asked for.
    Asked,
    /// By the name of their release.
    Name {
        /// From the last one on.
        descending: bool,
    },
    /// By their number within the release.
    Version {
        /// From the highest on.
        descending: bool,
    },
}

impl VersionOrder {
    const fn sql(self) -> &'static str {
        match self {
            Self::Asked => PAGE,
            Self::Name { descending: false } => NAME_UP,
            Self::Name { descending: true } => NAME_DOWN,
            Self::Version { descending: false } => VERSION_UP,
            Self::Version { descending: true } => VERSION_DOWN,
        }
    }
}

/// A version of a release.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// Its release.
    pub release: ReleaseId,
    /// The release's name.
    pub name: ReleaseName,
    /// The revision that serves, whatever version that is.
    pub serving: Option<u64>,
    /// Its own number over all releases.
    pub num: i64,
    /// Where it stands in [`VersionFilter::Listed`].
    pub place: i64,
    /// Counts the changes of the row.
    pub row_version: u64,
    /// The number of its revision.
    pub number: u64,
    /// Its number within the release.
    pub version: u64,
    /// What has become of it, scalings of it included.
    pub state: RevisionState,
    /// What was asked for.
    pub source: Source,
    /// The package that it was made of, also by way of an earlier version.
    pub made_of: Option<Source>,
    /// Digest of the kept package.
    pub kept: Option<String>,
    /// The rendered text.
    pub manifest: Option<String>,
    /// The typed form, with the counts of the newest scaling.
    pub spec: Option<Spec>,
    /// The revision of the newest scaling that succeeded.
    pub scaled: Option<u64>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The verb that brought it about; `None` when its rollout is not remembered.
    pub verb: Option<Verb>,
    /// That rollout.
    pub rollout: Option<RolloutId>,
    /// Where it stands.
    pub phase: Option<Phase>,
    /// A later version serves already, and this one is being cleared away.
    pub overtaken: bool,
}

/// A deployment with the version that launched it.
#[derive(Debug, Clone)]
pub struct RunningVersion {
    /// What runs.
    pub live: Live,
    /// The version that launched it; its revision where that is not remembered.
    pub version: u64,
}

impl Store {
    /// Versions of a tenant's releases.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn version_list(
        &self,
        tenant: &TenantName,
        filter: VersionFilter<'_>,
    ) -> Result<Vec<StoredVersion>, Error> {
        let tenant = tenant.as_str();
        let (sql, args) = match filter {
            VersionFilter::Newest(name) => (NEWEST, args![tenant, name.as_str()]),
            VersionFilter::One(name, version) => (ONE, args![tenant, name.as_str(), version]),
            VersionFilter::Settled(name, limit) => (SETTLED, args![tenant, name.as_str(), page(limit)]),
            VersionFilter::History(name, limit) => (HISTORY, args![tenant, name.as_str(), page(limit)]),
            VersionFilter::Listed(q, after, limit) => (LISTED, args![tenant, like(q), after, page(limit)]),
            VersionFilter::Named(q, limit) => (NAMED, args![tenant, like(q), page(limit)]),
            VersionFilter::Num(num) => (BY_NUM, args![tenant, num]),
            VersionFilter::Page(order, limit, offset) => (order.sql(), args![tenant, page(limit), offset]),
        };
        self.all("list versions of releases", sql, args).await?.iter().map(read).collect()
    }

    /// How many versions there are of all of a tenant's releases.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn version_count(&self, tenant: &TenantName) -> Result<u64, Error> {
        let row = self.one("count versions of releases", COUNT, args![tenant.as_str()]).await?;
        row.map_or(Ok(0), |row| row.count("n"))
    }

    /// What runs for one release, or for all of a tenant, each with the version that launched it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn version_running(
        &self,
        tenant: &TenantName,
        release: Option<ReleaseId>,
    ) -> Result<Vec<RunningVersion>, Error> {
        let (sql, args) = match release {
            Some(release) => (RUNNING_OF, args![release]),
            None => (RUNNING, args![tenant.as_str()]),
        };
        let read = |row: &Row| {
            let live = live::read(row)?;
            let version = row.maybe_count("version")?.filter(|version| *version > 0);
            Ok(RunningVersion { version: version.unwrap_or(live.deployment.revision), live })
        };
        let mut all: Vec<RunningVersion> =
            self.all("read what runs", sql, args).await?.iter().map(read).collect::<Result<_, Error>>()?;
        all.sort_by(|a, b| a.live.deployment.id.cmp(&b.live.deployment.id));
        Ok(all)
    }
}

fn read(row: &Row) -> Result<StoredVersion, Error> {
    let own = row.word("state", RevisionState::parse)?;
    let known = row.maybe_text("scaled_state")?.is_some();
    let state = match own {
        // A scaling changes nothing about these.
        RevisionState::Pending | RevisionState::Failed | RevisionState::Cancelled => own,
        _ if known => row.word("scaled_state", RevisionState::parse)?,
        _ => own,
    };
    let verb = row.maybe_text("verb")?.map(|_| row.word("verb", Verb::parse)).transpose()?;
    Ok(StoredVersion {
        release: row.parse("release_id")?,
        name: row.parse("release_name")?,
        serving: row.maybe_count("serving")?,
        num: row.int("num")?,
        place: match (known, state) {
            (true, RevisionState::Live) => row.int("scaled_num")?,
            _ => row.int("num")?,
        },
        row_version: row.count("row_version")?,
        number: row.count("number")?,
        version: row.count("version")?,
        state,
        source: row.json("source")?,
        made_of: row.maybe_json("made_source")?,
        kept: row.maybe_text("kept")?,
        manifest: row.maybe_text("manifest")?,
        spec: if known { row.maybe_json("scaled_spec")? } else { row.maybe_json("spec")? },
        scaled: row.maybe_count("scaled_number")?,
        created_at: row.time("created_at")?,
        verb,
        rollout: row.maybe_parse("rollout_id")?,
        phase: row.maybe_json("phase")?,
        overtaken: row.maybe_text("overtaken_by")?.is_some(),
    })
}
