//! Table `live`: the deployments that run, leftovers included.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::{DeploymentId, Live},
    event::NewEvent,
    generation::Generation,
    id::ReleaseId,
    port::Lease,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json, release,
    store::page,
};

statements! {
    OF_RELEASE = "SELECT * FROM live WHERE release_id = $1 ORDER BY deployment_id";
    LIST = "SELECT * FROM live WHERE deployment_id > $1 ORDER BY deployment_id LIMIT $2";
    GET = "SELECT * FROM live WHERE deployment_id = $1";
    PUT = "INSERT INTO live (deployment_id, release_id, app, target, revision, weight, instances, addresses, gen_epoch, gen_counter, \
            deployment, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        ON CONFLICT (deployment_id) DO UPDATE SET app = excluded.app, target = excluded.target, revision = excluded.revision, \
            weight = excluded.weight, instances = excluded.instances, addresses = excluded.addresses, \
            gen_epoch = excluded.gen_epoch, gen_counter = excluded.gen_counter, deployment = excluded.deployment, \
            updated_at = excluded.updated_at";
    REMOVE = "DELETE FROM live WHERE deployment_id = $1";
    FORGET_SECRETS = "DELETE FROM live_secret WHERE deployment_id = $1";
    ADD_SECRET = "INSERT INTO live_secret (deployment_id, tenant, secret) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    NEWEST_RIGHT = "SELECT gen_epoch, gen_counter FROM release WHERE id = $1";
    KNOWN = "SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM live WHERE deployment_id = $1) \
        OR EXISTS (SELECT 1 FROM plan_deployment WHERE deployment_id = $1)";
}

impl Store {
    /// What runs for a release, leftovers of earlier revisions included.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn live_for_release(&self, release: ReleaseId) -> Result<Vec<Live>, Error> {
        self.all("read what runs", OF_RELEASE, args![release]).await?.iter().map(read).collect()
    }

    /// What runs under that id.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn live_get(&self, id: &DeploymentId) -> Result<Option<Live>, Error> {
        self.one("read what runs", GET, args![id.as_str()]).await?.as_ref().map(read).transpose()
    }

    /// Everything that runs, by id, after `after`, at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn live_list(&self, after: Option<&DeploymentId>, limit: u32) -> Result<Vec<Live>, Error> {
        let after = after.map_or("", DeploymentId::as_str);
        self.all("read what runs", LIST, args![after, page(limit)]).await?.iter().map(read).collect()
    }

    pub(crate) async fn live_supervised(
        &self,
        live: &Live,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> Result<(), Error> {
        let mut txn = self.txn("store what supervision changed").await?;
        let id = &live.deployment.id;
        fence_in_txn(&mut txn, live.deployment.release, id, generation).await?;
        if txn.one(GET, args![id.as_str()]).await?.is_none() {
            return Err(Error::not_found("deployment", id));
        }
        put_in_txn(&mut txn, live, generation).await?;
        txn.tell(events);
        txn.commit().await
    }

    pub(crate) async fn live_forget(
        &self,
        id: &DeploymentId,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> Result<(), Error> {
        let mut txn = self.txn("forget a deployment").await?;
        if let Some(row) = txn.one(GET, args![id.as_str()]).await? {
            fence_in_txn(&mut txn, row.parse("release_id")?, id, generation).await?;
            remove_in_txn(&mut txn, id).await?;
        }
        txn.tell(events);
        txn.commit().await
    }

    pub(crate) async fn live_knows(&self, id: &DeploymentId) -> Result<bool, Error> {
        Ok(self.one("look for a deployment", KNOWN, args![id.as_str()]).await?.is_some())
    }
}

/// Refuses a generation when a higher one has been given out for the release, and locks the release.
async fn fence_in_txn(txn: &mut Txn, of: ReleaseId, id: &DeploymentId, generation: Generation) -> Result<(), Error> {
    release::lock_in_txn(txn, of).await?;
    let newest = read_generation(&txn.row(NEWEST_RIGHT, args![of]).await?)?;
    let stored = txn.one(GET, args![id.as_str()]).await?.as_ref().map(read_generation).transpose()?;
    if generation < newest.max(stored.unwrap_or_default()) {
        return Err(Error::StaleGeneration { what: format!("deployment {id}") });
    }
    Ok(())
}

/// Stores a deployment under the right by which it was acted upon.
pub(crate) async fn put_in_txn(txn: &mut Txn, live: &Live, generation: Generation) -> Result<(), Error> {
    let (now, deployment) = (txn.shared().clock.now(), &live.deployment);
    let mut stored = live.clone();
    stored.generation = generation;
    txn.later(
        PUT,
        args![
            deployment.id.as_str(),
            deployment.release,
            deployment.app.name.as_str(),
            deployment.app.target.0.as_str(),
            deployment.revision,
            u32::from(live.weight),
            json::text(&live.instances)?,
            json::text(&live.addresses)?,
            generation.epoch,
            generation.counter,
            json::text(deployment)?,
            now,
        ],
    )
    .await?;
    txn.later(FORGET_SECRETS, args![deployment.id.as_str()]).await?;
    for secret in deployment.secrets.0.keys() {
        txn.later(ADD_SECRET, args![deployment.id.as_str(), deployment.tenant.as_str(), secret.as_str()]).await?;
    }
    Ok(())
}

/// Stores what the holder of a rollout's lease made of each deployment (`None`: it is gone); the lease was judged before.
pub(crate) async fn change_in_txn(
    txn: &mut Txn,
    lease: &Lease,
    lives: BTreeMap<DeploymentId, Option<Live>>,
) -> Result<(), Error> {
    for (id, live) in lives {
        match live {
            Some(live) => put_in_txn(txn, &live, lease.generation).await?,
            None => remove_in_txn(txn, &id).await?,
        }
    }
    Ok(())
}

pub(crate) async fn remove_in_txn(txn: &mut Txn, id: &DeploymentId) -> Result<(), Error> {
    txn.later(FORGET_SECRETS, args![id.as_str()]).await?;
    txn.later(REMOVE, args![id.as_str()]).await
}

fn read_generation(row: &Row) -> Result<Generation, Error> {
    Ok(Generation { epoch: row.count("gen_epoch")?, counter: row.count("gen_counter")? })
}

pub(crate) fn read(row: &Row) -> Result<Live, Error> {
    Ok(Live {
        deployment: row.json("deployment")?,
        weight: row.small("weight")?,
        instances: row.json("instances")?,
        addresses: row.json("addresses")?,
        generation: read_generation(row)?,
    })
}
