//! What may have to run again: the digests in the specs of revisions that somebody can go back to.

use std::collections::BTreeSet;

use skipper_core::{
    Sha256,
    deployment::DeploymentId,
    spec::{Application, Spec},
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{args, statements},
};

/// Specs that are read together: one may have some hundred KiB.
const PAGE: u32 = 100;

statements! {
    /// `$3` is how many go before the oldest that counts among those that served.
    REVISIONS = "SELECT revision.num AS num, revision.spec AS spec FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.num > $1 AND revision.spec IS NOT NULL AND ( \
            revision.state IN ('pending', 'live') OR revision.updated_at >= $2 \
            OR (revision.state IN ('superseded', 'deleted') AND (release.deleted = 0 OR release.updated_at >= $2) \
                AND revision.number >= COALESCE((SELECT older.number FROM revision AS older \
                    WHERE older.release_id = revision.release_id AND older.state = 'superseded' \
                    ORDER BY older.number DESC LIMIT 1 OFFSET $3), 0))) \
        ORDER BY revision.num LIMIT $4";
}

impl Store {
    /// See [`skipper_core::port::RolloutStore::needed`].
    pub(crate) async fn digests_needed(&self, revisions: u32, since: Timestamp) -> Result<BTreeSet<Sha256>, Error> {
        let (mut needed, mut after) = (BTreeSet::new(), 0_i64);
        let before = revisions.saturating_sub(1);
        loop {
            let rows = self.all("read what revisions need", REVISIONS, args![after, since, before, PAGE]).await?;
            for row in &rows {
                after = row.int("num")?;
                let spec: Option<Spec> = row.maybe_json("spec")?;
                needed.extend(spec.iter().flat_map(|spec| &spec.applications).flat_map(Application::digests));
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        let mut last: Option<DeploymentId> = None;
        loop {
            let page = self.live_list(last.as_ref(), PAGE).await?;
            needed.extend(page.iter().flat_map(|live| live.deployment.app.digests()));
            if page.len() < PAGE as usize {
                return Ok(needed);
            }
            last = page.last().map(|live| live.deployment.id.clone());
        }
    }
}
