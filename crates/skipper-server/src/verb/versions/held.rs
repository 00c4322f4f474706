//! Lists of versions that were read lately: dashboards and shells ask for the same ones again and again. They hold for as
//! long as nothing is committed. What runs is never held: platforms are asked each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use skipper_core::name::TenantName;
use skipper_store::{RunningVersion, StoredVersion, VersionFilter};

use crate::{app::App, error::Error};

/// Most versions that are held at once.
const HELD: usize = 256;
/// How long: should ever another process write into the same file, it is seen within this time.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Versions, and what runs of their releases.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) versions: Vec<Arc<StoredVersion>>,
    pub(super) running: Vec<RunningVersion>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asked {
    Count(TenantName),
    List(TenantName, String),
}

#[derive(Debug, Clone)]
enum Answer {
    Count(u64),
    List(Arc<Read>),
}

/// Lists that were read since the last commit.
#[derive(Debug, Default)]
pub struct HeldVersions(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    commits: u64,
    began: Instant,
    versions: usize,
    answers: HashMap<Asked, Answer>,
}

impl HeldVersions {
    fn get(&self, commits: u64, asked: &Asked) -> Option<Answer> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().filter(|held| held.commits == commits && held.began.elapsed() < HELD_FOR)?;
        held.answers.get(asked).cloned()
    }

    /// `read_at`: before the store was asked.
    fn put(&self, commits: u64, read_at: Instant, asked: Asked, answer: Answer) {
        let size = match &answer {
            Answer::Count(_) => 1,
            Answer::List(read) => read.versions.len() + read.running.len() + 1,
        };
        if size > HELD {
            return;
        }
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |held: &&mut Held| {
            held.commits == commits && held.began.elapsed() < HELD_FOR && held.versions + size <= HELD
        };
        if let Some(held) = place.as_mut().filter(fits) {
            held.versions += size;
            held.answers.insert(asked, answer);
        } else {
            let answers = HashMap::from([(asked, answer)]);
            *place = Some(Held { commits, began: read_at, versions: size, answers });
        }
    }
}

/// Versions by a filter, and what runs of their releases.
pub(super) async fn read(app: &App, tenant: &TenantName, filter: VersionFilter<'_>) -> Result<Arc<Read>, Error> {
    let (commits, read_at) = (app.store.commits(), Instant::now());
    let asked = Asked::List(tenant.clone(), format!("{filter:?}"));
    if let Some(Answer::List(read)) = commits.and_then(|commits| app.versions.get(commits, &asked)) {
        return Ok(read);
    }
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
    let read = Arc::new(Read { versions: versions.into_iter().map(Arc::new).collect(), running });
    if let Some(commits) = commits {
        app.versions.put(commits, read_at, asked, Answer::List(Arc::clone(&read)));
    }
    Ok(read)
}

/// How many versions there are.
pub(super) async fn count(app: &App, tenant: &TenantName) -> Result<u64, Error> {
    let (commits, read_at) = (app.store.commits(), Instant::now());
    let asked = Asked::Count(tenant.clone());
    if let Some(Answer::Count(count)) = commits.and_then(|commits| app.versions.get(commits, &asked)) {
        return Ok(count);
    }
    let count = app.store.version_count(tenant).await?;
    if let Some(commits) = commits {
        app.versions.put(commits, read_at, asked, Answer::Count(count));
    }
    Ok(count)
}
