//! Starting instances. A container's name is taken by whoever makes it first; everybody else finds it and looks whether it
//! is the one that is wanted. Every launch is a task of its own: a caller that hangs up changes nothing.

use std::{fs, sync::Arc, time::Duration};

use bollard::{
    Docker,
    models::NetworkCreateRequest,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions},
};
use futures::{StreamExt as _, TryStreamExt as _};
use skipper_core::{
    deployment::{Deployment, Instance},
    generation::Generation,
    port::{Error, ErrorKind},
    rollout::plan::Instances,
    secret::SecretValues,
};
use tracing::{info, warn};

use super::{
    account::Account,
    fault, fetch, kept, labels,
    look::{Looked, Seen, look},
    options::Options,
    prepare::{self, Work},
    secret_files, stop,
};
use crate::local::{Underway, blocking, keeper::Contents, storage};

/// How many instances are started side by side.
const AT_ONCE: usize = 8;
/// How often a container that appears, goes or changes under our hands is looked at anew.
const ROUNDS: u32 = 6;
/// Time in which an engine tells the ports it has chosen, and between two looks.
const PUBLISHED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// What is launched, owned by its task.
pub(super) struct Wanted {
    pub deployment: Deployment,
    pub secrets: SecretValues,
    pub generation: Generation,
}

/// Starts what does not run of the range and returns all of it, or the first error once nothing is being started any more.
pub(super) async fn all(account: Arc<Account>, wanted: Arc<Wanted>, range: Instances) -> Result<Vec<Instance>, Error> {
    let (passing, account_too) = (Arc::clone(&wanted), Arc::clone(&account));
    let underway = blocking(move || account_too.fences.begin(&passing.deployment, passing.generation, range)).await??;
    let options = Options::of(&wanted.deployment.app)?;
    let engine = account.engine().await?;
    let image = fetch::pinned(&account, &engine, &wanted.deployment.app.resource).await?;
    kept::keep(&account, &engine, &image, &wanted.deployment.app.resource).await;
    network(&account, &engine, prepare::network(&account.config, &options)).await?;
    let job = Job { account: &account, wanted: &wanted, underway: &underway, engine: &engine, image: &image };
    let outcomes: Vec<Result<Instance, Error>> =
        futures::stream::iter(range.range()).map(|index| job.one(index)).buffered(AT_ONCE).collect().await;
    futures::stream::iter(outcomes).try_collect().await
}

/// Makes the network if it is not there.
pub(super) async fn network(account: &Account, engine: &Docker, name: &str) -> Result<(), Error> {
    // Nobody takes one away that has just been asked for.
    let looking = account.in_use.looking().await;
    account.in_use.ask(&format!("network {name}"));
    let seen = engine.inspect_network(name, None).await;
    drop(looking);
    match seen {
        Ok(_) => return Ok(()),
        Err(said) if fault::is_missing(&said) => {}
        Err(said) => return Err(account.failed(format!("look for network {name}"), said)),
    }
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let wanted = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(
            [label(labels::OWNER, &account.config.owner), label(labels::ACCOUNT, account.config.account.as_str())]
                .into(),
        ),
        ..NetworkCreateRequest::default()
    };
    match engine.create_network(wanted).await {
        Ok(_) => {
            info!(network = name, "made a network");
            Ok(())
        }
        Err(said) if fault::is_conflict(&said) || fault::exists_already(&said) => Ok(()),
        Err(said) => Err(account.failed(format!("make network {name}"), said)),
    }
}

struct Job<'a> {
    account: &'a Arc<Account>,
    wanted: &'a Arc<Wanted>,
    underway: &'a Underway,
    engine: &'a Docker,
    image: &'a str,
}

impl Job<'_> {
    async fn one(&self, index: u32) -> Result<Instance, Error> {
        let deployment = &self.wanted.deployment;
        let name = labels::instance_name(&deployment.id, index);
        let turn = self.account.turn(&name);
        let _turn = turn.lock().await;
        self.underway.goes_on()?;
        for _ in 0..ROUNDS {
            match look(self.account, &name).await? {
                Looked::Running(seen) => match self.check(&seen)? {
                    Fits::Yes => return self.started(index, &name).await,
                    Fits::No => self.replace(&seen).await?,
                },
                Looked::Between(..) => tokio::time::sleep(PAUSE * 10).await,
                Looked::Made(seen) => match self.check(&seen)? {
                    Fits::Yes => {
                        self.start(index, &seen.id).await?;
                        return self.started(index, &name).await;
                    }
                    Fits::No => self.replace(&seen).await?,
                },
                Looked::Ended(seen, _) => match self.check(&seen)? {
                    Fits::Yes => {
                        // The same container: what it said before is still there to be read.
                        self.count(index).await?;
                        match self.start(index, &seen.id).await {
                            Ok(()) => return self.started(index, &name).await,
                            Err(error) => {
                                warn!(container = name, error = error.chain(), "does not start again; making it anew");
                                self.replace(&seen).await?;
                            }
                        }
                    }
                    Fits::No => self.replace(&seen).await?,
                },
                Looked::Absent => {
                    if let Some(id) = self.make(index, &name).await? {
                        self.start(index, &id).await?;
                        return self.started(index, &name).await;
                    }
                    // Its name is given away before it can be looked at.
                    tokio::time::sleep(PAUSE * 5).await;
                }
            }
        }
        let message = format!("container {name} comes and goes while it is being started");
        Err(Error::new(ErrorKind::Transient, "container-busy", message)
            .hint("somebody else acts on it: see the engine's events"))
    }

    /// Whether a container is the one that is wanted; it may be somebody's who has a newer right.
    fn check(&self, seen: &Seen) -> Result<Fits, Error> {
        stop::fence(&seen.labels, &self.wanted.deployment.id, self.wanted.generation)?;
        if seen.labels.get(labels::DEPLOYMENT).is_none_or(|of| *of != self.wanted.deployment.id.as_str()) {
            let message = format!("a container named {} is there, and it is not Skipper's", seen.name);
            return Err(Error::new(ErrorKind::Permanent, "name-taken", message)
                .hint("remove or rename it: names that begin with `skipper-` are Skipper's"));
        }
        let wants = Contents::of(&self.wanted.deployment, self.wanted.generation);
        if wants.differs_from(labels::contents(&seen.labels).as_ref()) {
            warn!(container = seen.name, "what is here is of a revision that a restore lost; replacing it");
            return Ok(Fits::No);
        }
        Ok(Fits::Yes)
    }

    async fn replace(&self, seen: &Seen) -> Result<(), Error> {
        stop::container(self.account, &seen.id, &self.wanted.deployment.app.stop).await
    }

    /// Makes the container; `None` when somebody has been faster.
    async fn make(&self, index: u32, name: &str) -> Result<Option<String>, Error> {
        let work = {
            let (account, wanted) = (Arc::clone(self.account), Arc::clone(self.wanted));
            let (options, image) = (Options::of(&wanted.deployment.app)?, self.image.to_owned());
            move || {
                let deployment = &wanted.deployment;
                let contents = Contents::of(deployment, wanted.generation);
                let mut labels = prepare::labels_of(&account.config, deployment, &options, labels::INSTANCE);
                labels::of_instance(&mut labels, index, wanted.generation, &contents);
                let dir = secret_files::dir(&account.instance_dir(&deployment.id, index));
                let work = Work::Instance(index);
                let order =
                    prepare::Order { image, secrets: &wanted.secrets, options: &options, labels, secrets_dir: &dir };
                let (body, files) = prepare::body(&account, deployment, order, &work)?;
                secret_files::write(&dir, &files)?;
                Ok::<_, Error>(body)
            }
        };
        let body = blocking(work).await??;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = match self.engine.create_container(Some(options), body).await {
            Ok(made) => made,
            Err(said) if fault::is_conflict(&said) => return Ok(None),
            Err(said) => return Err(self.account.failed(self.doing("make", index), said)),
        };
        let deployment = &self.wanted.deployment;
        let dir = secret_files::dir(&self.account.instance_dir(&deployment.id, index));
        if let Err(error) = secret_files::hand_over(self.account, self.engine, &made.id, dir).await {
            self.undo(&made.id).await;
            return Err(error);
        }
        Ok(Some(made.id))
    }

    async fn start(&self, index: u32, id: &str) -> Result<(), Error> {
        let Err(said) = self.engine.start_container(id, None::<StartContainerOptions>).await else { return Ok(()) };
        let error = self.account.failed(self.doing("start", index), said);
        if error.kind() != ErrorKind::Unknown {
            // It never ran: nothing of it is worth keeping.
            self.undo(id).await;
        }
        Err(error)
    }

    async fn undo(&self, id: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        if let Err(error) = self.engine.remove_container(id, Some(options)).await
            && !fault::is_missing(&error)
        {
            warn!(%error, container = id, "a container that did not start was not removed");
        }
    }

    /// What runs now, with the ports that the engine chose. One that ended at once is told as it was.
    async fn started(&self, index: u32, name: &str) -> Result<Instance, Error> {
        let deployment = &self.wanted.deployment;
        let restarts = self.restarts(index).await;
        let until = tokio::time::Instant::now() + PUBLISHED;
        loop {
            let seen = match look(self.account, name).await? {
                Looked::Running(seen) if !seen.is_published(self.account, deployment) => {
                    if tokio::time::Instant::now() >= until {
                        let message = format!("{}: the engine published none of its ports", self.doing("start", index));
                        return Err(Error::new(ErrorKind::Transient, "port-missing", message)
                            .hint("a network that is internal publishes none: choose another one under `network`"));
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Looked::Running(seen) | Looked::Ended(seen, _) | Looked::Between(seen, _) => seen,
                Looked::Made(_) | Looked::Absent => {
                    let message = format!("container {name} was started, and is not there");
                    return Err(Error::new(ErrorKind::Transient, "container-busy", message));
                }
            };
            info!(container = name, id = seen.id, "container runs");
            return Ok(seen.instance(self.account, deployment, index, restarts));
        }
    }

    fn doing(&self, what: &str, index: u32) -> String {
        format!("{what} instance {index} of {}", self.wanted.deployment.app.name)
    }

    async fn restarts(&self, index: u32) -> u32 {
        restarts(self.account, &self.wanted.deployment, index).await
    }

    /// Counts that it is started again.
    async fn count(&self, index: u32) -> Result<(), Error> {
        count_restart(self.account, &self.wanted.deployment, index).await
    }
}

/// Counts that an instance is started again.
pub(super) async fn count_restart(account: &Account, deployment: &Deployment, index: u32) -> Result<(), Error> {
    let path = account.instance_dir(&deployment.id, index);
    let next = restarts(account, deployment, index).await.saturating_add(1);
    blocking(move || {
        fs::create_dir_all(&path)?;
        fs::write(path.join("restarts"), next.to_string())
    })
    .await?
    .map_err(|cause| storage("count a restart", cause))
}

/// How often an instance was started again by us.
pub(super) async fn restarts(account: &Account, deployment: &Deployment, index: u32) -> u32 {
    let path = account.instance_dir(&deployment.id, index).join("restarts");
    let read = blocking(move || fs::read_to_string(path)).await;
    read.ok().and_then(Result::ok).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

enum Fits {
    Yes,
    No,
}
