use skipper_core::{
    deployment::{Deployment, Instance},
    port::{Error, Garbage, HookJob, Inside, Launch, LogQuery, Platform},
    spec::{Application, Hook, Resource},
};

use super::{streams, within};
use crate::remote::{
    Reply,
    message::{
        self, ById, ByName, Clear, Exec, Fetch, Files, FilesOf, Labelled, Named, Nothing, Observe, OfApp, Probe,
        Rename, Retire, Reviewed, RunHook, Taken, read,
    },
};

/// Answers for an account; `None` where it has no such method.
///
/// # Errors
///
/// The request is not understood.
pub(super) async fn answer(platform: &dyn Platform, method: &str, body: &[u8]) -> Result<Option<Reply>, Error> {
    Ok(Some(match method {
        "describe" => {
            let ask = read::<Nothing>(body)?;
            within(&ask, async { Ok(platform.describe().await) }).await
        }
        "fetch" => {
            let ask = read::<Fetch<Resource>>(body)?;
            within(&ask, platform.fetch(&ask.with.resource, ask.deadline())).await
        }
        "fetch_for" => {
            let ask = read::<OfApp<Application>>(body)?;
            within(&ask, platform.fetch_for(&ask.with.app, ask.deadline())).await
        }
        "pin" => {
            let ask = read::<OfApp<Application>>(body)?;
            let mut app = ask.with.app.clone();
            let pinned = async {
                platform.pin(&mut app, ask.deadline()).await?;
                Ok(OfApp { app })
            };
            within(&ask, pinned).await
        }
        "files_of" => {
            let ask = read::<FilesOf<Resource, String>>(body)?;
            let paths: Vec<&str> = ask.with.paths.iter().map(String::as_str).collect();
            let files = async { platform.files_of(&ask.with.resource, &paths, ask.deadline()).await.map(Files) };
            within(&ask, files).await
        }
        "review" => {
            let ask = read::<OfApp<Application>>(body)?;
            let mut app = ask.with.app.clone();
            let reviewed = async {
                let told = platform.review(&mut app).await?;
                Ok(Reviewed { app, told })
            };
            within(&ask, reviewed).await
        }
        "launch" => {
            let ask = read::<message::Launch<Deployment, Taken>>(body)?;
            let message::Launch { deployment, instances, secrets: Taken(secrets), generation } = &ask.with;
            let launch = Launch { deployment, instances: *instances, secrets, generation: *generation };
            within(&ask, platform.launch(launch, ask.deadline())).await
        }
        "observe" => {
            let ask = read::<Observe<Deployment>>(body)?;
            within(&ask, platform.observe(&ask.with.deployment, ask.with.instances, ask.deadline())).await
        }
        "probe" => {
            let ask = read::<Probe<Deployment, Instance>>(body)?;
            within(&ask, async { Ok(platform.probe(&ask.with.deployment, &ask.with.instance).await) }).await
        }
        "retire" => {
            let ask = read::<Retire<Deployment>>(body)?;
            let Retire { deployment, instances, last, generation } = &ask.with;
            let retire = platform.retire(deployment, *instances, *last, *generation, ask.deadline());
            within(&ask, done(retire)).await
        }
        "list" => {
            let ask = read::<Nothing>(body)?;
            within(&ask, platform.list(ask.deadline())).await
        }
        "remove_orphan" => {
            let ask = read::<Named>(body)?;
            within(&ask, done(platform.remove_orphan(&ask.with.deployment, ask.deadline()))).await
        }
        "run_hook" => {
            let ask = read::<RunHook<String, Deployment, Hook, Taken>>(body)?;
            let RunHook { id, deployment, hook, secrets: Taken(secrets) } = &ask.with;
            within(&ask, platform.run_hook(HookJob { id, deployment, hook, secrets }, ask.deadline())).await
        }
        "hook_state" => {
            let ask = read::<ById<String>>(body)?;
            within(&ask, platform.hook_state(&ask.with.id, ask.deadline())).await
        }
        "exec" => {
            let ask = read::<Exec<Deployment, String, Vec<String>>>(body)?;
            let Exec { deployment, instance, container, command } = &ask.with;
            let inside = Inside { instance: *instance, container: container.as_deref() };
            within(&ask, platform.exec(deployment, inside, command, ask.deadline())).await
        }
        "logs" => {
            let ask = read::<LogQuery>(body)?;
            streams::logs(platform, ask).await
        }
        _ => return around(platform, method, body).await,
    }))
}

/// What is not about one deployment: what is kept, and what other programs started.
async fn around(platform: &dyn Platform, method: &str, body: &[u8]) -> Result<Option<Reply>, Error> {
    Ok(Some(match method {
        "kept" => {
            let ask = read::<Nothing>(body)?;
            within(&ask, platform.kept(ask.deadline())).await
        }
        "clear" => {
            let ask = read::<Clear>(body)?;
            let garbage = Garbage::from(&ask.with);
            within(&ask, platform.clear(&garbage, ask.deadline())).await
        }
        "foreign" => {
            let ask = read::<Labelled>(body)?;
            let labels: Vec<_> = ask.with.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            within(&ask, platform.foreign(&labels, ask.deadline())).await
        }
        "remove_foreign" => {
            let ask = read::<ById<String>>(body)?;
            within(&ask, done(platform.remove_foreign(&ask.with.id, ask.deadline()))).await
        }
        "hold_foreign" => {
            let ask = read::<Rename<String>>(body)?;
            within(&ask, done(platform.hold_foreign(&ask.with.id, &ask.with.name, ask.deadline()))).await
        }
        "resume_foreign" => {
            let ask = read::<Rename<String>>(body)?;
            within(&ask, done(platform.resume_foreign(&ask.with.id, &ask.with.name, ask.deadline()))).await
        }
        "remove_foreign_pod" => {
            let ask = read::<ByName<String>>(body)?;
            within(&ask, done(platform.remove_foreign_pod(&ask.with.name, ask.deadline()))).await
        }
        _ => return Ok(None),
    }))
}

/// Where there is nothing to answer.
pub(super) async fn done(work: impl Future<Output = Result<(), Error>>) -> Result<Nothing, Error> {
    work.await.map(|()| Nothing {})
}
