//! The chain of events: appended in the transaction of the change, read by page, verified as a whole.

use serde_json::{Value, json};
use skipper_core::{
    Sha256,
    event::{Event, NewEvent},
    id::RolloutId,
    name::{ReleaseName, TenantName},
};

use crate::{
    Error, Store,
    db::{Arg, Db, Row, Txn, args, statements},
    store::page,
};

statements! {
    /// Locks the head until the transaction ends.
    LOCK_HEAD = "UPDATE chain SET seq = seq WHERE id = 1 RETURNING seq, hash";
    SET_END = "UPDATE chain SET seq = $1, hash = $2 WHERE id = 1";
    INSERT = "INSERT INTO event (seq, at, kind, tenant, release_name, revision, rollout_id, provenance, data, previous, hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    /// What is told together goes in together.
    INSERT_3 = "INSERT INTO event (seq, at, kind, tenant, release_name, revision, rollout_id, provenance, data, previous, hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11), \
            ($12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22), \
            ($23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";
    HEAD = "SELECT seq, hash FROM chain WHERE id = 1";
    LIST = "SELECT * FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
    LIST_OF_TENANT = "SELECT * FROM event WHERE tenant = $3 AND seq > $1 ORDER BY seq LIMIT $2";
    LIST_OF_ROLLOUT = "SELECT * FROM event WHERE rollout_id = $3 AND seq > $1 ORDER BY seq LIMIT $2";
    LIST_OF_RELEASE = "SELECT * FROM event WHERE tenant = $3 AND release_name = $4 AND seq > $1 ORDER BY seq LIMIT $2";
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this tenant; `None` for all, those of the installation itself included.
    pub tenant: Option<TenantName>,
    /// Only of this release; of the default tenant where `tenant` is `None`.
    pub release: Option<ReleaseName>,
}

/// What [`Store::events_verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// How many events were checked, the broken one included.
    pub checked: u64,
    /// Where the chain breaks first; `None` when it is whole.
    pub broken: Option<ChainBreak>,
    /// The hash up to which it holds: that of the newest event where it is whole.
    pub holds_to: String,
}

/// The first place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBreak {
    /// The number that should have been there.
    pub seq: u64,
    /// What is wrong, as a sentence.
    pub reason: String,
}

impl Store {
    /// Events after number `after`, oldest first, at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn events_list(&self, after: u64, limit: u32, filter: &EventFilter) -> Result<Vec<Event>, Error> {
        let doing = "list events";
        let rows = match (&filter.tenant, &filter.release) {
            (None, None) => self.all(doing, LIST, args![after, page(limit)]).await,
            (Some(tenant), None) => self.all(doing, LIST_OF_TENANT, args![after, page(limit), tenant.as_str()]).await,
            (tenant, Some(release)) => {
                let default = TenantName::default_tenant();
                let tenant = tenant.as_ref().unwrap_or(&default);
                self.all(doing, LIST_OF_RELEASE, args![after, page(limit), tenant.as_str(), release.as_str()]).await
            }
        }?;
        Ok(readable(&rows))
    }

    /// Events of one rollout after number `after`, oldest first, at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn events_of_rollout(&self, rollout: RolloutId, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        let args = args![after, page(limit), rollout.to_string()];
        Ok(readable(&self.all("list events of a rollout", LIST_OF_ROLLOUT, args).await?))
    }

    /// Appends events that go with no other change.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn events_tell(&self, events: Vec<NewEvent>) -> Result<(), Error> {
        let mut txn = self.txn("append events").await?;
        txn.tell(events);
        txn.commit().await
    }

    /// The newest event's number; 0 when there is none.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn events_head(&self) -> Result<u64, Error> {
        head(&self.shared.db).await
    }

    /// Walks the whole chain, a page at a time, and says where it breaks first: an event that was changed, removed, added
    /// or moved, or an end that is missing. Needs the same small memory for any length.
    ///
    /// # Errors
    ///
    /// Only those of the database: a broken chain is an answer.
    pub async fn events_verify(&self) -> Result<ChainReport, Error> {
        // The head is read first: what is appended meanwhile lies behind it and is no break.
        let head = self.one("verify events", HEAD, args![]).await?;
        let head = head.ok_or_else(|| Error::corrupt("the head of the event chain is missing"))?;
        let (last, head_hash) = (head.count("seq")?, head.text("hash")?);
        let mut report = ChainReport { checked: 0, broken: None, holds_to: Event::genesis().to_string() };
        while report.checked < last {
            let rows = self.all("verify events", LIST, args![report.checked, 500_i64]).await?;
            let expected = report.checked + 1;
            if rows.is_empty() {
                report.broken = Some(ChainBreak { seq: expected, reason: format!("event {expected} is missing") });
                return Ok(report);
            }
            for row in &rows {
                if report.checked == last {
                    break;
                }
                report.checked += 1;
                let seq = report.checked;
                let reason = match fault(row, seq, &report.holds_to) {
                    // A column that holds what Skipper never wrote there was changed, too.
                    Err(error @ Error::Corrupt { .. }) => Some(format!("event {seq} was changed: {error}")),
                    reason => reason?,
                };
                if let Some(reason) = reason {
                    report.broken = Some(ChainBreak { seq, reason });
                    return Ok(report);
                }
                report.holds_to = row.text("hash")?;
            }
        }
        if report.holds_to != head_hash {
            let reason = "the last event is not the one that the head of the chain names".to_owned();
            report.broken = Some(ChainBreak { seq: last, reason });
        }
        Ok(report)
    }
}

/// The newest event's number.
pub(crate) async fn head(db: &Db) -> Result<u64, Error> {
    db.one("read the head of the event chain", HEAD, args![]).await?.map_or(Ok(0), |row| row.count("seq"))
}

/// Links the events to the chain; returns the number of the last one. The last thing a transaction does.
pub(crate) async fn append_in_txn(txn: &mut Txn, events: Vec<NewEvent>) -> Result<u64, Error> {
    let (mut seq, mut previous) = txn.chain_head().await?;
    // Read under the lock, so that times never run backwards along the chain by our own doing.
    let at = txn.shared().clock.now();
    let mut linked = Vec::with_capacity(events.len());
    for new in events {
        seq += 1;
        let event = Event::link(new, seq, at, previous);
        previous = event.hash;
        linked.push(row(event)?);
    }
    let mut rest = linked.into_iter();
    while rest.len() > 0 {
        let (sql, count) = if rest.len() >= 3 { (INSERT_3, 3) } else { (INSERT, 1) };
        txn.later(sql, rest.by_ref().take(count).flatten().collect()).await?;
    }
    txn.chain_move((seq, previous)).await?;
    Ok(seq)
}

fn row(event: Event) -> Result<Vec<Arg>, Error> {
    Ok(args![
        event.seq,
        event.at,
        event.kind,
        event.tenant.map(String::from),
        event.release.map(String::from),
        event.revision,
        event.rollout.map(|id| id.to_string()),
        crate::json::text(&event.provenance)?,
        event.data.to_string(),
        event.previous,
        event.hash,
    ])
}

/// Those that can be understood. One that somebody has damaged must not hide what was told around it; `events_verify` names it.
fn readable(rows: &[Row]) -> Vec<Event> {
    let told = |row: &Row| {
        read(row)
            .inspect_err(|error| {
                let seq = row.count("seq").unwrap_or_default();
                tracing::warn!(seq, "an event is passed over, see `skipper events verify`: {error}");
            })
            .ok()
    };
    rows.iter().filter_map(told).collect()
}

fn read(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        seq: row.count("seq")?,
        at: row.time("at")?,
        kind: row.text("kind")?,
        tenant: row.maybe_parse("tenant")?,
        release: row.maybe_parse("release_name")?,
        revision: row.maybe_count("revision")?,
        rollout: row.maybe_parse("rollout_id")?,
        provenance: row.json("provenance")?,
        data: row.json("data")?,
        previous: row.parse("previous")?,
        hash: row.parse("hash")?,
    })
}

/// What is wrong with the event that should be number `seq` and follow `previous`.
///
/// The hash is computed over what is stored, not over what today's types make of it: a provenance that has got one more
/// field since must not break the chain of yesterday.
fn fault(row: &Row, seq: u64, previous: &str) -> Result<Option<String>, Error> {
    let found = row.count("seq")?;
    if found != seq {
        return Ok(Some(format!("event {seq} is missing; event {found} comes next")));
    }
    if row.text("previous")? != previous {
        return Ok(Some(format!("event {seq} does not follow event {}", seq - 1)));
    }
    let (provenance, data) = (row.text("provenance")?, row.text("data")?);
    let (Ok(provenance), Ok(data)) = (serde_json::from_str::<Value>(&provenance), serde_json::from_str::<Value>(&data))
    else {
        return Ok(Some(format!("event {seq} was changed: it holds text that is not JSON")));
    };
    let document = json!({
        "seq": seq,
        "at": row.int("at")?,
        "kind": row.text("kind")?,
        "tenant": row.maybe_text("tenant")?,
        "release": row.maybe_text("release_name")?,
        "revision": row.maybe_int("revision")?,
        "rollout": row.maybe_text("rollout_id")?,
        "provenance": provenance,
        "data": data,
        "previous": previous,
    });
    if Sha256::of_json(&document).to_string() != row.text("hash")? {
        return Ok(Some(format!("event {seq} was changed: its hash is not that of what it says")));
    }
    Ok(None)
}
