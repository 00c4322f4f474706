//! Every method of a platform as a call whose outcome is text, so that two of them can be compared and each can be cut.

use std::time::Duration;

use futures::TryStreamExt as _;
use skipper_core::{
    BoxFuture,
    deployment::{Deployment, Instance},
    generation::Generation,
    port::{Error, Garbage, HookJob, Launch, LogQuery, Platform},
    rollout::plan::Instances,
    secret::SecretValues,
    spec::{Hook, Resource},
};

/// The arguments of all methods.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub deployment: Deployment,
    pub instances: Instances,
    pub instance: Instance,
    pub secrets: SecretValues,
    pub generation: Generation,
    pub resource: Resource,
    pub paths: Vec<String>,
    pub query: LogQuery,
    pub words: Vec<String>,
    pub hook: Hook,
    pub id: String,
    pub garbage: Garbage,
    pub last: bool,
}

/// What an outcome is like: its text, or what an error says.
pub(super) type Outcome = Result<String, Error>;

fn text(what: impl std::fmt::Debug) -> String {
    format!("{what:?}")
}

/// Calls each method, by its name.
pub(super) fn calls<'a>(
    platform: &'a dyn Platform,
    asked: &'a Asked,
    deadline: Duration,
) -> Vec<(&'static str, BoxFuture<'a, Outcome>)> {
    let Asked { deployment, instances, instance, secrets, generation, resource, paths, .. } = asked;
    let (instances, generation, id) = (*instances, *generation, asked.id.as_str());
    let launch = move || Launch { deployment, instances, secrets, generation };
    let job = move || HookJob { id, deployment, hook: &asked.hook, secrets };
    vec![
        ("fetch", Box::pin(async move { platform.fetch(resource, deadline).await.map(text) })),
        ("fetch_for", Box::pin(async move { platform.fetch_for(&deployment.app, deadline).await.map(text) })),
        (
            "pin",
            Box::pin(async move {
                let mut app = deployment.app.clone();
                platform.pin(&mut app, deadline).await.map(|()| text(app))
            }),
        ),
        (
            "files_of",
            Box::pin(async move {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                platform.files_of(resource, &paths, deadline).await.map(text)
            }),
        ),
        (
            "review",
            Box::pin(async move {
                let mut app = deployment.app.clone();
                platform.review(&mut app).await.map(|told| text((app, told)))
            }),
        ),
        ("launch", Box::pin(async move { platform.launch(launch(), deadline).await.map(text) })),
        ("observe", Box::pin(async move { platform.observe(deployment, instances, deadline).await.map(text) })),
        (
            "retire",
            Box::pin(async move {
                platform.retire(deployment, instances, asked.last, generation, deadline).await.map(text)
            }),
        ),
        ("list", Box::pin(async move { platform.list(deadline).await.map(text) })),
        ("remove_orphan", Box::pin(async move { platform.remove_orphan(&deployment.id, deadline).await.map(text) })),
        ("kept", Box::pin(async move { platform.kept(deadline).await.map(text) })),
        ("clear", Box::pin(async move { platform.clear(&asked.garbage, deadline).await.map(text) })),
        (
            "foreign",
            Box::pin(async move {
                let labels: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), id)).collect();
                platform.foreign(&labels, deadline).await.map(text)
            }),
        ),
        ("remove_foreign", Box::pin(async move { platform.remove_foreign(id, deadline).await.map(text) })),
        ("hold_foreign", Box::pin(async move { platform.hold_foreign(id, "held", deadline).await.map(text) })),
        ("resume_foreign", Box::pin(async move { platform.resume_foreign(id, "again", deadline).await.map(text) })),
        ("remove_foreign_pod", Box::pin(async move { platform.remove_foreign_pod(id, deadline).await.map(text) })),
        (
            "logs",
            Box::pin(async move {
                let lines: Vec<_> = platform.logs(asked.query.clone()).await?.try_collect().await?;
                Ok(text(lines))
            }),
        ),
        (
            "exec",
            Box::pin(async move {
                platform.exec(deployment, instance.index.into(), &asked.words, deadline).await.map(text)
            }),
        ),
        ("run_hook", Box::pin(async move { platform.run_hook(job(), deadline).await.map(text) })),
        ("hook_state", Box::pin(async move { platform.hook_state(id, deadline).await.map(text) })),
    ]
}
