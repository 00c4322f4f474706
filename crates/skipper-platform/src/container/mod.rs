//! Containers of Docker or Podman, over the engine's socket.
//!
//! The engine is the truth: every container bears labels that say whose it is ([`labels`]), and its name, made of the
//! deployment's id and the index, is given to one only. So a launch that is repeated, by whomever, finds what an earlier one
//! made. What an engine has no place for is beside it in the account's folder: the highest right seen of each deployment,
//! how often an instance was started again, and files of secrets.
//!
//! [`pod`] does the same for applications of several containers, on Podman alone.
//!
//! The way of a launch: [`launch`] takes the container's turn, [`fetch`] says which image it is, [`prepare`] writes what the
//! engine is asked for, [`look`] tells what came of it, [`watch`] hears when it ends. [`stop`] is the way back.

pub(crate) mod account;
mod clear;
mod config;
mod deployer;
pub(crate) mod exec;
pub(crate) mod fault;
mod fetch;
mod files;
mod hook;
mod image;
mod kept;
mod labels;
mod launch;
mod list;
pub(crate) mod logs;
pub(crate) mod look;
mod options;
mod pod;
mod prepare;
mod probing;
pub(crate) mod raw;
pub(crate) mod review;
mod secret_files;
mod stop;
pub(crate) mod watch;

pub use config::{ContainerConfig, EngineKind, EngineSettings, Logins, Pull, RegistryLogin, answers};
pub(crate) use deployer::watches_health;

use std::{collections::BTreeMap, fs, future::Future, io, os::unix::fs::DirBuilderExt as _, sync::Arc, time::Duration};

use skipper_core::{
    BoxFuture, BoxStream,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    health::Attempt,
    port::{
        Capabilities, Cleared, Description, Error, ErrorKind, ExecOutput, Foreign, Found, Garbage, HookJob, HookState,
        Inside, Kept, Launch, LogChunk, LogQuery, Platform,
    },
    rollout::plan::Instances,
    spec::{Application, Resource},
};

use account::Account;
use look::{Looked, look};

use crate::{
    bounded::{self, late},
    local::{check_id, no_container},
};

/// Longest the description of an account waits for its engine.
const DESCRIBED: Duration = Duration::from_secs(2);
/// Longest reading logs waits for the engine to begin.
const LOGS: Duration = Duration::from_secs(10);

/// One account of a container engine.
#[derive(Debug)]
pub struct ContainerPlatform {
    account: Arc<Account>,
}

impl ContainerPlatform {
    /// Opens the account. Makes its folder and nothing else: the engine is asked when it is needed, and may be down.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new(config: ContainerConfig) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.root)?;
        Ok(Self { account: Arc::new(Account::new(config)) })
    }

    /// What kind of engine it has.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        self.account.config.kind
    }

    /// Stops watching; the containers go on. Then wait for the configured task tracker.
    pub fn close(&self) {
        self.account.stop.cancel();
    }

    async fn within<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        bounded::within(&self.account.config.tasks, what, deadline, work).await
    }

    /// Unlike other work, fetching ends with its deadline: a registry that hangs would hold up whoever asks for the same next.
    async fn fetched<T>(
        &self,
        what: &str,
        deadline: Duration,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            let message = format!("fetch {what}: not done after {} ms", deadline.as_millis());
            Err(Error::new(ErrorKind::Unknown, "deadline", message)
                .hint("see that the registry answers from the engine's host, and how fast; or allow it more time"))
        })
    }

    async fn fetch_by(&self, resource: &Resource, pull: Pull, deadline: Duration) -> Result<Resource, Error> {
        self.fetched(&resource.uri, deadline, fetch::fetch(&self.account, resource, pull)).await
    }

    async fn observe_one(&self, deployment: &Deployment, index: u32) -> Observed {
        let account = &self.account;
        match pod::Manifest::of(&deployment.app) {
            Ok(None) => {}
            Ok(Some(manifest)) => return pod::observe(account, deployment, &manifest, index).await,
            Err(error) => return Observed::Unknown { reason: error.chain() },
        }
        let restarts = launch::restarts(account, deployment, index).await;
        match look(account, &labels::instance_name(&deployment.id, index)).await {
            Ok(Looked::Running(seen)) => Observed::Running(seen.instance(account, deployment, index, restarts)),
            Ok(Looked::Ended(seen, exit)) => {
                Observed::Exited { exit, instance: seen.instance(account, deployment, index, restarts) }
            }
            Ok(Looked::Between(_, why)) => Observed::Unknown { reason: why.to_owned() },
            // Made and never started: a launch goes on from there.
            Ok(Looked::Absent | Looked::Made(_)) => Observed::Absent,
            Err(error) => Observed::Unknown { reason: error.chain() },
        }
    }
}

impl Drop for ContainerPlatform {
    fn drop(&mut self) {
        self.close();
    }
}

impl Platform for ContainerPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            schemes: vec!["docker".to_owned()],
            replicas: true,
            volumes: true,
            memory_limits: true,
            cpu_limits: true,
            hooks: true,
            pods: self.account.config.kind == EngineKind::Podman && self.account.config.admits_pods().is_ok(),
            own_network: true,
            converges: false,
            routes: false,
        }
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async {
            let config = &self.account.config;
            let told = tokio::time::timeout(DESCRIBED, review::about(&self.account)).await;
            let (summary, reachable) = match told {
                Ok(Ok(summary)) => (summary, true),
                Ok(Err(error)) => (error.chain(), false),
                Err(_) => (format!("{} does not answer at {}", config.kind, config.host), false),
            };
            Description {
                name: config.account.to_string(),
                kind: config.kind.word().to_owned(),
                summary,
                deployer: None,
                reachable,
                capabilities: self.capabilities(),
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(self.fetch_by(resource, self.account.config.settings.pull, deadline))
    }

    fn fetch_for<'a>(&'a self, app: &'a Application, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async move {
            let pull = options::Options::of(app)?.pull.unwrap_or(self.account.config.settings.pull);
            self.fetch_by(&app.resource, pull, deadline).await
        })
    }

    fn pin<'a>(&'a self, app: &'a mut Application, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut pinned = app.clone();
            self.fetched(&app.resource.uri, deadline, fetch::pin(&self.account, &mut pinned)).await?;
            *app = pinned;
            Ok(())
        })
    }

    fn files_of<'a>(
        &'a self,
        resource: &'a Resource,
        paths: &'a [&'a str],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, Error>> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let reading = files::read(Arc::clone(&self.account), resource.clone(), paths);
        Box::pin(self.within("look into an image", deadline, reading))
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move { review::review(&self.account.config, app) })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            check_id(&launch.deployment.id)?;
            let wanted = Arc::new(launch::Wanted {
                deployment: launch.deployment.clone(),
                secrets: launch.secrets.clone(),
                generation: launch.generation,
            });
            let account = Arc::clone(&self.account);
            match pod::Manifest::of(&launch.deployment.app)? {
                None => self.within("launch", deadline, launch::all(account, wanted, launch.instances)).await,
                Some(manifest) => {
                    self.account.config.admits_pods()?;
                    self.within("launch", deadline, pod::all(account, wanted, manifest, launch.instances)).await
                }
            }
        })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            check_id(&deployment.id)?;
            let observing =
                futures::future::join_all(instances.range().map(|index| self.observe_one(deployment, index)));
            tokio::time::timeout(deadline, observing).await.map_err(|_| late("observe", deadline))
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(async move {
            match pod::Manifest::of(&deployment.app) {
                Ok(Some(manifest)) => pod::attempt(&self.account, deployment, &manifest, instance).await,
                // What is wrong with a manifest is told by whoever launches it.
                Ok(None) | Err(_) => probing::attempt(&self.account, deployment, instance).await,
            }
        })
    }

    fn watches_health(&self, app: &Application) -> bool {
        deployer::watches_health(app)
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        last: bool,
        generation: Generation,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_id(&deployment.id)?;
            let (account, deployment) = (Arc::clone(&self.account), deployment.clone());
            self.within("retire", deadline, stop::retire(account, deployment, instances, last, generation)).await
        })
    }

    fn list(&self, deadline: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(self.within("list", deadline, list::deployments(Arc::clone(&self.account))))
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_id(id)?;
            self.within("remove an orphan", deadline, stop::orphan(Arc::clone(&self.account), id.clone())).await
        })
    }

    fn kept(&self, deadline: Duration) -> BoxFuture<'_, Result<Option<Kept>, Error>> {
        let looking = clear::kept(Arc::clone(&self.account));
        Box::pin(async move { self.within("look for what is kept", deadline, looking).await.map(Some) })
    }

    fn clear<'a>(&'a self, garbage: &'a Garbage, deadline: Duration) -> BoxFuture<'a, Result<Cleared, Error>> {
        let patience = deadline * 3 / 4;
        let clearing = clear::clear(Arc::clone(&self.account), garbage.clone(), patience);
        Box::pin(self.within("clear away", deadline, clearing))
    }

    fn foreign<'a>(
        &'a self,
        labels: &'a [(&'a str, &'a str)],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Foreign>, Error>> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Box::pin(self.within("look for another program's", deadline, list::foreign(Arc::clone(&self.account), labels)))
    }

    fn remove_foreign<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let removing = stop::foreign(Arc::clone(&self.account), id.to_owned());
        Box::pin(self.within("remove another program's", deadline, removing))
    }

    fn hold_foreign<'a>(&'a self, id: &'a str, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let holding = stop::hold(Arc::clone(&self.account), id.to_owned(), name.to_owned());
        Box::pin(self.within("stop another program's", deadline, holding))
    }

    fn resume_foreign<'a>(
        &'a self,
        id: &'a str,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let resuming = stop::resume(Arc::clone(&self.account), id.to_owned(), name.to_owned());
        Box::pin(self.within("start another program's", deadline, resuming))
    }

    fn remove_foreign_pod<'a>(&'a self, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let removing = pod::foreign(Arc::clone(&self.account), name.to_owned());
        Box::pin(self.within("remove another program's pod", deadline, removing))
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            check_id(&query.deployment)?;
            let reading = logs::of_deployment(&self.account, query);
            tokio::time::timeout(LOGS, reading).await.unwrap_or_else(|_| Err(late("read the logs", LOGS)))
        })
    }

    fn exec<'a>(
        &'a self,
        deployment: &'a Deployment,
        inside: Inside<'a>,
        command: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(async move {
            check_id(&deployment.id)?;
            let name = labels::instance_name(&deployment.id, inside.instance);
            let name = match (pod::Manifest::of(&deployment.app)?, inside.container) {
                (None, None) => name,
                (None, Some(part)) => {
                    return Err(no_container(&deployment.id, part, "it is no pod: leave the name out"));
                }
                (Some(manifest), None) => pod::part_name(&name, &manifest.main),
                (Some(manifest), Some(part)) => {
                    let stay = manifest.parts.iter().filter(|one| !one.init).map(|one| one.name.as_str());
                    let stay: Vec<&str> = stay.collect();
                    if !stay.contains(&part) {
                        let hint = format!("its containers are: {}", stay.join(", "));
                        return Err(no_container(&deployment.id, part, hint));
                    }
                    pod::part_name(&name, part)
                }
            };
            let running = exec::output(&self.account, &name, command, deadline);
            // The command is bounded by itself; this is about the engine.
            let bound = deadline + DESCRIBED;
            tokio::time::timeout(bound, running).await.unwrap_or_else(|_| Err(late("exec", bound)))
        })
    }

    fn run_hook<'a>(&'a self, job: HookJob<'a>, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        let job = hook::Job {
            id: job.id.to_owned(),
            deployment: job.deployment.clone(),
            hook: job.hook.clone(),
            secrets: job.secrets.clone(),
        };
        Box::pin(self.within("run a hook", deadline, hook::run(Arc::clone(&self.account), job)))
    }

    fn hook_state<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async move {
            let name = hook::name(id)?;
            let account = Arc::clone(&self.account);
            self.within("look at a hook", deadline, async move { hook::state(&account, &name).await }).await
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            watch::begin(&self.account);
            self.account.changed.notified().await;
        })
    }
}
