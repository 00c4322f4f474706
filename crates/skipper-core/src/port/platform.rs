use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Error, ErrorKind};
use crate::{
    BoxFuture, BoxStream,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    digest::Sha256,
    generation::Generation,
    health::Attempt,
    rollout::plan::Instances,
    secret::SecretValues,
    spec::{Application, Hook, Resource},
    time::Timestamp,
};

/// What a platform account can do. The planner reads it before it promises anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Resource kinds it runs, as URI schemes without the colon.
    pub schemes: Vec<String>,
    /// More than one instance of an application.
    pub replicas: bool,
    /// Volumes.
    pub volumes: bool,
    /// Memory limits.
    pub memory_limits: bool,
    /// CPU limits.
    pub cpu_limits: bool,
    /// Jobs within a rollout.
    pub hooks: bool,
    /// Several containers in one instance.
    pub pods: bool,
    /// Each instance has a network of its own, so that fixed ports do not collide.
    pub own_network: bool,
    /// It converges by itself: the plan has `Apply` instead of `Launch` and `Retire`.
    pub converges: bool,
    /// It routes by itself: its own router is used instead of our edge.
    pub routes: bool,
}

/// What a platform account is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The account's configured name.
    pub name: String,
    /// `local`, `docker`, …
    pub kind: String,
    /// One line: version, address, whatever helps to recognise it.
    pub summary: String,
    /// Its settings, as Spring's deployers write them; `None` where it has none of those.
    pub deployer: Option<String>,
    /// Whether it answers.
    pub reachable: bool,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// How an account is disposed to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It works.
    #[default]
    Ready,
    /// It does not answer.
    Away,
    /// It answers, and somebody has said that it takes nothing new.
    Cordoned,
}

/// A request to start instances.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to start; `deployment.app.resource.sha256` is pinned.
    pub deployment: &'a Deployment,
    /// Which instances.
    pub instances: Instances,
    /// Clear values of the secrets it names.
    pub secrets: &'a SecretValues,
    /// The right to act, written into the instance's labels.
    pub generation: Generation,
}

/// One deployment that a platform found by its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its id.
    pub id: DeploymentId,
    /// The right under which it was last launched.
    pub generation: Generation,
    /// Its instances.
    pub instances: Vec<u32>,
}

/// Something here that another program started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// What the platform calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What is written on it.
    pub labels: BTreeMap<String, String>,
    /// Whether it runs.
    pub running: bool,
}

/// What an account keeps for revisions that may run again, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// In this server's name.
    pub own: BTreeSet<Sha256>,
    /// In nobody's name: earlier versions did not say whose it is, so it may be another server's.
    pub unowned: BTreeSet<Sha256>,
}

/// What an account is to clear away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Garbage {
    /// Of [`Kept::own`], what no revision needs.
    pub resources: BTreeSet<Sha256>,
    /// Of [`Kept::unowned`], what a revision of this server is or was made of.
    pub adopted: BTreeSet<Sha256>,
    /// What was asked for within this time stays: whoever is about to need it may not have said so yet.
    pub idle: Duration,
    /// At most so many resources.
    pub limit: usize,
}

/// What an account has cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cleared {
    /// Digests of the resources that are not kept any more.
    pub resources: Vec<Sha256>,
    /// How many of them nobody else had either, so that they are gone.
    pub removed: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Networks that were made for applications that are gone.
    pub networks: Vec<String>,
}

impl Cleared {
    /// Whether nothing was to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.networks.is_empty()
    }
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Of which instance; `None` for all.
    pub instance: Option<u32>,
    /// At most this many of the last lines of each instance; `None` for all that is kept.
    pub tail: Option<usize>,
    /// Go on with what comes.
    pub follow: bool,
    /// In a pod, the container.
    pub container: Option<String>,
}

/// Where in a deployment a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside<'a> {
    /// In which instance.
    pub instance: u32,
    /// In a pod the container, in a project of compose the service; `None`: in the main one, which is the only one where none is.
    pub container: Option<&'a str>,
}

impl From<u32> for Inside<'_> {
    /// The main container of an instance.
    fn from(instance: u32) -> Self {
        Self { instance, container: None }
    }
}

/// Which of the two a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// When the keeper read it.
    pub at: Timestamp,
    /// Which instance wrote it.
    pub instance: u32,
    /// To where.
    pub stream: LogStreamKind,
    /// The line without its end; invalid UTF-8 replaced; cut at 64 KiB.
    pub line: String,
}

/// The result of a command in an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutput {
    /// Exit status; `None` when killed by a signal.
    pub code: Option<i32>,
    /// Output and error output, at most 1 MiB.
    pub output: String,
}

/// A hook to run once. The same `id` is never started twice.
#[derive(Debug)]
pub struct HookJob<'a> {
    /// Rollout and step: `<rollout>-<step>`.
    pub id: &'a str,
    /// For which deployment: its environment, resource and volumes are used.
    pub deployment: &'a Deployment,
    /// What to run.
    pub hook: &'a Hook,
    /// Clear values of the deployment's secrets.
    pub secrets: &'a SecretValues,
}

/// What became of a hook's job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HookState {
    /// Never started.
    Absent,
    /// Started, and whether it ended cannot be told any more.
    Unknown,
    /// It runs.
    Running,
    /// It ended.
    Ended {
        /// Exit status; `None` when killed by a signal.
        code: Option<i32>,
        /// The end of its output.
        output: String,
    },
}

/// A configured platform account.
///
/// Every method is idempotent and safe to drop: what was begun goes on or is found again by [`Platform::observe`]. Each
/// answers within `deadline` or with [`super::ErrorKind::Unknown`].
pub trait Platform: Send + Sync + fmt::Debug {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What it is, for people.
    fn describe(&self) -> BoxFuture<'_, Description>;

    /// Brings a resource here and says what exactly it is: the answer has its digest. With `sha256` given, other bytes
    /// are refused, and nothing is asked of anyone when they are here already.
    fn fetch<'a>(&'a self, resource: &'a Resource, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>>;

    /// [`Platform::fetch`] for a revision that is being resolved: the application may say how its resource is fetched.
    fn fetch_for<'a>(&'a self, app: &'a Application, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        self.fetch(&app.resource, deadline)
    }

    /// Pins everything that an application is made of, for a revision that is being resolved: its resource by
    /// [`Platform::fetch_for`], and what else the platform runs for it.
    fn pin<'a>(&'a self, app: &'a mut Application, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            app.resource = self.fetch_for(app, deadline).await?;
            Ok(())
        })
    }

    /// Files within a pinned resource that is here, by their absolute paths; those that are not there are left out. Each is
    /// at most a MiB.
    fn files_of<'a>(
        &'a self,
        resource: &'a Resource,
        paths: &'a [&'a str],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, Error>> {
        let _ = (paths, deadline);
        let message = format!("nothing can be read out of {} on this platform", resource.uri);
        let error = Error::new(ErrorKind::Permanent, "files-unsupported", message);
        Box::pin(async move { Err(error) })
    }

    /// Looks an application over before it is planned, and completes it by what the account decides: a second time changes
    /// nothing. Asks nobody; what depends on the bytes of the resource is looked at once that is pinned and here. May give the
    /// application to another account, by its target, which then is to review it. Returns what will not be done as it was
    /// asked, as sentences.
    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let _ = app;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// How the account is disposed to work, so that a rollout over many can spare those that are not.
    fn standing<'a>(&'a self, deadline: Duration) -> BoxFuture<'a, Standing> {
        let _ = deadline;
        Box::pin(async { Standing::Ready })
    }

    /// Where it converges by itself: begins what [`Platform::launch`] then waits for, and does not wait. Nothing where it cannot
    /// begin without waiting.
    fn begin<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (launch, deadline);
        Box::pin(async { Ok(()) })
    }

    /// [`Platform::launch`] for what [`Platform::begin`] has begun: waits for that, and does not begin it once more where it has failed
    /// meanwhile.
    fn join<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        self.launch(launch, deadline)
    }

    /// Starts the instances that do not run yet and returns all of the range. An instance that ended is started anew.
    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>>;

    /// Reports the given instances, in the order of the range.
    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>>;

    /// Makes one health attempt by `deployment.app.health`, within that probe's own timeout. Never an error: an answer
    /// that could not be had is an attempt that failed.
    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt>;

    /// Whether an application that got healthy names a path that says whether it still is: whoever tells of it asks
    /// [`Platform::probe`] first.
    fn watches_health(&self, app: &Application) -> bool {
        let _ = app;
        false
    }

    /// Stops instances (signal, grace, kill; the whole group) and removes them. `last`: the deployment's own folders go
    /// as well, volumes stay. Absent instances are fine.
    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        last: bool,
        generation: Generation,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Everything here that bears our labels, for adoption and for removing orphans.
    fn list(&self, deadline: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>>;

    /// Removes something that [`Platform::list`] found and nobody owns.
    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, deadline: Duration) -> BoxFuture<'a, Result<(), Error>>;

    /// What is kept here for revisions; `None` where nothing ever has to be cleared away.
    fn kept(&self, deadline: Duration) -> BoxFuture<'_, Result<Option<Kept>, Error>> {
        let _ = deadline;
        Box::pin(async { Ok(None) })
    }

    /// Clears away what was found by [`Platform::kept`] and is not needed, and what else of ours nothing uses. What somebody
    /// else uses or has a name for stays, without our name.
    fn clear<'a>(&'a self, garbage: &'a Garbage, deadline: Duration) -> BoxFuture<'a, Result<Cleared, Error>> {
        let _ = (garbage, deadline);
        Box::pin(async { Ok(Cleared::default()) })
    }

    /// What another program started here, running or not, that bears all of these labels; nothing of ours.
    fn foreign<'a>(
        &'a self,
        labels: &'a [(&'a str, &'a str)],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Foreign>, Error>> {
        let _ = (labels, deadline);
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Stops and removes something that [`Platform::foreign`] found; that it is gone is fine.
    fn remove_foreign<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (id, deadline);
        Box::pin(async { Ok(()) })
    }

    /// Stops something that [`Platform::foreign`] found, politely at first, and gives it that name: whoever finds it so knows that it
    /// was us. That it is gone is fine.
    fn hold_foreign<'a>(&'a self, id: &'a str, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (id, name, deadline);
        Box::pin(async { Ok(()) })
    }

    /// Starts it again, under that name.
    fn resume_foreign<'a>(
        &'a self,
        id: &'a str,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (id, name, deadline);
        Box::pin(async { Ok(()) })
    }

    /// Stops and removes a pod of another program by its name; that there is none is fine, and one of ours stays.
    fn remove_foreign_pod<'a>(&'a self, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (name, deadline);
        Box::pin(async { Ok(()) })
    }

    /// Log lines, oldest first. Ends by itself unless `follow` is set.
    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>>;

    /// Runs a command in an instance's environment and folder.
    fn exec<'a>(
        &'a self,
        deployment: &'a Deployment,
        inside: Inside<'a>,
        command: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>>;

    /// Starts a hook's job if it never was started; returns what is known of it now.
    fn run_hook<'a>(&'a self, job: HookJob<'a>, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>>;

    /// What became of a hook's job.
    fn hook_state<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>>;

    /// Resolves when something on the platform may have changed: an instance ended. May resolve without reason.
    fn changed(&self) -> BoxFuture<'_, ()>;
}
