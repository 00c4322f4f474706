//! Table `bundle`: what a failed rollout left behind, for people.

use skipper_core::{id::RolloutId, port::Lease, rollout::FailureBundle};

use crate::{
    Error, Store,
    db::{args, statements},
    json, lease,
};

statements! {
    GET = "SELECT bundle FROM bundle WHERE rollout_id = $1";
    ADD = "INSERT INTO bundle (rollout_id, at, bundle) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
}

impl Store {
    /// The failure bundle of a rollout, if it left one.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn bundle_get(&self, rollout: RolloutId) -> Result<Option<FailureBundle>, Error> {
        let row = self.one("read the failure bundle", GET, args![rollout]).await?;
        row.map(|row| row.json("bundle")).transpose()
    }

    /// The first one stays.
    pub(crate) async fn bundle_add(&self, lease: &Lease, bundle: &FailureBundle) -> Result<(), Error> {
        let mut txn = self.txn("keep the failure bundle").await?;
        lease::fence_in_txn(&mut txn, lease).await?;
        txn.later(ADD, args![lease.rollout, bundle.at, json::text(bundle)?]).await?;
        txn.commit().await
    }
}
