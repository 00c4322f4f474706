//! Processes of this host, without anything installed.
//!
//! Every instance has a folder, `<root>/<deployment>/<index>`, and a keeper ([`keeper`]) that starts its process, logs
//! what it prints and records how it ends. The folder and `/proc` are the truth; the server only remembers what it saw
//! there and may be killed at any time. What runs is told from every other process by boot id, pid and start time.
//!
//! The way of a launch: [`launch`] takes the instance's turn, [`look`] finds what is there, [`prepare`] writes the order,
//! [`spawn`] starts the keeper and hears its answer, [`watch`] waits for the end. [`stop`] is the way back.

pub mod keeper;

mod account;
mod adopt;
mod cgroup;
mod config;
mod deployer;
mod exec;
mod fence;
mod holder;
mod hook;
mod launch;
mod list;
mod logs;
mod look;
mod ports;
mod prepare;
mod probing;
pub(crate) mod process;
mod spawn;
mod stop;
mod watch;

pub(crate) use account::{blocking, storage};
pub use config::{KeeperCommand, LocalConfig, LogBounds, base_env};
pub(crate) use deployer::{Dealt, Options, Table, Told, mebibytes, told};
pub use deployer::{DeployerSettings, ENV_VARS_TO_INHERIT, inherit, unsupported};
pub(crate) use fence::{Fences, Underway};
pub(crate) use list::check_id;
pub use ports::{DEFAULT_RANGE, PortPool};
pub(crate) use prepare::{check_env, fill, part_secrets, port_env};
pub(crate) use process::end_of;
pub(crate) use stop::remove_dir;

use std::{fs, future::Future, io, os::unix::fs::DirBuilderExt as _, sync::Arc, time::Duration};

use skipper_core::{
    BoxFuture, BoxStream, Sha256,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    health::Attempt,
    port::{
        Capabilities, Description, Error, ErrorKind, ExecOutput, Found, HookJob, HookState, Inside, Launch, LogChunk,
        LogQuery, Platform,
    },
    rollout::plan::Instances,
    spec::{Application, Resource},
};

use crate::bounded;

use account::{Account, Seen};

/// One `local` account.
#[derive(Debug)]
pub struct LocalPlatform {
    account: Arc<Account>,
}

impl LocalPlatform {
    /// Opens the account. Makes its folder and nothing else: what runs is looked up when first needed.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new(config: LocalConfig) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.root)?;
        Ok(Self { account: Arc::new(Account::new(config)) })
    }

    /// Stops watching; the processes go on. Then wait for the configured task tracker.
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
}

impl Drop for LocalPlatform {
    fn drop(&mut self) {
        self.close();
    }
}

impl Platform for LocalPlatform {
    fn capabilities(&self) -> Capabilities {
        let offer = self.account.offer();
        Capabilities {
            schemes: ["file", "http", "https", "maven", "builtin"].map(str::to_owned).to_vec(),
            replicas: true,
            volumes: true,
            memory_limits: offer.memory.is_some(),
            cpu_limits: offer.cpu.is_some(),
            hooks: true,
            pods: false,
            own_network: false,
            converges: false,
            routes: false,
        }
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async {
            let account = Arc::clone(&self.account);
            let about = blocking(move || {
                let system = rustix::system::uname();
                let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                let limits = match account.offer() {
                    offer if offer.memory.is_none() && offer.cpu.is_none() => "no limits".to_owned(),
                    offer => format!("limits by cgroup v{}", offer.version),
                };
                let ports = match account.config.ports.bounds() {
                    Some((low, high)) => format!("ports {low}-{high}"),
                    None => "no ports".to_owned(),
                };
                let release = system.release().to_string_lossy();
                let java = deployer::java(&account).map_or_else(|| "no Java".to_owned(), |at| format!("Java at {at}"));
                let images = account.config.engine.as_ref();
                let images = images.map_or_else(String::new, |engine| format!(", images on {engine}"));
                let summary = format!("processes on Linux {release}, {cpus} CPUs, {ports}, {limits}, {java}{images}");
                let mode = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
                (summary, rustix::fs::access(&account.config.root, mode).is_ok())
            });
            let (summary, reachable) = about.await.unwrap_or_else(|error| (error.chain(), false));
            let name = self.account.config.account.to_string();
            Description {
                name,
                kind: "local".to_owned(),
                summary,
                deployer: Some(self.account.config.deployer.text(&self.account.config.root)),
                reachable,
                capabilities: self.capabilities(),
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async move {
            if resource.uri.starts_with("docker:") {
                return Err(prepare::needs_engine(&self.account, &resource.uri));
            }
            let Some(name) = resource.uri.strip_prefix("builtin:") else {
                return self.account.config.artifacts.fetch(resource, deadline).await;
            };
            if !self.account.config.builtins.contains_key(name) {
                return Err(prepare::unknown_builtin(&self.account, name));
            }
            // It has no bytes of its own: it comes and goes with the executable. The name stands for them.
            let digest = Sha256::of(resource.uri.as_bytes());
            match &resource.sha256 {
                Some(wanted) if *wanted != digest => Err(crate::artifact::mismatch(&resource.uri, wanted, &digest)),
                _ => Ok(Resource { uri: resource.uri.clone(), sha256: Some(digest) }),
            }
        })
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let (account, mut reviewed) = (Arc::clone(&self.account), app.clone());
            let (reviewed, told) = blocking(move || {
                let told = deployer::review(&account, &mut reviewed)?;
                Ok::<_, Error>((reviewed, told))
            })
            .await??;
            *app = reviewed;
            Ok(told)
        })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            list::check_id(&launch.deployment.id)?;
            let account = Arc::clone(&self.account);
            let wanted = Arc::new(launch::Wanted {
                deployment: launch.deployment.clone(),
                secrets: launch.secrets.clone(),
                generation: launch.generation,
                fetching: tokio::sync::Mutex::default(),
            });
            self.within("launch", deadline, async move {
                adopt::everything(&account).await;
                launch::all(account, wanted, launch.instances).await
            })
            .await
        })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            list::check_id(&deployment.id)?;
            let observing = async {
                adopt::everything(&self.account).await;
                let mut observed = Vec::with_capacity(instances.range().len());
                for index in instances.range() {
                    observed.push(self.observe_one(&deployment.id, index).await);
                }
                observed
            };
            tokio::time::timeout(deadline, observing)
                .await
                .map_err(|_| Error::new(ErrorKind::Unknown, "deadline", "observe: not done in time"))
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(probing::attempt(&self.account, deployment, instance))
    }

    fn watches_health(&self, app: &Application) -> bool {
        deployer::probes(&self.account, app).is_some_and(|probes| probes.health.is_some())
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
            list::check_id(&deployment.id)?;
            let (account, deployment) = (Arc::clone(&self.account), deployment.clone());
            self.within("retire", deadline, stop::retire(account, deployment, instances, last, generation)).await
        })
    }

    fn list(&self, deadline: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        let account = Arc::clone(&self.account);
        Box::pin(self.within("list", deadline, async move {
            adopt::everything(&account).await;
            blocking(move || list::deployments(&account)).await?
        }))
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            list::check_id(id)?;
            self.within("remove an orphan", deadline, stop::orphan(Arc::clone(&self.account), id.clone())).await
        })
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            list::check_id(&query.deployment)?;
            logs::stream(self.account.deployment_dir(&query.deployment), query).await
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
            list::check_id(&deployment.id)?;
            if let Some(part) = inside.container {
                return Err(no_container(&deployment.id, part, "it is a process: leave the name out"));
            }
            let slot = self.account.instance(&deployment.id, inside.instance);
            exec::run(Arc::clone(&self.account), slot, command, deadline).await
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
            let slot = hook::slot(&self.account, id)?;
            let account = Arc::clone(&self.account);
            self.within("look at a hook", deadline, async move { hook::state(&account, &slot).await }).await
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            adopt::everything(&self.account).await;
            self.account.changed.notified().await;
        })
    }
}

impl LocalPlatform {
    async fn observe_one(&self, id: &DeploymentId, index: u32) -> Observed {
        let slot = self.account.instance(id, index);
        match self.account.see(&slot).await {
            Ok(Seen::Running(watched)) => Observed::Running(watched.state.instance(index)),
            Ok(Seen::Ended(ended)) => {
                let (ended, state) = &*ended;
                let instance = state.as_ref().map_or_else(|| never_ran(index, ended.exit.at), |s| s.instance(index));
                Observed::Exited { exit: ended.exit.clone(), instance }
            }
            Ok(Seen::Absent | Seen::NotLooked) => Observed::Absent,
            Err(error) => Observed::Unknown { reason: error.chain() },
        }
    }
}

fn never_ran(index: u32, at: skipper_core::time::Timestamp) -> Instance {
    Instance {
        index,
        addresses: Default::default(),
        handle: "never ran".to_owned(),
        started_at: at,
        restarts: 0,
        attributes: Default::default(),
    }
}

/// A container was named that is not there.
pub(crate) fn no_container(id: &DeploymentId, named: &str, hint: impl Into<String>) -> Error {
    let named: String = named.chars().take(100).collect();
    Error::new(ErrorKind::NotFound, "no-container", format!("{id} has no container `{named}`")).hint(hint)
}
