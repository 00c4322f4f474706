//! Table `mode`: what users asked the edge to do with requests.

use skipper_core::{
    name::AppName,
    route::{Mode, ServiceId},
};

use crate::{
    Error, Store,
    db::{Txn, args, statements},
    json,
};

statements! {
    LIST = "SELECT release_id, app, mode FROM mode ORDER BY release_id, app";
    PUT = "INSERT INTO mode (release_id, app, mode) VALUES ($1, $2, $3) \
        ON CONFLICT (release_id, app) DO UPDATE SET mode = excluded.mode";
    REMOVE = "DELETE FROM mode WHERE release_id = $1 AND app = $2";
    CLEAR = "DELETE FROM mode WHERE release_id = $1";
}

impl Store {
    /// Every mode that somebody asked for and nobody took back.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub(crate) async fn mode_list(&self) -> Result<Vec<(ServiceId, Mode)>, Error> {
        let rows = self.all("read what was asked of the edge", LIST, args![]).await?;
        let read = |row: &crate::db::Row| {
            Ok((
                ServiceId {
                    release: row.parse("release_id")?,
                    app: AppName::new(row.text("app")?).map_err(|e| Error::corrupt_because("column app", e))?,
                },
                row.json("mode")?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// See [`skipper_core::port::RolloutStore::mode_set`].
    pub(crate) async fn mode_put(&self, id: &ServiceId, mode: Option<&Mode>) -> Result<(), Error> {
        let mut txn = self.txn("store what is asked of the edge").await?;
        match mode {
            Some(mode) => txn.run(PUT, args![id.release, id.app.as_str(), json::text(mode)?]).await?,
            None => txn.run(REMOVE, args![id.release, id.app.as_str()]).await?,
        };
        txn.commit().await
    }
}

/// A release that is gone is asked nothing of.
pub(crate) async fn clear_in_txn(txn: &mut Txn, release: skipper_core::id::ReleaseId) -> Result<(), Error> {
    txn.later(CLEAR, args![release]).await
}
