use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use futures::stream;
use serde::{Serialize, de::DeserializeOwned};
use skipper_core::{
    BoxFuture, BoxStream,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    health::Attempt,
    name::PlatformName,
    port::{
        Capabilities, Cleared, Description, Error, ExecOutput, Foreign, Found, Garbage, HookJob, HookState, Inside,
        Kept, Launch, LogChunk, LogQuery, Platform,
    },
    rollout::plan::Instances,
    spec::{Application, Resource, Target},
};

use super::{
    MAX_ANSWER, PROMPT, RemoteNode,
    fault::{self, nonsense},
    lines::Lines,
    message::{
        self, ById, ByName, Clear, Exec, Exposed, Fetch, Files, FilesOf, Labelled, LogLine, Nothing, Observe, OfApp,
        OfDeployment, Probe, Rename, Retire, Reviewed, RunHook,
    },
    node::at_most,
};

/// Longest that a node is asked what it is, for people.
const DESCRIBE: Duration = Duration::from_secs(3);
/// What a node needs beside the probe itself.
const PROBE_WAY: Duration = Duration::from_secs(3);
/// What is said of an instance, at most.
const INSTANCE: usize = 64 << 10;
/// A file's share of an answer: a MiB in base64, and its name.
const FILE: usize = (1 << 20) * 4 / 3 + (8 << 10);
/// Most of a command's output, and that where each character of it has to be escaped.
const OUTPUT: usize = 1 << 20;
const OUTPUT_ESCAPED: usize = OUTPUT * 6 + (4 << 10);
/// The longest line of output, escaped, and what stands around it.
const LOG_LINE: usize = (64 << 10) * 6 + (4 << 10);

/// An account of a node, as if it were here.
///
/// What it cannot say by itself it asks the node, and answers with the wire's error where that cannot be asked. Capabilities are
/// those that the node last told; they always have `routes`, because the addresses of its instances are the node's own.
#[derive(Debug, Clone)]
pub struct RemotePlatform {
    node: Arc<RemoteNode>,
    /// As the node calls it.
    account: PlatformName,
    /// As it is called here.
    name: PlatformName,
}

impl RemotePlatform {
    /// The account that the node calls `account`; here it is `node:NODE/ACCOUNT`.
    #[must_use]
    pub fn new(node: Arc<RemoteNode>, account: PlatformName) -> Self {
        let name = PlatformName::of_node(node.name(), Some(&account));
        Self { node, account, name }
    }

    fn path(&self, method: &str) -> String {
        format!("/platforms/{}/{method}", self.account)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        with: impl Serialize,
        deadline: Duration,
        limit: usize,
    ) -> Result<T, Error> {
        self.node.ask(&self.path(method), with, deadline, limit).await
    }

    /// A call with nothing to answer.
    async fn tell(&self, method: &str, with: impl Serialize, deadline: Duration) -> Result<(), Error> {
        self.ask(method, with, deadline, MAX_ANSWER).await.map(|Nothing {}| ())
    }

    fn nonsense(&self, method: &str, what: String) -> Error {
        nonsense(self.node.name(), &self.path(method), what)
    }

    /// A resource that is what was asked for.
    fn brought(&self, method: &str, asked: &Resource, got: Resource) -> Result<Resource, Error> {
        match (&asked.sha256, &got.sha256) {
            (Some(wanted), Some(digest)) if wanted == digest => Ok(got),
            (Some(wanted), _) => Err(self.nonsense(method, format!("another digest than {wanted}"))),
            (None, _) => Ok(got),
        }
    }

    /// An application as the node completed it, so far as that is the node's to decide.
    fn completed(&self, method: &str, asked: &Application, mut got: Application) -> Result<Application, Error> {
        let secrets =
            |app: &Application| -> BTreeSet<_> { app.secrets.iter().map(|one| one.secret().clone()).collect() };
        let differs = if got.name != asked.name {
            Some("name")
        } else if got.routes != asked.routes {
            Some("routes")
        } else if got.depends_on != asked.depends_on {
            Some("dependencies")
        } else if !secrets(&got).is_subset(&secrets(asked)) {
            Some("secrets")
        } else {
            None
        };
        if let Some(what) = differs {
            return Err(self.nonsense(method, format!("application `{}` with other {what}", asked.name)));
        }
        if got.target != asked.target {
            // By the name that it has there: given to another account of the same node, and of no other.
            let accounts = self.node.known();
            let Some(known) = accounts.filter(|known| known.platforms.contains_key(&got.target.0)) else {
                return Err(self.nonsense(method, format!("the account `{}`, which it does not have", got.target)));
            };
            drop(known);
            got.target = Target(PlatformName::of_node(self.node.name(), Some(&got.target.0)));
        }
        Ok(got)
    }
}

impl Platform for RemotePlatform {
    fn capabilities(&self) -> Capabilities {
        let known = self.node.known().and_then(|known| known.capabilities(&self.account));
        known.unwrap_or_else(|| Capabilities { routes: true, ..Capabilities::default() })
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async {
            let said = self.ask::<Description>("describe", Nothing {}, DESCRIBE, MAX_ANSWER).await;
            let name = self.name.to_string();
            match said {
                Ok(said) => {
                    let capabilities = Capabilities { routes: true, ..said.capabilities };
                    Description { name, capabilities, ..said }
                }
                Err(error) => {
                    let known = self.node.known().and_then(|known| known.platforms.get(&self.account).cloned());
                    let kind = known.map_or_else(|| self.account.to_string(), |known| known.kind);
                    Description {
                        name,
                        kind,
                        summary: error.chain(),
                        deployer: None,
                        reachable: false,
                        capabilities: self.capabilities(),
                    }
                }
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async move {
            let got = self.ask("fetch", Fetch { resource }, deadline, MAX_ANSWER).await?;
            self.brought("fetch", resource, got)
        })
    }

    fn fetch_for<'a>(&'a self, app: &'a Application, deadline: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async move {
            let got = self.ask("fetch_for", OfApp { app }, deadline, MAX_ANSWER).await?;
            self.brought("fetch_for", &app.resource, got)
        })
    }

    fn pin<'a>(&'a self, app: &'a mut Application, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let OfApp { app: got } = self.ask("pin", OfApp { app: &*app }, deadline, MAX_ANSWER).await?;
            let got = self.completed("pin", app, got)?;
            self.brought("pin", &app.resource, got.resource.clone())?;
            *app = got;
            Ok(())
        })
    }

    fn files_of<'a>(
        &'a self,
        resource: &'a Resource,
        paths: &'a [&'a str],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, Error>> {
        Box::pin(async move {
            let with = FilesOf { resource, paths: paths.to_vec() };
            let Files(files) = self.ask("files_of", with, deadline, at_most(paths.len(), FILE)).await?;
            let fits = |(path, bytes): &(String, Vec<u8>)| paths.contains(&path.as_str()) && bytes.len() <= 1 << 20;
            Ok(files.into_iter().filter(fits).collect())
        })
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let got: Reviewed = self.ask("review", OfApp { app: &*app }, PROMPT, MAX_ANSWER).await?;
            *app = self.completed("review", app, got.app)?;
            Ok(got.told)
        })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            let with = message::Launch {
                deployment: launch.deployment,
                instances: launch.instances,
                secrets: Exposed(launch.secrets),
                generation: launch.generation,
            };
            let wanted = launch.instances.range();
            let running: Vec<Instance> = self.ask("launch", with, deadline, at_most(wanted.len(), INSTANCE)).await?;
            if !running.iter().map(|instance| instance.index).eq(wanted) {
                return Err(self.nonsense("launch", format!("other instances than {}", launch.instances)));
            }
            Ok(running)
        })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            let wanted = instances.range().len();
            let with = Observe { deployment, instances };
            let seen: Vec<Observed> = self.ask("observe", with, deadline, at_most(wanted, INSTANCE)).await?;
            if seen.len() != wanted {
                return Err(self.nonsense("observe", format!("{} instances, not {wanted}", seen.len())));
            }
            Ok(seen)
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(async move {
            let deadline = deployment.app.health.timeout.duration().saturating_add(PROBE_WAY);
            match self.ask::<Attempt>("probe", Probe { deployment, instance }, deadline, MAX_ANSWER).await {
                Ok(attempt) => Attempt { instance: instance.index, ..attempt },
                // By the clock that the instance's start was written down by.
                Err(error) => {
                    Attempt { at: self.node.now(), instance: instance.index, ok: false, detail: error.chain() }
                }
            }
        })
    }

    fn watches_health(&self, app: &Application) -> bool {
        // Asked of nobody: what an application names decides it on every account that a node has.
        crate::container::watches_health(app)
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        last: bool,
        generation: Generation,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("retire", Retire { deployment, instances, last, generation }, deadline))
    }

    fn list(&self, deadline: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(self.ask("list", Nothing {}, deadline, MAX_ANSWER))
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("remove_orphan", OfDeployment { deployment: id }, deadline))
    }

    fn kept(&self, deadline: Duration) -> BoxFuture<'_, Result<Option<Kept>, Error>> {
        Box::pin(self.ask("kept", Nothing {}, deadline, MAX_ANSWER))
    }

    fn clear<'a>(&'a self, garbage: &'a Garbage, deadline: Duration) -> BoxFuture<'a, Result<Cleared, Error>> {
        Box::pin(self.ask("clear", Clear::from(garbage), deadline, MAX_ANSWER))
    }

    fn foreign<'a>(
        &'a self,
        labels: &'a [(&'a str, &'a str)],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Foreign>, Error>> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Box::pin(self.ask("foreign", Labelled { labels }, deadline, MAX_ANSWER))
    }

    fn remove_foreign<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("remove_foreign", ById { id }, deadline))
    }

    fn hold_foreign<'a>(&'a self, id: &'a str, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("hold_foreign", Rename { id, name }, deadline))
    }

    fn resume_foreign<'a>(
        &'a self,
        id: &'a str,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("resume_foreign", Rename { id, name }, deadline))
    }

    fn remove_foreign_pod<'a>(&'a self, name: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.tell("remove_foreign_pod", ByName { name }, deadline))
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            let path = self.path("logs");
            let reply = self.node.open(&path, query, PROMPT).await?;
            let lines = Lines::new(reply.body, BytesMut::new(), LOG_LINE);
            let from = LogSource { node: Arc::clone(&self.node), path };
            let rest = stream::unfold(Some((lines, from)), |state| async move {
                let (mut lines, from) = state?;
                match from.next(&mut lines).await {
                    Ok(None) => None,
                    Ok(Some(chunk)) => Some((Ok(chunk), Some((lines, from)))),
                    Err(error) => Some((Err(error), None)),
                }
            });
            Ok(Box::pin(rest) as BoxStream<'static, _>)
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
            let Inside { instance, container } = inside;
            let with = Exec { deployment, instance, container, command };
            let mut ran: ExecOutput = self.ask("exec", with, deadline, OUTPUT_ESCAPED).await?;
            ran.output.truncate(ran.output.floor_char_boundary(OUTPUT));
            Ok(ran)
        })
    }

    fn run_hook<'a>(&'a self, job: HookJob<'a>, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        let with = RunHook { id: job.id, deployment: job.deployment, hook: job.hook, secrets: Exposed(job.secrets) };
        Box::pin(self.ask("run_hook", with, deadline, OUTPUT_ESCAPED))
    }

    fn hook_state<'a>(&'a self, id: &'a str, deadline: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(self.ask("hook_state", ById { id }, deadline, OUTPUT_ESCAPED))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.node.changed(&self.account))
    }
}

/// Where log lines come from.
struct LogSource {
    node: Arc<RemoteNode>,
    path: String,
}

impl LogSource {
    /// The next line; `None` when there are no more.
    async fn next(&self, lines: &mut Lines) -> Result<Option<LogChunk>, Error> {
        let name = self.node.name();
        let Some(line) = lines.next().await? else {
            return Err(fault::cut(name, "the log ended without its end"));
        };
        match serde_json::from_slice(&line) {
            Ok(LogLine::Line(chunk)) => Ok(Some(chunk)),
            Ok(LogLine::End) => Ok(None),
            Ok(LogLine::Error(fault)) => Err(fault.error(&format!("node `{name}`: "))),
            Err(error) => Err(nonsense(name, &self.path, error)),
        }
    }
}
