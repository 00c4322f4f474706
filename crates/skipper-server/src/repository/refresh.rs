//! Reads the index of a remote repository and takes over what is new in it.

use std::collections::{HashMap, HashSet};

use skipper_core::{
    Sha256,
    actor::{Actor, Provenance},
    id::RequestId,
    name::RepositoryName,
    time::Timestamp,
};
use skipper_source::index;
use skipper_store::{Change, Changed, Known, RefreshOutcome, Repository, RepositoryKind, Turn};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{info, warn};

use super::{
    Repositories,
    fetch::Answer,
    location::Location,
    metadata::{row, stamp},
};
use crate::error::{Code, Error};

/// How long the right to refresh lasts without a sign of life: longer than an index may take to come.
const TURN: std::time::Duration = std::time::Duration::from_secs(180);
/// Changes of one transaction: a few milliseconds, so that others get in between.
const BATCH: usize = 250;
/// Batches that wait to be written.
const AHEAD: usize = 4;
/// Faults that are told.
const TOLD: usize = 20;
/// Longest sentence about them: more than fits into it is counted.
const NAMED_BYTES: usize = 2000;
/// First pause after an index could not be read; it doubles up to the usual time between two refreshes.
const FIRST_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// What a refresh found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether the index is the one that was read before.
    pub unchanged: bool,
    /// Packages that were in it.
    pub packages: u64,
    /// What it changed.
    pub changed: Changed,
    /// What could not be used, at most 20.
    pub faults: Vec<String>,
    /// How many could not be used.
    pub broken: u64,
    /// The sentence of a report before, about the same index.
    before: Option<String>,
}

impl Report {
    /// One sentence about what could not be used.
    fn problem(&self) -> Option<String> {
        let new =
            || (self.broken > 0).then(|| format!("{} of its packages cannot be used: {}", self.broken, self.named()));
        self.before.clone().or_else(new)
    }

    /// What could not be used, one after the other, as far as there is room.
    fn named(&self) -> String {
        let mut named = String::new();
        let mut told = 0;
        for fault in &self.faults {
            if told > 0 && named.len() + fault.len() > NAMED_BYTES {
                break;
            }
            let between = if told == 0 { "" } else { "; " };
            named.push_str(between);
            named.push_str(fault);
            told += 1;
        }
        match self.broken.saturating_sub(told) {
            0 => named,
            more => format!("{named} (and {more} more)"),
        }
    }
}

impl Repositories {
    /// Reads the index of a remote repository now.
    ///
    /// # Errors
    ///
    /// [`Code::RepositoryNotFound`]; [`Code::Invalid`] for one that has no index; [`Code::RepositoryFailed`] when it cannot be
    /// read; [`Code::Conflict`] while another server reads it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: what was taken over stays, and the rest comes when the right to refresh has expired.
    pub async fn refresh(&self, name: &RepositoryName) -> Result<Report, Error> {
        if self.repository(name.as_str()).await?.kind != RepositoryKind::Remote {
            return Err(Error::new(
                Code::Invalid,
                format!("repository `{name}` is kept by this server and has no index to read"),
            )
            .hint("only remote repositories are refreshed"));
        }
        // One at a time within this server; whoever waited asks again, and is mostly told that nothing changed.
        let gate = self.gate(name);
        let _turn = gate.lock().await;
        let repository = match self.store.refresh_begin(name, &self.settings.owner, TURN).await? {
            Turn::Own(repository) => *repository,
            Turn::Busy => {
                return Err(Error::new(
                    Code::Conflict,
                    format!("another server reads the index of `{name}` right now"),
                )
                .hint("ask again in a moment"));
            }
        };
        let provenance = self.provenance();
        let (outcome, due, answer) = match self.read(&repository, &provenance).await {
            Ok((report, etag, digest)) => {
                let problem = report.problem();
                let changed = report.changed;
                let outcome = RefreshOutcome::Done { etag, digest: Some(digest), problem, changed };
                (outcome, self.settings.refresh, Ok(report))
            }
            Err(error) => {
                let doubled = u32::try_from(repository.refresh.failures.min(10)).unwrap_or(10);
                let pause = FIRST_RETRY.saturating_mul(1 << doubled).min(self.settings.refresh);
                (RefreshOutcome::Failed(error.detail().to_owned()), pause, Err(error))
            }
        };
        let due: Timestamp = self.clock.now() + due;
        self.store.refresh_end(name, &self.settings.owner, outcome, due, &provenance).await?;
        match &answer {
            Ok(report) if report.changed != Changed::default() => {
                let Changed { added, updated, removed } = report.changed;
                info!(repository.name = %name, added, updated, removed, "took over the index of repository `{name}`");
            }
            Ok(_) => {}
            Err(error) => {
                warn!(repository.name = %name, "the index of repository `{name}` was not read: {}", error.chain());
            }
        }
        answer
    }

    /// The index over http or from a folder.
    async fn read(
        &self,
        repository: &Repository,
        provenance: &Provenance,
    ) -> Result<(Report, Option<String>, String), Error> {
        let failed = |why: String| Error::new(Code::RepositoryFailed, why);
        let location = Location::parse(repository.url.as_deref().unwrap_or_default()).map_err(failed)?;
        let file = location.file(&["index.yml"]);
        let known = repository.refresh.etag.as_deref();
        let answer = self
            .fetcher
            .index(&file, known, self.settings.patience)
            .await
            .map_err(|failure| failed(failure.told(&file)))?;
        let (bytes, etag) = match answer {
            Answer::File(bytes, etag) => (bytes, etag),
            Answer::Same => {
                let digest = repository.refresh.digest.clone().unwrap_or_default();
                return Ok((self.unchanged(repository).await?, repository.refresh.etag.clone(), digest));
            }
        };
        let digest = Sha256::of(&bytes).to_string();
        if repository.refresh.digest.as_ref() == Some(&digest) {
            return Ok((self.unchanged(repository).await?, etag, digest));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed(format!("{file} is not UTF-8 text")))?;
        let report = self.take_over(&repository.name, text, provenance).await?;
        if report.packages == 0 && report.broken > 0 {
            return Err(failed(format!("{file} is not the index of a repository: {}", report.named())));
        }
        Ok((report, etag, digest))
    }

    /// The report about an index that was read before, with what is still wrong with it. What left it and was in use then
    /// may go by now.
    async fn unchanged(&self, repository: &Repository) -> Result<Report, Error> {
        let removed = self.store.refresh_sweep(&repository.name).await?;
        let before = repository.refresh.problem.clone().filter(|_| repository.refresh.failures == 0);
        let faults: Vec<String> = before.iter().cloned().collect();
        let changed = Changed { removed, ..Changed::default() };
        let broken = faults.len() as u64;
        Ok(Report { unchanged: removed == 0, changed, broken, faults, before, ..Report::default() })
    }

    /// Takes over an index: what is new is added, what is said anew is changed, and what is not in it any more goes, if
    /// all of the index could be read.
    async fn take_over(&self, name: &RepositoryName, text: String, provenance: &Provenance) -> Result<Report, Error> {
        let known = self.known(name).await?;
        let (send, mut receive) = mpsc::channel(AHEAD);
        let comparing: JoinHandle<Report> = tokio::task::spawn_blocking(move || compare(&text, known, &send));
        let mut changed = Changed::default();
        while let Some(batch) = receive.recv().await {
            let applied = self.store.refresh_apply(name, &self.settings.owner, TURN, batch, provenance).await?;
            changed.added += applied.added;
            changed.updated += applied.updated;
            changed.removed += applied.removed;
        }
        let report = comparing.await.map_err(Error::internal)?;
        changed.removed += self.store.refresh_sweep(name).await?;
        Ok(Report { changed, ..report })
    }

    /// What is stored of a repository, by name and version.
    async fn known(&self, name: &RepositoryName) -> Result<HashMap<(String, String), Known>, Error> {
        const PAGE: u32 = 1000;
        let mut known = HashMap::new();
        let mut after = None;
        loop {
            let page = self.store.refresh_known(name, after.as_ref(), PAGE).await?;
            let full = page.len() == PAGE as usize;
            after = page.last().cloned();
            known.extend(page.into_iter().map(|row| ((row.name.clone(), row.version.clone()), row)));
            if !full {
                return Ok(known);
            }
        }
    }

    pub(super) fn provenance(&self) -> Provenance {
        let request = RequestId::from_uuid(self.ids.next());
        Provenance { actor: Actor::System, trigger: "refresh".into(), correlation: request.to_string(), request }
    }
}

/// Sends the differences between an index and what is known. Stops early when nobody listens any more.
fn compare(text: &str, mut known: HashMap<(String, String), Known>, send: &mpsc::Sender<Vec<Change>>) -> Report {
    let mut report = Report::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let mut unread = false;
    let flush = |batch: &mut Vec<Change>, least: usize| {
        batch.len() < least || send.blocking_send(std::mem::replace(batch, Vec::with_capacity(BATCH))).is_ok()
    };
    let fault = |report: &mut Report, fault: String| {
        report.broken += 1;
        if report.faults.len() < TOLD {
            report.faults.push(fault);
        }
    };
    for entry in index::entries(text) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(wrong) => {
                fault(&mut report, wrong.to_string());
                unread = true;
                continue;
            }
        };
        let key = (entry.name.to_string(), entry.version.clone());
        if !seen.insert(key.clone()) {
            fault(&mut report, format!("{}-{} is in it twice; the first one counts", key.0, key.1));
            continue;
        }
        report.packages += 1;
        if let Some(wrong) = &entry.sha256_wrong {
            let wrong = wrong.escape_debug();
            fault(&mut report, format!("the `sha256` of {}-{} is `{wrong}`, and no SHA-256 digest", key.0, key.1));
        }
        let stamp = stamp(&entry);
        match known.remove(&key) {
            Some(there) if there.stamp == stamp => {}
            // What was fetched stays, and so does what was said of it then.
            Some(Known { kept: Some(kept), .. }) if entry.sha256.is_some_and(|sha256| sha256 != kept) => {
                let other = format!("the `sha256` of {}-{} is another one than that of its zip, {kept},", key.0, key.1);
                fault(&mut report, format!("{other} which was fetched before: a published version never changes"));
            }
            Some(there) => batch.push(Change::Update(there.num, row(&entry, None, stamp))),
            None => batch.push(Change::Add(row(&entry, None, stamp))),
        }
        if !flush(&mut batch, BATCH) {
            return report;
        }
    }
    // A package whose document is broken is not gone.
    if !unread {
        for gone in known.into_values() {
            batch.push(Change::Remove(gone.num));
            if !flush(&mut batch, BATCH) {
                return report;
            }
        }
    }
    flush(&mut batch, 1);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_cannot_be_used_is_named_as_far_as_there_is_room() {
        let of = |faults: &[String], broken| Report { faults: faults.to_vec(), broken, ..Report::default() }.problem();
        let fault = |nth: usize| format!("document {nth}: no name");
        assert_eq!(of(&[], 0), None);
        let both = "2 of its packages cannot be used: document 1: no name; document 2: no name";
        assert_eq!(of(&[fault(1), fault(2)], 2).as_deref(), Some(both));
        let many: Vec<String> = (1..=TOLD).map(fault).collect();
        let told = of(&many, 100_000).expect("there are some");
        assert!(told.contains("document 20: no name (and 99980 more)"), "{told}");
        let long = of(&["x".repeat(NAMED_BYTES), fault(2)], 2).expect("there are some");
        assert!(long.ends_with("x (and 1 more)") && long.len() < NAMED_BYTES + 100);
    }
}
