//! Table `route_claim`: a listener, host and path lead to one release.
//!
//! Claims are made when a spec is stored, by the intent or by Resolve, and are settled when the rollout ends: what the
//! serving revision and the waiting ones need stays, the rest is free again.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{
    id::ReleaseId,
    name::{AppName, ReleaseName, TenantName},
    release::Door,
    route::{Listener, RouteKey},
    spec::Spec,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
};

statements! {
    ADD = "INSERT INTO route_claim (listener, host, path, release_id, app) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    SET_APP = "UPDATE route_claim SET app = $5 WHERE listener = $1 AND host = $2 AND path = $3 AND release_id = $4";
    OWNER = "SELECT release.id AS id, release.tenant AS tenant, release.name AS name FROM route_claim \
        JOIN release ON release.id = route_claim.release_id WHERE listener = $1 AND host = $2 AND path = $3";
    PORT_OWNER = "SELECT release.id AS id, release.tenant AS tenant, release.name AS name FROM port_claim \
        JOIN release ON release.id = port_claim.release_id WHERE port = $1";
    CLEAR = "DELETE FROM route_claim WHERE release_id = $1";
    LIST = "SELECT * FROM route_claim WHERE release_id = $1 ORDER BY listener, host, path";
    HOSTS = "SELECT DISTINCT host FROM route_claim WHERE listener = 'http' AND host <> ''";
    HOLDERS = "SELECT route_claim.host AS host, route_claim.path AS path, release.name AS name FROM route_claim \
        JOIN release ON release.id = route_claim.release_id WHERE route_claim.listener IN ('http', 'https') AND route_claim.host <> '' \
            AND release.tenant = $1 AND release.door = $2";
    NEEDED = "SELECT spec FROM revision WHERE release_id = $1 AND state IN ('live', 'pending') AND spec IS NOT NULL";
}

/// A route that a release holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteClaim {
    /// Listener, as it is shown: `http`, `https`, `:8080`.
    pub listener: String,
    /// Host name; `None` for any.
    pub host: Option<String>,
    /// Path prefix.
    pub path: String,
    /// The application it leads to.
    pub app: AppName,
}

impl Store {
    /// The routes that a release holds.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn route_claims_list(&self, release: ReleaseId) -> Result<Vec<RouteClaim>, Error> {
        self.all("list route claims", LIST, args![release]).await?.iter().map(read).collect()
    }

    /// Host names that lead to releases over the edge's shared listener, those of revisions that are still to serve included.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn route_hosts(&self) -> Result<BTreeSet<String>, Error> {
        self.all("list host names", HOSTS, args![]).await?.iter().map(|row| row.text("host")).collect()
    }

    /// Host names and paths on the edge's shared listeners, and the releases of that door that have them; one that is on both comes twice.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn route_holders(
        &self,
        tenant: &TenantName,
        door: Door,
    ) -> Result<Vec<(String, String, ReleaseName)>, Error> {
        let rows = self.all("list host names", HOLDERS, args![tenant.as_str(), door.as_str()]).await?;
        rows.iter().map(|row| Ok((row.text("host")?, row.text("path")?, row.parse("name")?))).collect()
    }

    /// Whether a spec's routes are free for the release (`None`: for one that does not exist yet). For plans; what counts is
    /// the check that is made again when the spec is stored.
    ///
    /// # Errors
    ///
    /// [`Error::RouteTaken`] names the first route that another release holds, and that release.
    pub async fn route_claims_check(&self, release: Option<ReleaseId>, spec: &Spec) -> Result<(), Error> {
        for key in keys(spec).into_keys() {
            let doing = "look for the owner of a route";
            let mut owner = self.one(doing, OWNER, args![listener(&key), host(&key), key.path.as_str()]).await?;
            if let (None, Listener::Port(port)) = (&owner, key.listener) {
                owner = self.one(doing, PORT_OWNER, args![u32::from(port)]).await?;
            }
            if let Some(row) = owner
                && Some(row.parse("id")?) != release
            {
                return Err(taken(&key, &row)?);
            }
        }
        Ok(())
    }
}

/// Claims every route of a spec, beside those the release has.
pub(crate) async fn add_in_txn(txn: &mut Txn, release: ReleaseId, spec: &Spec) -> Result<(), Error> {
    for (key, app) in keys(spec) {
        let claim = || args![listener(&key), host(&key), key.path.as_str(), release, app.as_str()];
        if let Listener::Port(port) = key.listener
            && let Some(row) = txn.one(PORT_OWNER, args![u32::from(port)]).await?
            && row.parse::<ReleaseId>("id")? != release
        {
            return Err(taken(&key, &row)?);
        }
        if txn.run(ADD, claim()).await? == 0 && txn.run(SET_APP, claim()).await? == 0 {
            let row = txn.row(OWNER, args![listener(&key), host(&key), key.path.as_str()]).await?;
            return Err(taken(&key, &row)?);
        }
    }
    Ok(())
}

/// Keeps what the revisions that serve or are still to serve need, and frees the rest.
pub(crate) async fn settle_in_txn(txn: &mut Txn, release: ReleaseId) -> Result<(), Error> {
    let needed = txn.all(NEEDED, args![release]).await?;
    txn.later(CLEAR, args![release]).await?;
    for row in &needed {
        add_in_txn(txn, release, &row.json("spec")?).await?;
    }
    Ok(())
}

/// In one order for everybody, so that two transactions never wait for each other.
fn keys(spec: &Spec) -> BTreeMap<RouteKey, AppName> {
    spec.applications
        .iter()
        .flat_map(|app| app.routes.iter().map(|route| (route.key(), app.name.clone())))
        .filter(|(key, _)| key.listener != Listener::Auto)
        .collect()
}

fn listener(key: &RouteKey) -> String {
    key.listener.to_string()
}

fn host(key: &RouteKey) -> &str {
    key.host.as_ref().map_or("", |host| host.as_str())
}

fn taken(key: &RouteKey, owner: &Row) -> Result<Error, Error> {
    let owner = format!("{}/{}", owner.text("tenant")?, owner.text("name")?);
    Ok(Error::RouteTaken { route: key.to_string(), owner })
}

fn read(row: &Row) -> Result<RouteClaim, Error> {
    Ok(RouteClaim {
        listener: row.text("listener")?,
        host: Some(row.text("host")?).filter(|host| !host.is_empty()),
        path: row.text("path")?,
        app: row.parse("app")?,
    })
}
