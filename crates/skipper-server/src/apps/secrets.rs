//! What the secrets of apps are called in the store: `APP.KEY` for those that people set, `RELEASE.config.NAME` for values
//! that the directory takes out of the environment.

use std::collections::BTreeMap;

use skipper_core::{
    actor::Provenance,
    name::{ReleaseName, SecretName, TenantName},
    port::{Error, ErrorKind},
    secret::SecretValues,
    spec::{Application, SecretUse},
};
use skipper_source::app::{preview_prefix, split_preview};
use skipper_store::Store;

/// The key that verifies webhooks and that no process gets to see.
pub(crate) const WEBHOOK_KEY: &str = "SLIP_SECRET";

/// Between an app and what it takes out of the environment.
const CONFIG: &str = "config";

/// What the store calls a key of an app. `None` for what is no key: letters, digits and underscores, no digit first, at
/// most 128 of them.
pub(crate) fn name(app: &ReleaseName, key: &str) -> Option<SecretName> {
    let fits = (1..=128).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !key.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| SecretName::new(format!("{app}.{key}")).ok()).flatten()
}

/// The keys of an app that are set, without values.
pub(crate) async fn of_app(
    store: &Store,
    tenant: &TenantName,
    app: &ReleaseName,
) -> Result<BTreeMap<String, SecretName>, skipper_store::Error> {
    let prefix = format!("{app}.");
    let all = store.secret_list(tenant).await?;
    // What another app or a preview is called may begin alike; a key holds no dot.
    let own = all.into_iter().filter_map(|info| {
        let key = info.name.as_str().strip_prefix(&prefix)?.to_owned();
        (!key.contains('.')).then_some((key, info.name))
    });
    Ok(own.collect())
}

/// Removes every secret of an app that is taken away, also where something runs with it: that goes too. `is_app` says of which
/// names there are apps: what is theirs may be called alike.
pub(crate) async fn remove_all(
    store: &Store,
    app: &ReleaseName,
    is_app: impl Fn(&str) -> bool,
    provenance: &Provenance,
) -> Result<(), skipper_store::Error> {
    let tenant = TenantName::default_tenant();
    let prefix = format!("{app}.");
    for info in store.secret_list(&tenant).await? {
        let Some(rest) = info.name.as_str().strip_prefix(&prefix) else { continue };
        let own = match rest.rsplit_once('.') {
            None => true,
            Some((CONFIG, _)) => !is_app(&format!("{app}.{CONFIG}")),
            Some((of, _)) => of.starts_with("preview."),
        };
        if own {
            match store.secret_remove(&tenant, &info.name, true, provenance).await {
                Ok(()) | Err(skipper_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The release of a preview that a value was sealed for; `None` for every other secret.
pub(crate) fn sealed_for_preview(name: &SecretName) -> Option<ReleaseName> {
    let (app, rest) = split_preview(name.as_str());
    // A label holds no dot; what a variable is called may.
    let (label, variable) = rest?.split_once('.')?;
    variable.strip_prefix(CONFIG)?.strip_prefix('.')?;
    ReleaseName::new(format!("{}{label}", preview_prefix(app))).ok()
}

/// Stores what came out of the environment for the release, and writes its names into the applications.
pub(crate) async fn seal(
    store: &Store,
    tenant: &TenantName,
    release: &ReleaseName,
    sealed: SecretValues,
    applications: &mut [Application],
    provenance: &Provenance,
) -> Result<(), Error> {
    let of_release = |name: &SecretName| {
        SecretName::new(format!("{release}.{name}"))
            .map_err(|wrong| Error::new(ErrorKind::Permanent, "secret-name", wrong.to_string()))
    };
    for (name, value) in &sealed {
        store.secret_ensure(tenant, &of_release(name)?, value, provenance).await?;
    }
    for used in applications.iter_mut().flat_map(|application| &mut application.secrets) {
        let (SecretUse::Env { secret, .. } | SecretUse::File { secret, .. }) = used;
        if sealed.contains_key(secret) {
            *secret = of_release(secret)?;
        }
    }
    Ok(())
}
