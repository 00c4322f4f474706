//! Lists of versions that were read lately. What runs is never held: platforms are asked each time.

use std::sync::Arc;

use skipper_core::name::TenantName;
use skipper_store::{RunningVersion, StoredVersion, VersionFilter};

use crate::{app::App, error::Error, held::Held};

/// What a version, or something that runs, takes beside its manifest, in bytes, roughly: the spec more than all else.
const EACH: usize = 8 << 10;

/// Versions, and what runs of their releases.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) versions: Vec<Arc<StoredVersion>>,
    pub(super) running: Vec<RunningVersion>,
}

/// What was read lately.
#[derive(Debug, Default)]
pub struct HeldVersions {
    lists: Held<(TenantName, String), Arc<Read>>,
    counts: Held<TenantName, u64>,
}

/// Versions by a filter, and what runs of their releases.
pub(super) async fn read(app: &App, tenant: &TenantName, filter: VersionFilter<'_>) -> Result<Arc<Read>, Error> {
    let reading = async {
        let versions = app.timed("version_list", app.store.version_list(tenant, filter)).await?;
        let running = match versions.first() {
            None => Vec::new(),
            Some(first) => {
                let only = versions.iter().all(|version| version.release == first.release).then_some(first.release);
                // A list that may have more to it is of all releases.
                let only = only.filter(|_| !matches!(filter, VersionFilter::Listed(..)));
                app.store.version_running(tenant, only).await?
            }
        };
        Ok::<_, Error>(Arc::new(Read { versions: versions.into_iter().map(Arc::new).collect(), running }))
    };
    let asked = (tenant.clone(), format!("{filter:?}"));
    let key = asked.1.len();
    app.versions.lists.or_read(&app.store, asked, |read| key + size(read), reading).await
}

fn size(read: &Read) -> usize {
    let text = |version: &Arc<StoredVersion>| version.manifest.as_ref().map_or(0, String::len);
    read.versions.iter().map(text).sum::<usize>() + (read.versions.len() + read.running.len() + 1) * EACH
}

/// How many versions there are.
pub(super) async fn count(app: &App, tenant: &TenantName) -> Result<u64, Error> {
    let reading = async { Ok::<_, Error>(app.store.version_count(tenant).await?) };
    app.versions.counts.or_read(&app.store, tenant.clone(), |_| size_of::<TenantName>(), reading).await
}
