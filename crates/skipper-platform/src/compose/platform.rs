//! The driver as an account: what the engine asks of a platform, answered for projects.

use std::{collections::BTreeMap, fs, io, time::Duration};

use serde_json::Value;
use skipper_core::{
    BoxFuture, BoxStream,
    compose::{self, COMPOSE_FILE, Policy, SCHEME, Scene},
    deployment::{Deployment, DeploymentId, Exit, Instance, Observed},
    fleet::Outcome,
    generation::Generation,
    health::Attempt,
    port::{
        Capabilities, Description, Error, ErrorKind, ExecOutput, Found, HookJob, HookState, Inside, Launch, LogChunk,
        LogQuery, Platform,
    },
    rollout::plan::Instances,
    spec::{Application, Resource, SecretUse},
};

use super::{
    config::{ComposeConfig, ReadYaml},
    driver::{Driver, Wanted},
    folder::{Owner, Phase, State},
    health,
    look::Container,
    policy,
};
use crate::{
    bounded::late,
    container::{look::time, watch},
};

/// Longest the description of an account waits for compose and its engine.
const DESCRIBED: Duration = Duration::from_secs(5);
/// Last words of a report that an error passes on.
const HINT: usize = 600;

/// An account of projects on this host.
#[derive(Debug)]
pub struct ComposePlatform {
    driver: Driver,
}

/// What every platform of projects can do, on this host or on a node.
#[must_use]
pub fn capabilities() -> Capabilities {
    Capabilities {
        schemes: vec![SCHEME.to_owned()],
        replicas: false,
        volumes: false,
        memory_limits: false,
        cpu_limits: false,
        hooks: false,
        pods: false,
        own_network: true,
        converges: true,
        routes: false,
    }
}

/// What compose calls an application's project, and its folder's name in the base.
fn names(app: &Application, project: &compose::Project) -> Result<(String, String), Error> {
    let wrong =
        |why: String| Error::new(ErrorKind::Permanent, "compose-project", format!("application `{}`: {why}", app.name));
    let name = app.resource.uri.strip_prefix("compose:").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(format!("`{}` is no project; write compose:NAME", app.resource.uri)))?;
    let folder = project.tenant.as_ref().map_or_else(|| name.to_owned(), ToString::to_string);
    Ok((name.to_owned(), folder))
}

/// Looks an application over before it is planned: whether it is a project, and whether `policy` allows what is written in it. `base` is
/// the folder of all tenants' folders where it will run. Completes it by the secrets that its variables name.
///
/// # Errors
///
/// What keeps it from being run, all of it.
pub fn review(
    app: &mut Application,
    base: &std::path::Path,
    policy: &Policy,
    yaml: ReadYaml,
) -> Result<Vec<String>, Error> {
    let project = compose::Project::of(app).map_err(|why| Error::new(ErrorKind::Permanent, "compose-project", why))?;
    let (name, folder) = names(app, &project)?;
    for (key, value) in &project.env {
        if let compose::EnvValue::Secret(secret) = value
            && !app.secrets.iter().any(|used| used.secret() == secret)
        {
            app.secrets.push(SecretUse::Env { secret: secret.clone(), var: key.clone() });
        }
    }
    let folder = base.join(folder);
    let scene = Scene { project: &name, folder: &folder.to_string_lossy() };
    let text = project.files.get(COMPOSE_FILE).map_or("", String::as_str);
    match policy::written(text, yaml, scene, policy) {
        Ok(_) => Ok(Vec::new()),
        Err(refusals) => {
            let message =
                format!("application `{}`: not allowed on platform {}: {}", app.name, app.target, refusals.join("; "));
            Err(Error::new(ErrorKind::Permanent, "compose-refused", message)
                .hint("leave it out, or have the platform allow it (`allow` in its settings)"))
        }
    }
}

impl ComposePlatform {
    /// Opens the account. Makes nothing yet: neither compose nor the engine has to be there.
    ///
    /// # Errors
    ///
    /// When the base is no absolute path, or is something else than a folder.
    pub fn new(config: ComposeConfig) -> io::Result<Self> {
        if !config.base.is_absolute() {
            return Err(io::Error::other(format!("{} is not an absolute path", config.base.display())));
        }
        if fs::metadata(&config.base).is_ok_and(|meta| !meta.is_dir()) {
            return Err(io::Error::other(format!("{} is no folder", config.base.display())));
        }
        Ok(Self { driver: Driver::new(config) })
    }

    /// What carries it out.
    #[must_use]
    pub const fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Stops watching; what runs goes on. Then wait for the configured task tracker.
    pub fn close(&self) {
        self.driver.account().stop.cancel();
    }

    fn owner(&self, deployment: &Deployment) -> Owner {
        let config = self.driver.config();
        Owner {
            server: config.owner.clone(),
            account: config.account.to_string(),
            release: deployment.release,
            deployment: deployment.id.clone(),
        }
    }

    fn is_ours(&self, state: &State) -> bool {
        let config = self.driver.config();
        let owner = state.current.owner.as_ref();
        state.phase != Phase::Removed
            && owner.is_some_and(|owner| owner.server == config.owner && owner.account == config.account.as_str())
    }

    /// The folder that a deployment of ours has, and its state.
    async fn folder_of(&self, id: &DeploymentId) -> Result<Option<(String, State)>, Error> {
        let folders = self.driver.folders().await?;
        let of = |state: &State| state.current.owner.as_ref().is_some_and(|owner| owner.deployment == *id);
        Ok(folders.into_iter().find(|(_, state)| self.is_ours(state) && of(state)))
    }

    async fn applied(&self, launch: &Launch<'_>, deadline: Duration) -> Result<Vec<Instance>, Error> {
        let deployment = launch.deployment;
        let project = compose::Project::of(&deployment.app)
            .map_err(|why| Error::new(ErrorKind::Permanent, "compose-project", why))?;
        let (name, folder) = names(&deployment.app, &project)?;
        let files = project
            .filled(launch.secrets)
            .map_err(|missing| Error::new(ErrorKind::Permanent, "secret-missing", missing.to_string()))?;
        let wanted = Wanted {
            folder,
            project: name.clone(),
            files,
            services: project.services,
            secrets: launch.secrets.clone(),
            generation: launch.generation,
            owner: Some(self.owner(deployment)),
        };
        let report = self.driver.apply(wanted, deadline).await?;
        if report.status != Outcome::Succeeded {
            let tail: Vec<&str> = report.logs_tail.lines().rev().take(8).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            let tail = tail.join("\n");
            let from = tail.ceil_char_boundary(tail.len().saturating_sub(HINT));
            let code = if report.code.is_empty() { "compose-failed" } else { report.code };
            return Err(Error::new(ErrorKind::Permanent, code, report.summary)
                .hint(format!("its last words were:\n{}", &tail[from..])));
        }
        Ok(vec![self.instance(deployment, &self.driver.look(&name).await?)])
    }

    fn instance(&self, deployment: &Deployment, containers: &[Container]) -> Instance {
        let mut attributes = BTreeMap::from([("guid".to_owned(), deployment.deployer_id())]);
        for one in containers {
            let key = format!("service.{}.{}", one.service, one.number);
            attributes.insert(key, format!("{} {}", one.word(), one.id.chars().take(12).collect::<String>()));
        }
        let started = containers.iter().filter_map(|one| time(&one.started_at)).max();
        Instance {
            index: 0,
            addresses: BTreeMap::new(),
            handle: deployment.app.resource.uri.trim_start_matches("compose:").to_owned(),
            started_at: started.unwrap_or_else(|| self.driver.config().clock.now()),
            restarts: containers.iter().map(|one| one.restarts).max().unwrap_or_default(),
            attributes,
        }
    }

    async fn seen(&self, deployment: &Deployment) -> Result<Observed, Error> {
        let project = compose::Project::of(&deployment.app)
            .map_err(|why| Error::new(ErrorKind::Damaged, "compose-project", why))?;
        let (name, _) = names(&deployment.app, &project)?;
        if self.folder_of(&deployment.id).await?.is_none() {
            return Ok(Observed::Absent);
        }
        let containers = self.driver.look(&name).await?;
        if containers.is_empty() {
            return Ok(Observed::Absent);
        }
        let instance = self.instance(deployment, &containers);
        let has = |service: &&String| containers.iter().any(|one| one.service == **service);
        // Services of which there should be none have no container, and nothing is wrong with that.
        let expected = self.expected(&project);
        let gone = expected.iter().filter(|(_, of)| of.count > 0).map(|(name, _)| name).find(|name| !has(name));
        let ended = containers.iter().find(|one| matches!(one.state.as_str(), "exited" | "dead") && !one.is_done());
        let (None, None) = (gone, ended) else {
            let code = ended.and_then(|one| one.exit_code).and_then(|code| i32::try_from(code).ok());
            let exit = Exit { code, signal: None, out_of_memory: false, at: self.driver.config().clock.now() };
            return Ok(Observed::Exited { exit, instance });
        };
        Ok(Observed::Running(instance))
    }

    fn expected(&self, project: &compose::Project) -> BTreeMap<String, health::Expected> {
        let text = project.files.get(COMPOSE_FILE).map_or("", String::as_str);
        let written: Value = (self.driver.config().yaml)(text).unwrap_or_default();
        health::expected(&written, &project.services)
    }

    async fn attempt(&self, deployment: &Deployment) -> Result<(), String> {
        let project = compose::Project::of(&deployment.app)?;
        let (name, _) = names(&deployment.app, &project).map_err(|error| error.chain())?;
        health::look_once(self.driver.account(), &name, &self.expected(&project)).await
    }

    async fn taken_away(
        &self,
        deployment: &Deployment,
        generation: Generation,
        deadline: Duration,
    ) -> Result<(), Error> {
        // What another deployment has taken the place of is gone already.
        let Some((folder, state)) = self.folder_of(&deployment.id).await? else { return Ok(()) };
        self.remove(&folder, &state.project, generation, deadline).await
    }

    async fn remove(
        &self,
        folder: &str,
        project: &str,
        generation: Generation,
        deadline: Duration,
    ) -> Result<(), Error> {
        let report = self.driver.remove(folder, project, generation, deadline).await?;
        if report.status == Outcome::Succeeded {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Transient, "compose-failed", report.summary))
    }
}

impl Drop for ComposePlatform {
    fn drop(&mut self) {
        self.close();
    }
}

impl Platform for ComposePlatform {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async {
            let config = self.driver.config();
            let told = tokio::time::timeout(DESCRIBED, self.driver.about()).await;
            let (summary, reachable) = match told {
                Ok(Ok(summary)) => (summary, true),
                Ok(Err(error)) => (error.chain(), false),
                Err(_) => (format!("compose does not answer, or the engine at {}", config.host), false),
            };
            Description {
                name: config.account.to_string(),
                kind: SCHEME.to_owned(),
                summary,
                deployer: None,
                reachable,
                capabilities: self.capabilities(),
            }
        })
    }

    /// A project has no bytes of its own: its images are fetched before it is applied.
    fn fetch<'a>(&'a self, resource: &'a Resource, _: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async { Ok(resource.clone()) })
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let config = self.driver.config();
        let outcome = review(app, &config.base, &config.policy, config.yaml);
        Box::pin(async { outcome })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move { self.applied(&launch, deadline).await })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            let seen = match tokio::time::timeout(deadline, self.seen(deployment)).await {
                Ok(Ok(seen)) => seen,
                Ok(Err(error)) => Observed::Unknown { reason: error.chain() },
                Err(_) => return Err(late("observe", deadline)),
            };
            Ok(instances.range().map(|index| if index == 0 { seen.clone() } else { Observed::Absent }).collect())
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(async move {
            let timeout = deployment.app.health.timeout.duration().max(Duration::from_secs(5));
            let asked = tokio::time::timeout(timeout, self.attempt(deployment)).await;
            let (ok, detail) = match asked {
                Ok(Ok(())) => (true, "every service is well".to_owned()),
                Ok(Err(why)) => (false, why),
                Err(_) => (false, format!("no answer within {} ms", timeout.as_millis())),
            };
            Attempt { at: self.driver.config().clock.now(), instance: instance.index, ok, detail }
        })
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        _: Instances,
        _: bool,
        generation: Generation,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.taken_away(deployment, generation, deadline))
    }

    fn list(&self, deadline: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(async move {
            let folders =
                tokio::time::timeout(deadline, self.driver.folders()).await.map_err(|_| late("list", deadline))??;
            let ours = folders.into_iter().filter(|(_, state)| self.is_ours(state));
            let found = ours.filter_map(|(_, state)| {
                Some(Found { id: state.current.owner?.deployment, generation: state.generation, instances: vec![0] })
            });
            Ok(found.collect())
        })
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let Some((folder, state)) = self.folder_of(id).await? else { return Ok(()) };
            self.remove(&folder, &state.project, state.generation, deadline).await
        })
    }

    /// The container is a service; without one the lines of all begin with the name of theirs.
    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            let missing =
                || Error::new(ErrorKind::NotFound, "no-logs", format!("deployment {} is not here", query.deployment));
            let (_, state) = self.folder_of(&query.deployment).await?.ok_or_else(missing)?;
            self.driver.logs_of_one(&state.project, query.container.as_deref(), query.tail, query.follow).await
        })
    }

    /// In the first container of the service that is named, or of the only one.
    fn exec<'a>(
        &'a self,
        deployment: &'a Deployment,
        inside: Inside<'a>,
        command: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(async move {
            let project = deployment.app.resource.uri.trim_start_matches("compose:");
            self.driver.exec_in_first(project, inside.container, command, deadline).await
        })
    }

    fn run_hook<'a>(&'a self, _: HookJob<'a>, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async {
            Err(Error::new(ErrorKind::Permanent, "hooks-unsupported", "projects of compose have no hooks"))
        })
    }

    fn hook_state<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async { Ok(HookState::Absent) })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            watch::begin(self.driver.account());
            self.driver.account().changed.notified().await;
        })
    }
}
