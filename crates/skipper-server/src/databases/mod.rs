//! Branches of databases for previews, at those who make them: a copy of the data that a preview may change and that goes with it.
//!
//! What is made is noted before it is asked for ([`skipper_store::DatabaseBranch`]), under a name that nothing else has. Making
//! and removing are by that name and may be repeated, so that whatever a crash cuts off is taken up or taken away.

mod neon;
mod tend;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use skipper_core::{
    BoxFuture,
    id::ReleaseId,
    name::{ReleaseName, SecretName, TenantName, slug},
    port::{Error, ErrorKind, Ids},
    secret::SecretValue,
};
use skipper_platform::artifact::{self, FetchLimits};
use skipper_source::app::{Database, DatabaseProvider, ProviderKind, Server};
use skipper_store::Store;
use tokio::time::{Instant, sleep};

pub use tend::sweep;
pub(crate) use tend::tend;

/// Longest until a branch is there.
const PATIENCE: Duration = Duration::from_secs(120);
/// First and longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Somebody who makes branches of databases.
pub(crate) trait Provider: Send + Sync + fmt::Debug {
    /// Has a branch of that name, with something that answers for it: makes what is not there yet. One attempt; repeated it goes on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Transient`] where another attempt may help.
    fn ensure<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Made, Error>>;

    /// Removes the branch of that name. `false` where there is none.
    ///
    /// # Errors
    ///
    /// As [`Provider::ensure`].
    fn remove<'a>(&'a self, project: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, Error>>;
}

/// A branch that is to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The provider's project.
    pub(crate) project: &'a str,
    /// What it is called.
    pub(crate) name: &'a str,
    /// Name or id of the branch to start from; the project's own choice when `None`.
    pub(crate) parent: Option<&'a str>,
}

/// A branch that is there.
#[derive(Debug)]
pub(crate) struct Made {
    /// The provider's id of it.
    pub(crate) id: String,
    /// How to connect, with the password.
    pub(crate) address: SecretValue,
}

/// Makes branches, and knows their providers.
#[derive(Debug, Clone)]
pub(crate) struct Branches {
    store: Store,
    ids: Arc<dyn Ids>,
    /// Made when first needed: loading the host's certificates takes longer than the rest of a server's start.
    client: Arc<OnceLock<reqwest::Client>>,
}

impl Branches {
    pub(crate) fn new(store: Store, ids: Arc<dyn Ids>) -> Self {
        Self { store, ids, client: Arc::default() }
    }

    /// The branch of a release as its image asks for it: where to connect. Makes it where it is not there yet.
    ///
    /// # Errors
    ///
    /// The provider is not known, refuses, or does not come to it within `bound`.
    pub(crate) async fn ensure(
        &self,
        server: &Server,
        release: (ReleaseId, &ReleaseName),
        asked: &Database,
        bound: Duration,
    ) -> Result<SecretValue, Error> {
        let name = asked.provider.as_deref().unwrap_or_default();
        let known = known(server, name)?;
        // The server's word counts: an image must not reach into somebody else's project.
        let project = known.project_id.as_ref().or(asked.project_id.as_ref()).ok_or_else(|| {
            refused(format!("nobody says in which project of `{name}` the branch of the database is to be made"))
                .hint(format!("write project_id under [preview.database] of the image, or under [databases.{name}]"))
        })?;
        let provider = self.provider(&known).await?;
        let (id, release) = release;
        let fresh = format!("skipper-{}-{}", slug(release.as_str(), 64), self.ids.next().simple());
        let branch = self.store.branch_ask(id, name, project, &fresh).await?;
        let parent = asked.branch_from.as_deref().or(known.branch_from.as_deref());
        let wanted = Wanted { project: &branch.project, name: &branch.name, parent };
        let made =
            patiently(bound.min(PATIENCE), || provider.ensure(&wanted)).await.map_err(|error| lasting(&error))?;
        self.store.branch_made(&branch.name, &made.id).await?;
        tracing::info!(%release, branch = branch.name, "the preview has a branch of its database");
        Ok(made.address)
    }

    /// Whoever goes by that name in `slip.toml`.
    async fn provider(&self, known: &DatabaseProvider) -> Result<Box<dyn Provider>, Error> {
        let key = match &known.api_key {
            Some(key) => Some(key.clone()),
            None => match key_name(&known.name) {
                Some(secret) => self.store.secret_value(&TenantName::default_tenant(), &secret).await?,
                None => None,
            },
        };
        let key = key.filter(|key| !key.expose().is_empty()).ok_or_else(|| {
            let name = &known.name;
            refused(format!("no key is known with which `{name}` could be asked for branches of databases")).hint(
                format!(
                    "write api_key under [databases.{name}] of slip.toml, or set the secret `databases.{name}.api-key`"
                ),
            )
        })?;
        let client = self.client()?;
        Ok(match known.kind {
            ProviderKind::Neon => Box::new(neon::Neon::new(client, known, key)),
        })
    }

    fn client(&self) -> Result<reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let limits = FetchLimits { max_redirects: 0, ..FetchLimits::default() };
        let client = artifact::http_client(&limits, None)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// The provider of that name.
fn known(server: &Server, name: &str) -> Result<DatabaseProvider, Error> {
    server.database(name).ok_or_else(|| {
        refused(format!("`{name}` is no provider of databases that is known here"))
            .hint(format!("write [databases.{name}] in slip.toml, with api_key and where it is (url)"))
    })
}

/// Where the key is when it is in no file. No secret of an app is called so.
fn key_name(provider: &str) -> Option<SecretName> {
    SecretName::new(format!("databases.{provider}.api-key")).ok()
}

/// As the end of a rollout: nothing is there to be observed.
fn lasting(error: &Error) -> Error {
    let told = Error::new(ErrorKind::Permanent, "preview-database", error.chain());
    match error.advice() {
        Some(hint) => told.hint(hint.to_owned()),
        None => told,
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Permanent, "preview-database", message)
}

/// Tries until it works, until trying again would not help, or until `bound` has passed.
async fn patiently<'a, T>(bound: Duration, attempt: impl Fn() -> BoxFuture<'a, Result<T, Error>>) -> Result<T, Error> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) || begun.elapsed() + pause >= bound {
            return Err(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
