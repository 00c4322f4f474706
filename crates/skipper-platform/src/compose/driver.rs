use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures::StreamExt as _;
use skipper_core::{
    compose::{COMPOSE_FILE, Terms},
    generation::Generation,
    port::{Error, ErrorKind, ExecOutput, LogChunk},
    secret::SecretValues,
};

use super::{
    apply,
    config::ComposeConfig,
    folder::{self, Owner},
    look::{self, Container},
    mounts, remove,
    report::Report,
    tool::{Tool, Tools},
};
use crate::{
    bounded::{self, late},
    container::{
        ContainerConfig, EngineKind, EngineSettings,
        account::Account,
        exec,
        logs::{self, Lines},
    },
};

/// Longest a question to the engine takes that has no bound of its own.
const ASKED: Duration = Duration::from_secs(30);
/// What of a deadline is kept, so that whoever waits hears what came of it.
const SLACK: Duration = Duration::from_millis(500);

/// What is to be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name of its folder in the base: the tenant's id.
    pub folder: String,
    /// What compose calls it.
    pub project: String,
    /// `docker-compose.yml`, `.env` with its values, and what else stands beside them.
    pub files: BTreeMap<String, String>,
    /// What has to be known of its services beside the text.
    pub services: BTreeMap<String, Terms>,
    /// What must not be told in any report.
    pub secrets: SecretValues,
    /// The right to act; a lower one than the folder has seen is refused.
    pub generation: Generation,
    /// Whose it is, where an account runs it.
    pub owner: Option<Owner>,
}

/// Carries projects out on one host.
#[derive(Debug, Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub config: ComposeConfig,
    /// The way to the engine.
    pub account: Arc<Account>,
    pub tools: Tools,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Driver {
    /// A driver. Asks nobody and makes nothing yet.
    #[must_use]
    pub fn new(config: ComposeConfig) -> Self {
        let kind = if config.host.contains("podman") { EngineKind::Podman } else { EngineKind::Docker };
        let engine = ContainerConfig {
            account: config.account.clone(),
            kind,
            host: config.host.clone(),
            owner: config.owner.clone(),
            // Nothing is kept beside the projects' own folders.
            root: PathBuf::new(),
            settings: EngineSettings {
                host: Some(config.host.clone()),
                pull: config.pull,
                ..EngineSettings::default()
            },
            clock: Arc::clone(&config.clock),
            tasks: config.tasks.clone(),
        };
        let account = Arc::new(Account::new(engine));
        Self { inner: Arc::new(Inner { config, account, tools: Tools::default(), turns: Mutex::default() }) }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &ComposeConfig {
        &self.inner.config
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.inner.account
    }

    pub(super) async fn tool(&self) -> Result<Tool, Error> {
        self.inner.tools.find(&self.inner.config).await
    }

    /// Makes the project what is wanted, and says what came of it. The same again changes nothing. What fails leads back to the files
    /// that served before, or, where there were none, to nothing.
    ///
    /// # Errors
    ///
    /// What kept it from being tried at all: a lower right ([`ErrorKind::Fenced`]), a name that cannot be one, another program at work in
    /// the folder, an engine that does not answer, no compose. What was tried and did not work is a report. [`ErrorKind::Unknown`] when
    /// it is not done after `deadline`; it goes on.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: it goes on, and is found again by applying the same.
    pub async fn apply(&self, wanted: Wanted, deadline: Duration) -> Result<Report, Error> {
        check(&wanted)?;
        let until = tokio::time::Instant::now() + deadline.saturating_sub(SLACK);
        let work = apply::apply(Arc::clone(&self.inner), wanted, until);
        bounded::within(&self.inner.config.tasks, "apply", deadline, work).await
    }

    /// Takes the project away: its containers and networks, and its files. Volumes and what services mounted stay, as does the memory of
    /// the highest right. That nothing is there is fine.
    ///
    /// # Errors
    ///
    /// As [`Driver::apply`], and what compose said when it could not.
    pub async fn remove(
        &self,
        folder: &str,
        project: &str,
        generation: Generation,
        deadline: Duration,
    ) -> Result<Report, Error> {
        check_project(project)?;
        let until = tokio::time::Instant::now() + deadline.saturating_sub(SLACK);
        let work = remove::remove(Arc::clone(&self.inner), folder.to_owned(), project.to_owned(), generation, until);
        bounded::within(&self.inner.config.tasks, "remove a project", deadline, work).await
    }

    /// The containers of a project.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub async fn look(&self, project: &str) -> Result<Vec<Container>, Error> {
        let looking = look::project(&self.inner.account, project);
        tokio::time::timeout(ASKED, looking).await.unwrap_or_else(|_| Err(late("look at a project", ASKED)))
    }

    /// What is there of every project whose folder is in the base, by the folder's name, in the shape of a report's services.
    ///
    /// # Errors
    ///
    /// When the engine does not answer, or the base cannot be read.
    pub async fn look_at_all(&self) -> Result<BTreeMap<String, BTreeMap<String, super::ServiceReport>>, Error> {
        let mut all = BTreeMap::new();
        for (name, state) in self.folders().await? {
            if state.phase == folder::Phase::Removed || state.project.is_empty() {
                continue;
            }
            all.insert(name, look::by_service(&self.look(&state.project).await?, []));
        }
        Ok(all)
    }

    /// Every folder of the base that was acted on, by name.
    pub(super) async fn folders(&self) -> Result<Vec<(String, folder::State)>, Error> {
        let base = self.inner.config.base.clone();
        crate::local::blocking(move || {
            let names = folder::names(&base).map_err(|cause| folder::failed(&base, "list the folders", cause))?;
            let known = names.into_iter().filter_map(|name| {
                let state = folder::state(&base.join(&name))?;
                Some((name, state))
            });
            Ok(known.collect())
        })
        .await?
    }

    /// The highest right that a folder has seen.
    ///
    /// # Errors
    ///
    /// When the name cannot be a folder's.
    pub async fn seen(&self, folder: &str) -> Result<Option<Generation>, Error> {
        let dir = folder::dir(&self.inner.config.base, folder)?;
        crate::local::blocking(move || folder::state(&dir).map(|state| state.generation)).await
    }

    /// Output of a project's containers, or of one service: in the order of time, or as it comes with `follow`. The index of a line is
    /// that of its container among those that [`Driver::look`] tells.
    ///
    /// # Errors
    ///
    /// When the project has no such container, or the engine does not answer.
    pub async fn logs(
        &self,
        project: &str,
        service: Option<&str>,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<Lines, Error> {
        let all = self.look(project).await?;
        let wanted: Vec<(u32, String)> = (0u32..)
            .zip(all)
            .filter(|(_, one)| service.is_none_or(|service| one.service == service))
            .map(|(index, one)| (index, one.id))
            .collect();
        if wanted.is_empty() {
            return Err(absent(project, service));
        }
        let reading = logs::of_named(&self.inner.account, wanted, tail, follow);
        tokio::time::timeout(ASKED, reading).await.unwrap_or_else(|_| Err(late("read the logs", ASKED)))
    }

    /// Runs a command in a container of a service: the one of that number, from 1.
    ///
    /// # Errors
    ///
    /// When there is no such container, or the command cannot be run; [`ErrorKind::Permanent`] when it was ended after `deadline`.
    pub async fn exec(
        &self,
        project: &str,
        service: &str,
        number: u32,
        command: &[String],
        deadline: Duration,
    ) -> Result<ExecOutput, Error> {
        let all = self.look(project).await?;
        let found = all.iter().find(|one| one.service == service && one.number == number);
        let one = found.ok_or_else(|| absent(project, Some(service)))?;
        exec::output(&self.inner.account, &one.id, command, deadline).await
    }

    /// [`Driver::logs`] as those of one instance: where they are of several services, each line begins with the name of its own.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn logs_of_one(
        &self,
        project: &str,
        service: Option<&str>,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<Lines, Error> {
        let names: Vec<String> = self.look(project).await?.into_iter().map(|one| one.service).collect();
        let several = service.is_none() && names.windows(2).any(|pair| pair[0] != pair[1]);
        let lines = self.logs(project, service, tail, follow).await?;
        let named = move |line: Result<LogChunk, Error>| {
            line.map(|mut chunk| {
                let name = usize::try_from(chunk.instance).ok().and_then(|index| names.get(index));
                if let Some(name) = name.filter(|_| several) {
                    chunk.line = format!("{name} | {}", chunk.line);
                }
                chunk.instance = 0;
                chunk
            })
        };
        Ok(Box::pin(lines.map(named)))
    }

    /// Runs a command in the first container that runs, of that service or of the only one.
    ///
    /// # Errors
    ///
    /// As [`Driver::exec`]; nothing of it runs; several services do, and none is named.
    pub async fn exec_in_first(
        &self,
        project: &str,
        service: Option<&str>,
        command: &[String],
        deadline: Duration,
    ) -> Result<ExecOutput, Error> {
        let mut all = self.look(project).await?;
        all.retain(|one| one.state == "running");
        let known: BTreeSet<&str> = all.iter().map(|one| one.service.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let mut meant = all.iter().filter(|one| service.is_none_or(|service| one.service == service));
        let Some(first) = meant.next() else {
            let named = service.map(|name| format!(" as {}", name.chars().take(100).collect::<String>()));
            let what = format!("nothing of {project} runs{}", named.unwrap_or_default());
            let error = Error::new(ErrorKind::NotFound, "not-running", what);
            return Err(if known.is_empty() { error } else { error.hint(format!("its services are: {known}")) });
        };
        if meant.any(|one| one.service != first.service) {
            let what = format!("{project} has several services, and none is named");
            return Err(Error::new(ErrorKind::NotFound, "no-container", what)
                .hint(format!("name one with --container: {known}")));
        }
        self.exec(project, &first.service, first.number, command, deadline).await
    }

    /// What somebody should know about where this runs: that the base is another folder on the host, so that relative mounts lead
    /// elsewhere.
    pub async fn warnings(&self) -> Vec<String> {
        let base = &self.inner.config.base;
        let looking = mounts::on_host(&self.inner.account, base);
        match tokio::time::timeout(ASKED, looking).await {
            Ok(Ok(Some(host))) => vec![format!(
                "{} is {} on the host: folders that services mount relative to theirs (./data) are looked for at the former; mount it at the \
                 same path on both sides",
                base.display(),
                host.display()
            )],
            // An engine that does not answer is told of by whoever needs it.
            _ => Vec::new(),
        }
    }

    /// One line about compose and the engine.
    ///
    /// # Errors
    ///
    /// When one of them does not answer.
    pub async fn about(&self) -> Result<String, Error> {
        let engine = crate::container::review::about(&self.inner.account).await?;
        let tool = self.tool().await?;
        Ok(format!(
            "{} {}, {engine}, projects in {}",
            tool.words.join(" "),
            tool.version,
            self.inner.config.base.display()
        ))
    }
}

impl Inner {
    /// Held by whoever acts on that folder here.
    pub(super) fn turn(&self, folder: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(folder).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(folder.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

fn absent(project: &str, service: Option<&str>) -> Error {
    let what = service.map_or_else(
        || format!("project {project} has no container"),
        |service| format!("service {service} of project {project} has no such container"),
    );
    Error::new(ErrorKind::NotFound, "not-running", what)
}

fn check(wanted: &Wanted) -> Result<(), Error> {
    check_project(&wanted.project)?;
    let wrong = |message: String| Err(Error::new(ErrorKind::Permanent, "compose-files", message));
    if !wanted.files.contains_key(COMPOSE_FILE) {
        return wrong(format!("project {} has no {COMPOSE_FILE}", wanted.project));
    }
    let odd = |name: &&String| {
        name.contains(['/', '\0']) || matches!(name.as_str(), "" | "." | "..") || name.starts_with(".skipper")
    };
    if let Some(name) = wanted.files.keys().find(odd) {
        return wrong(format!("`{}` is no plain file name", name.chars().take(80).collect::<String>()));
    }
    Ok(())
}

fn check_project(name: &str) -> Result<(), Error> {
    let good = (1..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if good {
        return Ok(());
    }
    let name: String = name.chars().take(80).collect();
    Err(Error::new(ErrorKind::Permanent, "compose-name", format!("`{name}` cannot be the name of a project"))
        .hint("use lower-case letters, digits, - and _, a letter or digit first"))
}
