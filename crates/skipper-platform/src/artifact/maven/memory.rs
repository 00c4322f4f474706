//! What was resolved before: the digest of each verified file, by its path in a repository. Releases never change, so who
//! asks for one again waits for nobody; of a snapshot it is what there is when nobody can be asked.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use skipper_core::Sha256;
use tracing::debug;

use super::super::Cache;

fn place(cache: &Cache, path: &str) -> PathBuf {
    cache.dir().join("maven").join(format!("{path}.pin"))
}

/// The digest of a file that was fetched before and is here still.
pub(super) fn get(cache: &Cache, path: &str) -> Option<Sha256> {
    let digest: Sha256 = fs::read_to_string(place(cache, path)).ok()?.trim().parse().ok()?;
    cache.has(&digest).then_some(digest)
}

/// Remembers. Should it fail, the file is fetched again.
pub(super) fn put(cache: &Cache, path: &str, digest: &Sha256) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let place = place(cache, path);
    let aside = place.with_extension(format!("new-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let written = place.parent().map_or(Ok(()), fs::create_dir_all);
    let written =
        written.and_then(|()| fs::write(&aside, digest.to_string())).and_then(|()| fs::rename(&aside, &place));
    if let Err(error) = written {
        debug!(path, %error, "a resolved artifact cannot be remembered");
    }
}
