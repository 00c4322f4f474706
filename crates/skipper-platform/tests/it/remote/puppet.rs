//! A platform that answers what it is told to, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::stream;
use skipper_core::{
    BoxFuture, BoxStream, Sha256,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    health::Attempt,
    port::{
        Capabilities, Cleared, Description, Error, ErrorKind, ExecOutput, Foreign, Found, Garbage, HookJob, HookState,
        Inside, Kept, Launch, LogChunk, LogQuery, LogStreamKind, Platform,
    },
    rollout::plan::Instances,
    secret::SecretValues,
    spec::{Application, Resource},
    time::Timestamp,
};
use tokio::sync::Notify;

/// An error as it is to be answered.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub kind: ErrorKind,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
    pub cause: Option<String>,
}

impl Failure {
    fn error(&self) -> Error {
        let mut error = Error::new(self.kind, self.code, self.message.clone());
        if let Some(hint) = &self.hint {
            error = error.hint(hint.clone());
        }
        match &self.cause {
            Some(cause) => error.because(cause.clone()),
            None => error,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub instances: Vec<Instance>,
    pub observed: Vec<Observed>,
    pub attempt: Attempt,
    pub found: Vec<Found>,
    pub kept: Option<Kept>,
    pub cleared: Cleared,
    pub foreign: Vec<Foreign>,
    pub chunks: Vec<LogChunk>,
    pub ran: ExecOutput,
    pub hook: HookState,
    pub file: Vec<u8>,
    pub told: Vec<String>,
    pub failure: Option<Failure>,
}

impl Default for Answers {
    fn default() -> Self {
        let attempt = Attempt { at: Timestamp::default(), instance: 0, ok: true, detail: "200 OK".to_owned() };
        Self {
            instances: Vec::new(),
            observed: Vec::new(),
            attempt,
            found: Vec::new(),
            kept: None,
            cleared: Cleared::default(),
            foreign: Vec::new(),
            chunks: Vec::new(),
            ran: ExecOutput { code: Some(0), output: String::new() },
            hook: HookState::Absent,
            file: Vec::new(),
            told: Vec::new(),
            failure: None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Puppet {
    pub answers: Answers,
    /// Never answers.
    pub stuck: bool,
    pub heard: Mutex<Vec<String>>,
    /// Told whenever it was asked something.
    pub entered: Notify,
    /// Resolves [`Platform::changed`].
    pub change: Notify,
    /// What a reviewed application is made into.
    pub twist: Option<fn(&mut Application)>,
    /// Its log never ends.
    pub endless: Option<Arc<Endless>>,
}

/// A log without end.
#[derive(Debug, Default)]
pub(super) struct Endless {
    /// Lines that were taken from it.
    pub taken: AtomicUsize,
    /// Told when nobody reads it any more.
    pub ended: Notify,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.ended.notify_one();
    }
}

struct Reading(Arc<Endless>);

impl Reading {
    fn lines(self) -> impl futures::Stream<Item = Result<LogChunk, Error>> {
        stream::unfold(self, |reading| async move {
            let number = reading.0.taken.fetch_add(1, Ordering::SeqCst);
            let line = format!("{number:0>1000}");
            let chunk = LogChunk { at: Timestamp::default(), instance: 0, stream: LogStreamKind::Stdout, line };
            Some((Ok(chunk), reading))
        })
    }
}

impl Puppet {
    pub(super) fn answering(answers: Answers) -> Self {
        Self { answers, ..Self::default() }
    }

    pub(super) fn stuck() -> Self {
        Self { stuck: true, ..Self::default() }
    }

    /// What it was asked, in words.
    pub(super) fn heard(&self) -> MutexGuard<'_, Vec<String>> {
        self.heard.lock().expect("not poisoned")
    }

    async fn enter<T>(&self, heard: String, answer: T) -> Result<T, Error> {
        self.heard().push(heard);
        self.entered.notify_one();
        if self.stuck {
            std::future::pending::<()>().await;
        }
        match &self.answers.failure {
            Some(failure) => Err(failure.error()),
            None => Ok(answer),
        }
    }

    async fn complete(&self, heard: String, app: &mut Application) -> Result<(), Error> {
        self.enter(heard, ()).await?;
        app.env.insert("COMPLETED".to_owned(), "here".to_owned());
        app.resource = brought(&app.resource);
        if let Some(twist) = self.twist {
            twist(app);
        }
        Ok(())
    }
}

fn brought(resource: &Resource) -> Resource {
    let sha256 = resource.sha256.unwrap_or_else(|| Sha256::of(resource.uri.as_bytes()));
    Resource { uri: resource.uri.clone(), sha256: Some(sha256) }
}

fn exposed(secrets: &SecretValues) -> BTreeMap<&str, &str> {
    secrets.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

impl Platform for Puppet {
    fn capabilities(&self) -> Capabilities {
        Capabilities { schemes: vec!["builtin".to_owned()], replicas: true, ..Capabilities::default() }
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async {
            Description {
                name: "here".to_owned(),
                kind: "puppet".to_owned(),
                summary: "strings attached".to_owned(),
                deployer: None,
                reachable: true,
                capabilities: self.capabilities(),
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, _: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(self.enter(format!("fetch {resource:?}"), brought(resource)))
    }

    fn fetch_for<'a>(&'a self, app: &'a Application, _: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(self.enter(format!("fetch_for {app:?}"), brought(&app.resource)))
    }

    fn pin<'a>(&'a self, app: &'a mut Application, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.complete(format!("pin {app:?}"), app))
    }

    fn files_of<'a>(
        &'a self,
        resource: &'a Resource,
        paths: &'a [&'a str],
        _: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, Error>> {
        let files = paths.iter().map(|path| ((*path).to_owned(), self.answers.file.clone())).collect();
        Box::pin(self.enter(format!("files_of {resource:?} {paths:?}"), files))
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            self.complete(format!("review {app:?}"), app).await?;
            Ok(self.answers.told.clone())
        })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, _: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        let Launch { deployment, instances, secrets, generation } = launch;
        let heard = format!("launch {deployment:?} {instances:?} {:?} {generation:?}", exposed(secrets));
        Box::pin(self.enter(heard, self.answers.instances.clone()))
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(self.enter(format!("observe {deployment:?} {instances:?}"), self.answers.observed.clone()))
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(async move {
            let answer = self.enter(format!("probe {deployment:?} {instance:?}"), self.answers.attempt.clone()).await;
            answer.unwrap_or_else(|error| Attempt { ok: false, detail: error.chain(), ..self.answers.attempt.clone() })
        })
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        last: bool,
        generation: Generation,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("retire {deployment:?} {instances:?} {last} {generation:?}"), ()))
    }

    fn list(&self, _: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(self.enter("list".to_owned(), self.answers.found.clone()))
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("remove_orphan {id:?}"), ()))
    }

    fn kept(&self, _: Duration) -> BoxFuture<'_, Result<Option<Kept>, Error>> {
        Box::pin(self.enter("kept".to_owned(), self.answers.kept.clone()))
    }

    fn clear<'a>(&'a self, garbage: &'a Garbage, _: Duration) -> BoxFuture<'a, Result<Cleared, Error>> {
        Box::pin(self.enter(format!("clear {garbage:?}"), self.answers.cleared.clone()))
    }

    fn foreign<'a>(
        &'a self,
        labels: &'a [(&'a str, &'a str)],
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<Foreign>, Error>> {
        Box::pin(self.enter(format!("foreign {labels:?}"), self.answers.foreign.clone()))
    }

    fn remove_foreign<'a>(&'a self, id: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("remove_foreign {id}"), ()))
    }

    fn hold_foreign<'a>(&'a self, id: &'a str, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("hold_foreign {id} {name}"), ()))
    }

    fn resume_foreign<'a>(&'a self, id: &'a str, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("resume_foreign {id} {name}"), ()))
    }

    fn remove_foreign_pod<'a>(&'a self, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.enter(format!("remove_foreign_pod {name}"), ()))
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            self.enter(format!("logs {query:?}"), ()).await?;
            if let Some(endless) = &self.endless {
                return Ok(Box::pin(Reading(Arc::clone(endless)).lines()) as BoxStream<'static, _>);
            }
            let lines = self.answers.chunks.clone().into_iter().map(Ok);
            Ok(Box::pin(stream::iter(lines)) as BoxStream<'static, _>)
        })
    }

    fn exec<'a>(
        &'a self,
        deployment: &'a Deployment,
        inside: Inside<'a>,
        command: &'a [String],
        _: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(self.enter(format!("exec {deployment:?} {inside:?} {command:?}"), self.answers.ran.clone()))
    }

    fn run_hook<'a>(&'a self, job: HookJob<'a>, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        let HookJob { id, deployment, hook, secrets } = job;
        let heard = format!("run_hook {id} {deployment:?} {hook:?} {:?}", exposed(secrets));
        Box::pin(self.enter(heard, self.answers.hook.clone()))
    }

    fn hook_state<'a>(&'a self, id: &'a str, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(self.enter(format!("hook_state {id}"), self.answers.hook.clone()))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.change.notified())
    }
}
