//! Table `port_claim`: ports of the edge that Skipper picked, each for one application for as long as its release is there.

use std::{collections::BTreeSet, ops::RangeInclusive};

use skipper_core::{id::ReleaseId, name::AppName};

use crate::{
    Error, Store,
    db::{Txn, args, statements},
};

statements! {
    GET = "SELECT port FROM port_claim WHERE release_id = $1 AND app = $2";
    TAKEN = "SELECT port FROM port_claim WHERE port BETWEEN $1 AND $2";
    /// Listeners of their own are written `:8080`; `;` is the character after `:`.
    ROUTED = "SELECT DISTINCT listener FROM route_claim WHERE listener > ':' AND listener < ';'";
    ADD = "INSERT INTO port_claim (port, release_id, app, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    /// One that its release is routed by is kept, whatever is said of it.
    GIVE_UP = "DELETE FROM port_claim WHERE release_id = $1 AND app = $2 AND NOT EXISTS (SELECT 1 FROM route_claim \
        WHERE route_claim.release_id = port_claim.release_id AND route_claim.listener = ':' || CAST(port_claim.port AS TEXT))";
    CLEAR = "DELETE FROM port_claim WHERE release_id = $1";
}

/// How often another server may be faster before we give up.
const TRIES: u32 = 16;

impl Store {
    /// The port of the edge for an application: always the same one, else the lowest of the range that no claim and no
    /// route has and that is not in `avoid`.
    ///
    /// # Errors
    ///
    /// [`Error::NoFreePort`]; [`Error::NotFound`] for an unknown release.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn port_claim(
        &self,
        release: ReleaseId,
        app: &AppName,
        range: RangeInclusive<u16>,
        avoid: &[u16],
    ) -> Result<u16, Error> {
        let mut txn = self.txn("claim a port").await?;
        crate::release::lock_in_txn(&mut txn, release).await?;
        for _ in 0..TRIES {
            if let Some(row) = txn.one(GET, args![release, app.as_str()]).await? {
                txn.leave().await?;
                return row.small("port");
            }
            let port = free_in_txn(&mut txn, &range, avoid).await?;
            let now = txn.shared().clock.now();
            if txn.run(ADD, args![u32::from(port), release, app.as_str(), now]).await? == 1 {
                txn.commit().await?;
                return Ok(port);
            }
        }
        Err(Error::NoFreePort { from: *range.start(), to: *range.end() })
    }

    /// Gives up the port that was picked for an application, because nobody can listen there. One that the release is routed
    /// by stays. Says whether it was given up.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn port_give_up(&self, release: ReleaseId, app: &AppName) -> Result<bool, Error> {
        let mut txn = self.txn("give up a port").await?;
        let gone = txn.run(GIVE_UP, args![release, app.as_str()]).await? > 0;
        txn.commit().await?;
        Ok(gone)
    }
}

async fn free_in_txn(txn: &mut Txn, range: &RangeInclusive<u16>, avoid: &[u16]) -> Result<u16, Error> {
    let (from, to) = (*range.start(), *range.end());
    let mut taken: BTreeSet<u16> = avoid.iter().copied().collect();
    for row in txn.all(TAKEN, args![u32::from(from), u32::from(to)]).await? {
        taken.insert(row.small("port")?);
    }
    for row in txn.all(ROUTED, args![]).await? {
        taken.extend(row.text("listener")?.trim_start_matches(':').parse::<u16>());
    }
    range.clone().find(|port| !taken.contains(port)).ok_or(Error::NoFreePort { from, to })
}

/// The release is gone, and so are its ports.
pub(crate) async fn clear_in_txn(txn: &mut Txn, release: ReleaseId) -> Result<(), Error> {
    txn.later(CLEAR, args![release]).await
}
