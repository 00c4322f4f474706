//! Tables `secret` and `secret_version`: sealed values, every version of each.

use skipper_core::{
    actor::Provenance,
    event::NewEvent,
    name::{ReleaseName, SecretName, TenantName},
    secret::{SecretValue, SecretValues, SecretVersions},
    time::Timestamp,
};
use zeroize::Zeroizing;

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json, release,
    seal::{Bond, Key, Sealed},
    tenant,
};

statements! {
    LIST = "SELECT name, version, created_at, updated_at, \
            (SELECT COUNT(*) FROM live_secret WHERE live_secret.tenant = secret.tenant AND live_secret.secret = secret.name) AS used \
        FROM secret WHERE tenant = $1 AND removed = 0 ORDER BY name LIMIT 10000";
    CURRENT = "SELECT version FROM secret WHERE tenant = $1 AND name = $2 AND removed = 0";
    ANY_SEALED = "SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM secret_version)";
    RAISE = "INSERT INTO secret (tenant, name, version, created_at, updated_at) VALUES ($1, $2, 1, $3, $3) \
        ON CONFLICT (tenant, name) DO UPDATE SET version = secret.version + 1, removed = 0, updated_at = excluded.updated_at, \
            row_version = secret.row_version + 1 RETURNING version";
    ADD_VERSION = "INSERT INTO secret_version (tenant, name, version, key_id, nonce, sealed, created_at, created_by) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    GET_VERSION = "SELECT key_id, nonce, sealed FROM secret_version WHERE tenant = $1 AND name = $2 AND version = $3";
    REMOVE = "UPDATE secret SET removed = 1, updated_at = $3, row_version = row_version + 1 \
        WHERE tenant = $1 AND name = $2 AND removed = 0";
    NAMED = "SELECT name FROM secret WHERE tenant = $1 AND removed = 0 AND name LIKE $2 ESCAPE '!' ORDER BY name LIMIT 10000";
    GONE = "SELECT 1 AS found FROM release WHERE tenant = $1 AND name = $2 AND purged = 0 AND deleted = 0";
    REMOVE_VERSIONS = "DELETE FROM secret_version WHERE tenant = $1 AND name = $2";
    USED_LIVE = "SELECT release.name AS name FROM live_secret JOIN live ON live.deployment_id = live_secret.deployment_id \
        JOIN release ON release.id = live.release_id WHERE live_secret.tenant = $1 AND live_secret.secret = $2 LIMIT 1";
    OPEN_SECRETS = "SELECT release.name AS name, rollout.secrets AS secrets FROM rollout \
        JOIN release ON release.id = rollout.release_id WHERE rollout.slot = 'open' AND release.tenant = $1";
}

/// Largest value: a certificate chain with its key is a hundredth of this.
const VALUE_MAX: usize = 1 << 20;

/// A secret as it is shown: never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// The current version.
    pub version: u64,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
    /// Whether something runs with it.
    pub used: bool,
}

impl Store {
    /// Sets a secret: a new version, which rollouts take from now on. Returns its number.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when there is no key to seal with; [`Error::Invalid`] above 1 MiB.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn secret_set(
        &self,
        tenant: &TenantName,
        name: &SecretName,
        value: &SecretValue,
        provenance: &Provenance,
    ) -> Result<u64, Error> {
        if value.expose().len() > VALUE_MAX {
            return Err(Error::Invalid(format!("the value of secret `{name}` is larger than 1 MiB")));
        }
        let key = self.sealing_key().await?;
        let mut txn = self.txn("set the secret").await?;
        tenant::ensure_in_txn(&mut txn, tenant).await?;
        let now = txn.shared().clock.now();
        let version = txn.row(RAISE, args![tenant.as_str(), name.as_str(), now]).await?.count("version")?;
        let sealed = key.seal(Bond { tenant, name, version }, value);
        txn.later(
            ADD_VERSION,
            args![
                tenant.as_str(),
                name.as_str(),
                version,
                sealed.key_id,
                sealed.nonce,
                sealed.bytes,
                now,
                json::text(provenance)?,
            ],
        )
        .await?;
        txn.tell([told("secret.set", tenant, name, version, provenance)]);
        txn.commit().await?;
        Ok(version)
    }

    /// Sets a secret unless it has that value already. Returns the number of its current version.
    ///
    /// # Errors
    ///
    /// As [`Store::secret_set`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn secret_ensure(
        &self,
        tenant: &TenantName,
        name: &SecretName,
        value: &SecretValue,
        provenance: &Provenance,
    ) -> Result<u64, Error> {
        if let Some(row) = self.one("read a secret's version", CURRENT, args![tenant.as_str(), name.as_str()]).await? {
            let version = row.count("version")?;
            let known = SecretVersions([(name.clone(), version)].into());
            let open = self.secret_open(tenant, &known).await?;
            if open.get(name).is_some_and(|known| known.expose() == value.expose()) {
                return Ok(version);
            }
        }
        self.secret_set(tenant, name, value, provenance).await
    }

    /// The current value of a secret; `None` when it is not set.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when it cannot be opened.
    pub async fn secret_value(&self, tenant: &TenantName, name: &SecretName) -> Result<Option<SecretValue>, Error> {
        let row = self.one("read a secret's version", CURRENT, args![tenant.as_str(), name.as_str()]).await?;
        let Some(row) = row else { return Ok(None) };
        let known = SecretVersions([(name.clone(), row.count("version")?)].into());
        Ok(self.secret_open(tenant, &known).await?.remove(name))
    }

    /// A key for a purpose that is named by the caller: the same for every server that has the sealing key. It is made of that
    /// one, which is made first where nothing was sealed before.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when the sealing key cannot be read, or is missing although something was sealed with it.
    pub async fn key_for(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        Ok(self.sealing_key().await?.derive(purpose))
    }

    /// The sealing key; one is made where nothing was sealed before.
    pub(crate) async fn sealing_key(&self) -> Result<Key, Error> {
        let sealed_before = self.one("look for sealed secrets", ANY_SEALED, args![]).await?.is_some();
        self.shared.keys.key(!sealed_before)
    }

    /// The tenant's secrets by name; at most 10,000.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn secret_list(&self, tenant: &TenantName) -> Result<Vec<SecretInfo>, Error> {
        self.all("list secrets", LIST, args![tenant.as_str()]).await?.iter().map(read_info).collect()
    }

    /// Names of secrets that hold this text; at most 10,000.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn secret_names(&self, tenant: &TenantName, text: &str) -> Result<Vec<SecretName>, Error> {
        let args = args![tenant.as_str(), release::like(text)];
        self.all("list secrets", NAMED, args).await?.iter().map(|row| row.parse("name")).collect()
    }

    /// Removes secrets that were sealed for a release, unless that is there: what is installed anew meanwhile keeps its own.
    /// Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn secret_remove_left(
        &self,
        tenant: &TenantName,
        release: &ReleaseName,
        names: &[SecretName],
        provenance: &Provenance,
    ) -> Result<usize, Error> {
        let mut txn = self.txn("remove what was sealed for a release").await?;
        let now = txn.shared().clock.now();
        // Whoever installs it waits until this is done.
        release::lock_by_name_in_txn(&mut txn, tenant, release).await?;
        if txn.one(GONE, args![tenant.as_str(), release.as_str()]).await?.is_some() {
            txn.leave().await?;
            return Ok(0);
        }
        let mut removed = 0;
        for name in names {
            let Some(row) = txn.one(CURRENT, args![tenant.as_str(), name.as_str()]).await? else { continue };
            let version = row.count("version")?;
            txn.later(REMOVE_VERSIONS, args![tenant.as_str(), name.as_str()]).await?;
            txn.later(REMOVE, args![tenant.as_str(), name.as_str(), now]).await?;
            txn.tell([told("secret.removed", tenant, name, version, provenance)]);
            removed += 1;
        }
        txn.commit().await?;
        Ok(removed)
    }

    /// Removes a secret with all its versions. With `force` also one that is in use: what runs keeps its value, and is not
    /// started again without it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::SecretInUse`] names a release that runs or is being rolled out with it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn secret_remove(
        &self,
        tenant: &TenantName,
        name: &SecretName,
        force: bool,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let mut txn = self.txn("remove the secret").await?;
        let now = txn.shared().clock.now();
        let Some(row) = txn.one(CURRENT, args![tenant.as_str(), name.as_str()]).await? else {
            return Err(Error::not_found("secret", name));
        };
        let version = row.count("version")?;
        if !force && let Some(release) = user_in_txn(&mut txn, tenant, name).await? {
            return Err(Error::SecretInUse { name: name.clone(), release: release.to_string() });
        }
        txn.later(REMOVE_VERSIONS, args![tenant.as_str(), name.as_str()]).await?;
        txn.later(REMOVE, args![tenant.as_str(), name.as_str(), now]).await?;
        txn.tell([told("secret.removed", tenant, name, version, provenance)]);
        txn.commit().await
    }

    pub(crate) async fn secret_current(
        &self,
        tenant: &TenantName,
        names: &[SecretName],
    ) -> Result<SecretVersions, Error> {
        let mut versions = SecretVersions::default();
        for name in names {
            let row = self.one("read a secret's version", CURRENT, args![tenant.as_str(), name.as_str()]).await?;
            let row = row.ok_or_else(|| Error::not_found("secret", name))?;
            versions.0.insert(name.clone(), row.count("version")?);
        }
        Ok(versions)
    }

    pub(crate) async fn secret_open(
        &self,
        tenant: &TenantName,
        versions: &SecretVersions,
    ) -> Result<SecretValues, Error> {
        let mut values = SecretValues::new();
        for (name, version) in &versions.0 {
            let bond = Bond { tenant, name, version: *version };
            let sql_args = args![tenant.as_str(), name.as_str(), *version];
            let row = self.one("read a sealed secret", GET_VERSION, sql_args).await?;
            let row = row.ok_or_else(|| Error::not_found("secret", format!("{name} (version {version})")))?;
            let sealed =
                Sealed { key_id: row.text("key_id")?, nonce: row.bytes("nonce")?, bytes: row.bytes("sealed")? };
            values.insert(name.clone(), self.shared.keys.key(false)?.open(bond, &sealed)?);
        }
        Ok(values)
    }
}

/// A release that runs, or is being rolled out, with the secret.
async fn user_in_txn(txn: &mut Txn, tenant: &TenantName, name: &SecretName) -> Result<Option<ReleaseName>, Error> {
    if let Some(row) = txn.one(USED_LIVE, args![tenant.as_str(), name.as_str()]).await? {
        return row.parse("name").map(Some);
    }
    for row in txn.all(OPEN_SECRETS, args![tenant.as_str()]).await? {
        if row.json::<SecretVersions>("secrets")?.0.contains_key(name) {
            return row.parse("name").map(Some);
        }
    }
    Ok(None)
}

fn told(kind: &str, tenant: &TenantName, name: &SecretName, version: u64, provenance: &Provenance) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant: Some(tenant.clone()),
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data: serde_json::json!({"secret": name, "version": version}),
    }
}

fn read_info(row: &Row) -> Result<SecretInfo, Error> {
    Ok(SecretInfo {
        name: row.parse("name")?,
        version: row.count("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        used: row.flag("used")?,
    })
}
