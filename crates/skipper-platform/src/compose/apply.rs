use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use skipper_core::{
    Sha256,
    compose::{COMPOSE_FILE, Scene},
    fleet::Outcome,
    port::{Error, ErrorKind},
    secret::Blackener,
    time::Timestamp,
};
use tokio::time::Instant;

use super::{
    child::Ran,
    driver::{Inner, Wanted},
    folder::{self, About, Held, Phase},
    health::{self, Expected},
    images, look, policy,
    report::{Report, Said},
    tool::{Compose, Files},
};
use crate::{
    container::{Pull, logs},
    local::blocking,
};

/// Longest compose may take to resolve a file.
const RESOLVED: Duration = Duration::from_secs(60);
/// What of a deadline is kept for the way back: a quarter, and at most this.
const WAY_BACK: Duration = Duration::from_secs(120);
/// Lines of a service that failed that are told.
const LINES: usize = 50;
/// Longest the engine may take to tell them.
const READ: Duration = Duration::from_secs(10);

/// Why it went no further.
struct Stop {
    code: &'static str,
    why: String,
    exit: Option<i32>,
    /// The service that is to blame, where it is one.
    service: Option<String>,
}

impl Stop {
    fn new(code: &'static str, why: impl Into<String>) -> Box<Self> {
        Box::new(Self { code, why: why.into(), exit: None, service: None })
    }
}

/// A stop is a report, an error is told as it is.
type Step<T> = Result<Result<T, Box<Stop>>, Error>;

macro_rules! go {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(stop) => return Ok(Err(stop)),
        }
    };
}

/// One act on a folder that is held.
pub(super) struct Act {
    pub inner: Arc<Inner>,
    pub held: Arc<Mutex<Held>>,
    pub compose: Compose,
    pub said: Said,
    pub began: Timestamp,
    pub until: Instant,
}

impl Act {
    /// Takes the folder and finds a compose. The turn is to be held meanwhile.
    pub(super) async fn begin(
        inner: Arc<Inner>,
        folder: &str,
        project: &str,
        blackener: Blackener,
        until: Instant,
    ) -> Result<Self, Error> {
        let began = inner.config.clock.now();
        let (base, name, patience) = (inner.config.base.clone(), folder.to_owned(), until.into_std());
        let held = blocking(move || folder::take(&base, &name, patience)).await??;
        let tool = inner.tools.find(&inner.config).await?;
        let compose = Compose { config: inner.config.clone(), tool, project: project.to_owned(), place: held.place() };
        Ok(Self { inner, held: Arc::new(Mutex::new(held)), compose, said: Said::new(blackener), began, until })
    }

    /// Does something with the folder that blocks.
    pub(super) async fn folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Held) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let held = Arc::clone(&self.held);
        blocking(move || work(&mut held.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// Runs compose and notes what it said.
    pub(super) async fn run(&mut self, files: &Files, args: &[&str], until: Instant) -> Result<Ran, Error> {
        let bound = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        self.said.line(&format!("$ {} {}", self.compose.tool.words.join(" "), args.join(" ")));
        let outcome = self.compose.run(files, args, bound).await;
        if outcome.is_err() {
            // It may have gone; another one may be here.
            self.inner.tools.forget();
        }
        let ran = outcome?;
        self.said.lines(&ran.said);
        if ran.timed_out {
            self.said.line(&format!("ended after {} s", bound.as_secs()));
        }
        Ok(ran)
    }

    pub(super) fn report(&self, status: Outcome, summary: &str) -> Report {
        Report {
            status,
            started_at: self.began,
            finished_at: self.inner.config.clock.now(),
            exit_code: None,
            summary: self.said.blackened(summary),
            services: std::collections::BTreeMap::new(),
            logs_tail: self.said.tail(),
            code: "",
            changed: Vec::new(),
            went_back: false,
        }
    }
}

/// See [`super::Driver::apply`].
pub(super) async fn apply(inner: Arc<Inner>, wanted: Wanted, until: Instant) -> Result<Report, Error> {
    let turn = inner.turn(&wanted.folder);
    let _turn = tokio::time::timeout_at(until, turn.lock()).await.map_err(|_| busy(&wanted.folder))?;
    let blackener = Blackener::new(&wanted.secrets);
    let mut act = Act::begin(inner, &wanted.folder, &wanted.project, blackener, until).await?;
    let owner = wanted.owner.clone();
    let (generation, project) = (wanted.generation, wanted.project.clone());
    act.folder(move |held| {
        if let Some(other) = held.state.current.owner.as_ref().filter(|_| held.state.phase != Phase::Removed)
            && let Some(mine) = &owner
            && other.release != mine.release
        {
            let message = format!("the folder belongs to another release, by its deployment {}", other.deployment);
            return Err(Error::new(ErrorKind::Permanent, "folder-taken", message)
                .hint("delete that release, or call the project otherwise"));
        }
        held.state.project = project;
        held.pass(generation)
    })
    .await?;

    let left = until.saturating_duration_since(Instant::now());
    let forward = until - (left / 4).min(WAY_BACK);
    let before = look::project(&act.inner.account, &wanted.project).await?;
    if let Some(stop) = belongs_elsewhere(&act.inner, &wanted, &before).await? {
        return act.untouched(&stop, &before, &wanted).await;
    }
    let looked_over = match act.look_over(&wanted, forward).await? {
        Ok(resolved) => resolved,
        Err(stop) => return act.untouched(&stop, &before, &wanted).await,
    };
    let expected = health::expected(&looked_over, &wanted.services);
    match act.forward(&wanted, &expected, &before, forward).await? {
        Ok(()) => act.done(&expected, &before).await,
        Err(stop) => act.back(&stop, &expected, &before).await,
    }
}

/// Whether what runs under that name was made from another folder that is kept here as well. Each of both would take the other's containers away.
async fn belongs_elsewhere(
    inner: &Arc<Inner>,
    wanted: &Wanted,
    before: &[look::Container],
) -> Result<Option<Box<Stop>>, Error> {
    let own = folder::dir(&inner.config.base, &wanted.folder)?;
    let mut others: Vec<PathBuf> = before.iter().filter_map(|one| one.folder.clone()).collect();
    others.dedup();
    let project = wanted.project.clone();
    let other = blocking(move || {
        let own = own.canonicalize().unwrap_or(own);
        others.into_iter().find(|other| {
            let kept =
                folder::state(other).is_some_and(|state| state.phase != Phase::Removed && state.project == project);
            kept && other.canonicalize().is_ok_and(|other| other != own)
        })
    })
    .await?;
    Ok(other.map(|other| {
        let why = format!(
            "project {} of this engine belongs to {}: let one node alone have a tenant's services on one engine, or give each agent its own",
            wanted.project,
            other.display()
        );
        Stop::new("project-elsewhere", why)
    }))
}

pub(super) fn busy(folder: &str) -> Error {
    Error::new(ErrorKind::Transient, "folder-busy", format!("another apply is at work on {folder}"))
}

impl Act {
    /// Everything that can be known before anything that runs is touched: what compose makes of the files, whether that is allowed, and
    /// the images.
    async fn look_over(&mut self, wanted: &Wanted, until: Instant) -> Step<Value> {
        let files = wanted.files.clone();
        self.folder(move |held| held.lay_aside(&files)).await?;
        let place = Arc::clone(&self.compose.place);
        let folder = place.folder().to_string_lossy().into_owned();
        let config = self.inner.config.clone();
        let scene = Scene { project: &wanted.project, folder: &folder };
        let text = wanted.files.get(COMPOSE_FILE).map_or("", String::as_str);
        let written = match policy::written(text, config.yaml, scene, &config.policy) {
            Ok(written) => written,
            Err(refusals) => return Ok(Err(self.refused(&refusals))),
        };
        if written.get("services").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
            return Ok(Err(Stop::new("compose-empty", "the project has no services; take it away instead")));
        }
        let next = place.next();
        let bound = RESOLVED.min(until.saturating_duration_since(Instant::now()));
        let resolved = match self.compose.resolve(&next, bound).await? {
            Ok(resolved) => resolved,
            Err(ran) => {
                self.said.line("$ compose config");
                self.said.lines(&ran.said);
                let why = format!("compose does not take the file: {}", last_line(&ran.said));
                return Ok(Err(Box::new(Stop { exit: ran.code, ..*Stop::new("compose-invalid", why) })));
            }
        };
        let (project, value, policy) = (wanted.project.clone(), resolved.clone(), config.policy.clone());
        let allowed =
            blocking(move || policy::resolved(&value, Scene { project: &project, folder: &folder }, &policy)).await?;
        if let Err(refusals) = allowed {
            return Ok(Err(self.refused(&refusals)));
        }
        go!(self.fetch(&next, &resolved, until).await);
        Ok(Ok(resolved))
    }

    fn refused(&mut self, refusals: &[String]) -> Box<Stop> {
        for refusal in refusals {
            self.said.line(refusal);
        }
        let more = if refusals.len() > 1 { format!(" (and {} more)", refusals.len() - 1) } else { String::new() };
        let first = refusals.first().map_or("", String::as_str);
        Stop::new("compose-refused", format!("not allowed here: {first}{more}"))
    }

    async fn fetch(&mut self, next: &Files, resolved: &Value, until: Instant) -> Step<()> {
        let pull = self.inner.config.pull;
        let needed = images::needed(&self.inner.account, &images::of(resolved), pull).await?;
        if needed.services.is_empty() {
            return Ok(Ok(()));
        }
        if pull == Pull::Never {
            let why = format!("these images are not here, and none is fetched: {}", needed.missing.join(", "));
            return Ok(Err(Stop::new("image-missing", why)));
        }
        let mut args = vec!["pull", "--quiet"];
        args.extend(needed.services.iter().map(String::as_str));
        let ran = self.run(next, &args, until).await?;
        // Some of it says that it went well when it did not.
        let missing = images::needed(&self.inner.account, &images::of(resolved), Pull::Missing).await?.missing;
        if ran.code == Some(0) && missing.is_empty() {
            return Ok(Ok(()));
        }
        let what = if missing.is_empty() { "an image".to_owned() } else { missing.join(", ") };
        let why = if ran.timed_out { "it took too long".to_owned() } else { last_line(&ran.said) };
        let stop = Stop { exit: ran.code, ..*Stop::new("image-missing", format!("{what} cannot be fetched: {why}")) };
        Ok(Err(Box::new(stop)))
    }

    /// The new files in place, and everything running by them.
    async fn forward(
        &mut self,
        wanted: &Wanted,
        expected: &std::collections::BTreeMap<String, Expected>,
        before: &[look::Container],
        until: Instant,
    ) -> Step<()> {
        let texts: Vec<u8> =
            wanted.files.iter().flat_map(|(name, text)| format!("{name}\0{text}\0").into_bytes()).collect();
        let about = About {
            generation: wanted.generation,
            digest: Some(Sha256::of(&texts)),
            owner: wanted.owner.clone(),
            services: wanted.services.clone(),
        };
        self.folder(move |held| {
            held.state.current = about;
            held.put_in_place()
        })
        .await?;
        self.up(expected, before, until).await
    }

    async fn up(
        &mut self,
        expected: &std::collections::BTreeMap<String, Expected>,
        before: &[look::Container],
        until: Instant,
    ) -> Step<()> {
        let files = self.compose.place.files();
        let ran = self.run(&files, &["up", "-d", "--remove-orphans", "--no-build"], until).await?;
        if ran.code != Some(0) {
            let why = if ran.timed_out { "compose did not get done in time".to_owned() } else { last_line(&ran.said) };
            let stop = Stop { exit: ran.code, ..*Stop::new("compose-failed", format!("compose failed: {why}")) };
            return Ok(Err(Box::new(stop)));
        }
        let project = self.compose.project.clone();
        match health::wait(&self.inner.account, &project, expected, before, until).await? {
            Ok(()) => Ok(Ok(())),
            Err(unwell) => {
                let why = format!("service {} {}", unwell.service, unwell.why);
                Ok(Err(Box::new(Stop { service: Some(unwell.service), exit: Some(0), ..*Stop::new("unhealthy", why) })))
            }
        }
    }

    async fn done(
        mut self,
        expected: &std::collections::BTreeMap<String, Expected>,
        before: &[look::Container],
    ) -> Result<Report, Error> {
        self.folder(Held::keep_as_good).await?;
        let after = look::project(&self.inner.account, &self.compose.project).await?;
        let changed = look::changed(before, &after);
        let summary = if changed.is_empty() {
            format!("unchanged: {} run as before", services(expected.len()))
        } else {
            // What was taken away has changed as well, and is not expected any more.
            let gone = changed.iter().filter(|name| !expected.contains_key(*name)).count();
            format!("{} of {} changed: {}", changed.len(), services(expected.len() + gone), changed.join(", "))
        };
        self.said.line(&summary);
        let mut report = self.report(Outcome::Succeeded, &summary);
        report.exit_code = Some(0);
        report.services = look::by_service(&after, expected.keys().map(String::as_str));
        report.changed = changed;
        Ok(report)
    }

    /// Nothing that runs was touched.
    async fn untouched(mut self, stop: &Stop, before: &[look::Container], wanted: &Wanted) -> Result<Report, Error> {
        let serves = if before.is_empty() { "nothing was started" } else { "what ran before runs on" };
        let summary = format!("{}; {serves}", stop.why);
        self.said.line(&summary);
        let mut report = self.report(Outcome::Failed, &summary);
        report.code = stop.code;
        report.exit_code = stop.exit;
        report.services = look::by_service(before, wanted.services.keys().map(String::as_str));
        Ok(report)
    }

    /// To the files that served before, or to nothing.
    async fn back(
        mut self,
        stop: &Stop,
        expected: &std::collections::BTreeMap<String, Expected>,
        before: &[look::Container],
    ) -> Result<Report, Error> {
        self.said.line(&stop.why);
        if let Some(service) = &stop.service {
            self.last_words(service).await;
        }
        let (how, went_back) =
            if self.folder(Held::put_back).await? { self.up_again().await? } else { (self.down_again().await?, false) };
        let summary = format!("{}; {how}", stop.why);
        self.said.line(&how);
        let after = look::project(&self.inner.account, &self.compose.project).await?;
        let mut report = self.report(Outcome::Failed, &summary);
        report.code = stop.code;
        report.exit_code = stop.exit;
        report.services = look::by_service(&after, expected.keys().map(String::as_str));
        report.changed = look::changed(before, &after);
        report.went_back = went_back;
        Ok(report)
    }

    async fn up_again(&mut self) -> Result<(String, bool), Error> {
        let files = self.compose.place.files();
        let bound = RESOLVED.min(self.until.saturating_duration_since(Instant::now()));
        let resolved = self.compose.resolve(&files, bound).await?.unwrap_or_default();
        let terms = self.folder(|held| Ok(held.state.current.services.clone())).await?;
        let expected = health::expected(&resolved, &terms);
        let before = look::project(&self.inner.account, &self.compose.project).await?;
        let outcome = self.up(&expected, &before, self.until).await?;
        let phase = if outcome.is_ok() { Phase::Good } else { Phase::Failed };
        self.folder(move |held| {
            held.state.phase = phase;
            held.keep_state()
        })
        .await?;
        Ok(match outcome {
            Ok(()) => ("what served before serves again".to_owned(), true),
            Err(stop) => (format!("what served before does not serve again either: {}", stop.why), false),
        })
    }

    async fn down_again(&mut self) -> Result<String, Error> {
        let files = self.compose.place.files();
        let ran = self.run(&files, &["down", "--remove-orphans"], self.until).await?;
        if ran.code != Some(0) {
            self.folder(|held| {
                held.state.phase = Phase::Failed;
                held.keep_state()
            })
            .await?;
            return Ok(format!("it could not be taken away again: {}", last_line(&ran.said)));
        }
        self.folder(|held| held.clear(Phase::Failed)).await?;
        Ok("it was taken away again, since nothing served before".to_owned())
    }

    /// What a service that failed printed last.
    async fn last_words(&mut self, service: &str) {
        use futures::StreamExt as _;
        let Ok(all) = look::project(&self.inner.account, &self.compose.project).await else { return };
        let ids: Vec<(u32, String)> =
            all.into_iter().filter(|one| one.service == service).map(|one| (one.number, one.id)).collect();
        let account = Arc::clone(&self.inner.account);
        let reading = async {
            let lines = logs::of_named(&account, ids, Some(LINES), false).await.ok()?;
            Some(lines.filter_map(|line| async { line.ok() }).take(4 * LINES).collect::<Vec<_>>().await)
        };
        let Ok(Some(lines)) = tokio::time::timeout(READ, reading).await else { return };
        for line in lines {
            self.said.line(&format!("{service} | {}", line.line));
        }
    }
}

fn services(count: usize) -> String {
    if count == 1 { "1 service".to_owned() } else { format!("{count} services") }
}

/// What compose said last of what went wrong: the rest of it is in the log.
pub(super) fn last_line(said: &str) -> String {
    // The last word of compose 1 after it has told the reasons.
    let says_something = |line: &&str| !line.is_empty() && !line.starts_with("Encountered errors while bringing up");
    let last = said.lines().map(str::trim).rfind(says_something).unwrap_or("it says nothing");
    last.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_and_not_that_there_is_one() {
        let first = "Creating a_web_1 ... error\n\nERROR: for web  Cannot start service web: port is already allocated\n\
                     Encountered errors while bringing up the project.\n";
        assert_eq!(last_line(first), "ERROR: for web  Cannot start service web: port is already allocated");
        assert_eq!(
            last_line("a\nError response from daemon: no such image\n\n"),
            "Error response from daemon: no such image"
        );
        assert_eq!(last_line(" \n"), "it says nothing");
    }
}
