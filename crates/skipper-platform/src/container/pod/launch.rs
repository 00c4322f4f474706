//! Starting pods, step by step. Each step looks anew and can be repeated; nobody holds a pod's turn while something in it
//! runs to its end, so that it can be stopped meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bollard::{Docker, models::VolumeCreateRequest, query_parameters::StartContainerOptions};
use futures::{StreamExt as _, TryStreamExt as _};
use hyper::Method;
use skipper_core::{
    deployment::{Exit, Instance},
    port::{Error, ErrorKind},
    rollout::plan::Instances,
    secret::Blackener,
    spec::Resource,
};
use tokio::time::Instant;
use tracing::{info, warn};
use url::form_urlencoded;

use super::{
    super::{
        account::Account,
        fault, fetch, kept, labels,
        launch::{Wanted, count_restart, network, restarts},
        logs, look as container,
        options::Options,
        prepare, raw, secret_files, stop as containers,
    },
    look::{Looked, Seen, look, of},
    manifest::{Manifest, Part, part_name},
    order::{self, Order},
    stop,
};
use crate::local::{Underway, blocking, keeper::Contents};

/// How many pods are started side by side.
const AT_ONCE: usize = 8;
/// How often a pod that appears, goes or changes under our hands is made anew.
const ROUNDS: u32 = 6;
/// First and longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_millis(250);
/// Longest a pod may be half made by somebody else.
const HALF: Duration = Duration::from_secs(10);
/// Longest a launch waits for what runs first. It goes on; the next launch waits on.
const FIRST: Duration = Duration::from_secs(600);
/// How much of the output of what failed is told.
const LINES: usize = 3;

/// Starts what does not run of the range and returns all of it, or the first error once nothing is being started any more.
pub(in crate::container) async fn all(
    account: Arc<Account>,
    wanted: Arc<Wanted>,
    manifest: Manifest,
    range: Instances,
) -> Result<Vec<Instance>, Error> {
    super::supported(&account.config)?;
    let (passing, account_too) = (Arc::clone(&wanted), Arc::clone(&account));
    let underway = blocking(move || account_too.fences.begin(&passing.deployment, passing.generation, range)).await??;
    let options = Options::of(&wanted.deployment.app)?;
    let engine = account.engine().await?;
    let mut images = BTreeMap::new();
    let mut known: Vec<(Resource, String)> = Vec::new();
    for part in &manifest.parts {
        let resource = part.pinned(&wanted.deployment.app);
        let id = match known.iter().find(|(known, _)| *known == resource) {
            Some((_, id)) => id.clone(),
            None => {
                let id = fetch::pinned(&account, &engine, &resource).await?;
                kept::keep(&account, &engine, &id, &resource).await;
                known.push((resource, id.clone()));
                id
            }
        };
        images.insert(part.name.clone(), id.trim_start_matches("sha256:").to_owned());
    }
    network(&account, &engine, prepare::network(&account.config, &options)).await?;
    let manifest = Arc::new(manifest);
    let (account, wanted, underway, engine, images) = (&account, &wanted, &underway, &engine, &images);
    let job = Job { account, wanted, underway, manifest: &manifest, engine, images };
    let outcomes: Vec<Result<Instance, Error>> =
        futures::stream::iter(range.range()).map(|index| job.one(index)).buffered(AT_ONCE).collect().await;
    futures::stream::iter(outcomes).try_collect().await
}

struct Job<'a> {
    account: &'a Arc<Account>,
    wanted: &'a Arc<Wanted>,
    underway: &'a Underway,
    manifest: &'a Arc<Manifest>,
    engine: &'a Docker,
    images: &'a BTreeMap<String, String>,
}

/// How far one launch of one pod has got.
#[derive(Default)]
struct Way {
    /// Containers that were started on it: each is started once.
    started: BTreeSet<String>,
    /// A start after an end was counted.
    counted: bool,
    rounds: u32,
    /// Since when it is half made.
    half: Option<Instant>,
    /// It was there.
    seen: bool,
    /// Why it was made anew last.
    why: Option<Error>,
}

enum Step {
    Done(Instance),
    /// Something is on its way.
    Wait,
    /// Look anew at once.
    On,
}

impl Job<'_> {
    async fn one(&self, index: u32) -> Result<Instance, Error> {
        let name = labels::instance_name(&self.wanted.deployment.id, index);
        let until = Instant::now() + FIRST;
        let mut way = Way::default();
        let mut pause = PAUSE;
        loop {
            let step = {
                let turn = self.account.turn(&name);
                let _turn = turn.lock().await;
                self.underway.goes_on()?;
                self.step(index, &name, &mut way).await?
            };
            match step {
                Step::Done(instance) => return Ok(instance),
                Step::On => pause = PAUSE,
                Step::Wait if self.account.stop.is_cancelled() || Instant::now() >= until => {
                    let message = format!("pod {name} is still being started");
                    return Err(Error::new(ErrorKind::Unknown, "pod-starting", message)
                        .hint("a container that runs first takes its time: see the logs"));
                }
                Step::Wait => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                }
            }
        }
    }

    async fn step(&self, index: u32, name: &str, way: &mut Way) -> Result<Step, Error> {
        let found = look(self.account, name, self.manifest).await?;
        let seen = match found {
            Looked::Absent if way.seen => {
                let message = format!("pod {name} was removed while it was being started");
                return Err(Error::new(ErrorKind::Transient, "pod-gone", message));
            }
            Looked::Absent => return self.make(index, name, way).await,
            Looked::Half(seen) => {
                self.check(&seen)?;
                let since = *way.half.get_or_insert_with(Instant::now);
                if since.elapsed() < HALF {
                    return Ok(Step::Wait);
                }
                return self.replace(&seen, way, None).await;
            }
            Looked::Between(seen, _) => {
                way.seen = true;
                self.check(&seen)?;
                return Ok(Step::Wait);
            }
            Looked::Made(seen) | Looked::Running(seen) | Looked::Ended(seen, _) => seen,
        };
        if let Fits::No = self.check(&seen)? {
            return self.replace(&seen, way, None).await;
        }
        way.seen = true;
        let Some(begun) = seen.begun() else { return self.begin(index, &seen, way).await };
        for part in self.manifest.first() {
            match seen.part(&part.name) {
                Some(container::Looked::Ended(one, exit)) if one.started_at >= begun => {
                    if exit.code == Some(0) {
                        continue;
                    }
                    if way.started.contains(&part.name) {
                        return Err(self.first_failed(index, name, part, exit).await);
                    }
                }
                Some(container::Looked::Running(_) | container::Looked::Between(..)) => return Ok(Step::Wait),
                _ => {}
            }
            self.start(index, &seen, part, way).await?;
            return Ok(Step::On);
        }
        for part in self.manifest.staying() {
            match seen.part(&part.name) {
                _ if way.started.contains(&part.name) => {}
                Some(container::Looked::Made(_)) => self.start(index, &seen, part, way).await?,
                Some(container::Looked::Ended(one, exit))
                    if one.started_at < begun || !self.manifest.may_end || exit.code != Some(0) =>
                {
                    self.count(index, way).await?;
                    if let Err(error) = self.start(index, &seen, part, way).await {
                        warn!(pod = name, error = error.chain(), "does not start again; making it anew");
                        return Ok(Step::On);
                    }
                }
                _ => {}
            }
        }
        self.started(index, name).await.map(Step::Done)
    }

    /// Starts the pod itself: its network and its ports. What runs first does so anew.
    async fn begin(&self, index: u32, seen: &Seen, way: &mut Way) -> Result<Step, Error> {
        let runs = seen.parts.iter().any(|(_, looked)| matches!(looked, container::Looked::Running(_)));
        let infra = match &seen.infra {
            Some((id, container::Looked::Made(_) | container::Looked::Ended(..))) if !runs => id,
            // What runs in it has lost its network.
            _ => return self.replace(seen, way, None).await,
        };
        if seen.parts.iter().any(|(_, looked)| matches!(looked, container::Looked::Ended(..))) {
            self.count(index, way).await?;
        }
        match self.engine.start_container(infra, None::<StartContainerOptions>).await {
            Ok(()) => Ok(Step::On),
            Err(said) => {
                let error = self.account.failed(self.doing("start", index), said);
                match error.kind() {
                    ErrorKind::Unknown => Err(error),
                    // Somebody else has one of its ports by now, or the engine has forgotten its network.
                    _ => self.replace(seen, way, Some(error)).await,
                }
            }
        }
    }

    async fn start(&self, index: u32, seen: &Seen, part: &Part, way: &mut Way) -> Result<(), Error> {
        way.started.insert(part.name.clone());
        let Some(id) = seen.part(&part.name).and_then(of).map(|one| one.id.clone()) else { return Ok(()) };
        let Err(said) = self.engine.start_container(&id, None::<StartContainerOptions>).await else { return Ok(()) };
        let what =
            format!("start container `{}` of instance {index} of {}", part.name, self.wanted.deployment.app.name);
        let error = self.account.failed(what, said);
        if error.kind() != ErrorKind::Unknown {
            // Nothing of it is worth keeping.
            *way = Way { rounds: way.rounds, counted: way.counted, ..Way::default() };
            self.undo(&seen.name).await;
        }
        Err(error)
    }

    /// Whether a pod is the one that is wanted; it may be somebody's who has a newer right.
    fn check(&self, seen: &Seen) -> Result<Fits, Error> {
        let deployment = &self.wanted.deployment;
        containers::fence(&seen.labels, &deployment.id, self.wanted.generation)?;
        if seen.labels.get(labels::DEPLOYMENT).is_none_or(|of| *of != deployment.id.as_str()) {
            let message = format!("a pod named {} is there, and it is not Skipper's", seen.name);
            return Err(Error::new(ErrorKind::Permanent, "name-taken", message)
                .hint("remove or rename it: names that begin with `skipper-` are Skipper's"));
        }
        let wants = Contents::of(deployment, self.wanted.generation);
        if wants.differs_from(labels::contents(&seen.labels).as_ref()) {
            warn!(pod = seen.name, "what is here is of a revision that a restore lost; replacing it");
            return Ok(Fits::No);
        }
        Ok(Fits::Yes)
    }

    /// Removes it, to be made anew; a bounded number of times.
    async fn replace(&self, seen: &Seen, way: &mut Way, why: Option<Error>) -> Result<Step, Error> {
        stop::pod(self.account, &seen.name, &self.wanted.deployment.app.stop).await?;
        let counted = way.counted;
        let why = why.or(way.why.take());
        *way = Way { rounds: way.rounds + 1, counted, why, ..Way::default() };
        Ok(Step::On)
    }

    /// Makes the pod.
    async fn make(&self, index: u32, name: &str, way: &mut Way) -> Result<Step, Error> {
        if way.rounds >= ROUNDS {
            let message = format!("pod {name} comes and goes while it is being started");
            return Err(way.why.take().unwrap_or_else(|| Error::new(ErrorKind::Transient, "container-busy", message)));
        }
        way.rounds += 1;
        let options = Options::of(&self.wanted.deployment.app)?;
        let network = prepare::network(&self.account.config, &options).to_owned();
        let work = {
            let (account, wanted) = (Arc::clone(self.account), Arc::clone(self.wanted));
            let (manifest, images) = (Arc::clone(self.manifest), self.images.clone());
            move || {
                let deployment = &wanted.deployment;
                let contents = Contents::of(deployment, wanted.generation);
                let mut labels = prepare::labels_of(&account.config, deployment, &options, labels::INSTANCE);
                labels::of_instance(&mut labels, index, wanted.generation, &contents);
                labels.insert(labels::POD.to_owned(), labels::instance_name(&deployment.id, index));
                let volume_labels = labels.clone();
                let order = Order {
                    manifest: &manifest,
                    index,
                    secrets: &wanted.secrets,
                    options: &options,
                    labels,
                    images: &images,
                };
                let made = order::made(&account, deployment, order)?;
                for part in &manifest.parts {
                    secret_files::write(&order::secrets_dir(&account, deployment, index, &part.name), &made.files)?;
                }
                Ok::<_, Error>((made, volume_labels))
            }
        };
        let (made, labels) = blocking(work).await??;
        for volume in made.volumes {
            let request = VolumeCreateRequest {
                name: Some(volume),
                labels: Some(labels.clone()),
                ..VolumeCreateRequest::default()
            };
            match self.engine.create_volume(request).await {
                Ok(_) => {}
                Err(said) if fault::exists_already(&said) => {}
                Err(said) => return Err(self.account.failed(self.doing("make a volume of", index), said)),
            }
        }
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("start", "false")
            .append_pair("network", &network)
            .append_pair("logDriver", "k8s-file")
            .append_pair("logOptions", "max-size=20mb")
            .finish();
        let played = raw::libpod(self.account, Method::POST, &format!("/play/kube?{query}"), Some(made.document)).await;
        if let Err(said) = played {
            if fault::exists_already(&said) || fault::is_conflict(&said) {
                // Somebody else was faster.
                return Ok(Step::Wait);
            }
            let error = refused(self.account.failed(self.doing("make", index), said));
            if error.kind() != ErrorKind::Unknown {
                self.undo(name).await;
            }
            return Err(error);
        }
        if !made.files.is_empty() {
            for part in &self.manifest.parts {
                let dir = order::secrets_dir(self.account, &self.wanted.deployment, index, &part.name);
                let container = part_name(name, &part.name);
                if let Err(error) = secret_files::hand_over(self.account, self.engine, &container, dir).await {
                    self.undo(name).await;
                    return Err(error);
                }
            }
        }
        info!(pod = name, "pod made");
        Ok(Step::On)
    }

    async fn undo(&self, name: &str) {
        if let Err(error) = stop::pod(self.account, name, &self.wanted.deployment.app.stop).await {
            warn!(pod = name, error = error.chain(), "a pod that did not start was not removed");
        }
    }

    /// What runs now, with its ports. One whose containers ended at once is told as it was.
    async fn started(&self, index: u32, name: &str) -> Result<Instance, Error> {
        let deployment = &self.wanted.deployment;
        let restarts = restarts(self.account, deployment, index).await;
        let seen = match look(self.account, name, self.manifest).await? {
            Looked::Running(seen) | Looked::Ended(seen, _) | Looked::Between(seen, _) | Looked::Made(seen) => seen,
            Looked::Absent | Looked::Half(_) => {
                let message = format!("pod {name} was started, and is not there");
                return Err(Error::new(ErrorKind::Transient, "container-busy", message));
            }
        };
        if !seen.is_published(self.account, deployment) {
            let message = format!("{}: the engine published none of its ports", self.doing("start", index));
            return Err(Error::new(ErrorKind::Transient, "port-missing", message)
                .hint("a network that is internal publishes none: choose another one under `network`"));
        }
        info!(pod = name, id = seen.id, "pod runs");
        Ok(seen.instance(self.account, deployment, index, restarts))
    }

    async fn count(&self, index: u32, way: &mut Way) -> Result<(), Error> {
        if !std::mem::replace(&mut way.counted, true) {
            count_restart(self.account, &self.wanted.deployment, index).await?;
        }
        Ok(())
    }

    /// That a container that has to end well before the others start did not. It stays, so that its logs can be read.
    async fn first_failed(&self, index: u32, pod: &str, part: &Part, exit: &Exit) -> Error {
        let blackener = Blackener::new(&self.wanted.secrets);
        let mut last = Vec::new();
        if let Ok(mut lines) = logs::of_container(self.account, &part_name(pod, &part.name), Some(LINES)).await {
            while let Some(Ok(chunk)) = lines.next().await {
                last.push(blackener.line(chunk.line).chars().take(200).collect::<String>());
            }
        }
        let app = &self.wanted.deployment.app.name;
        let mut message = format!("init container `{}` of instance {index} of {app} {exit}", part.name);
        if !last.is_empty() {
            message = format!("{message}: {}", last.join(" | "));
        }
        Error::new(ErrorKind::Permanent, "init-failed", message)
            .hint("the other containers start once it ends with status 0")
    }

    fn doing(&self, what: &str, index: u32) -> String {
        format!("{what} instance {index} of {}", self.wanted.deployment.app.name)
    }
}

enum Fits {
    Yes,
    No,
}

/// What Podman does not take will not be taken the next time either; its words are those of its language.
fn refused(error: Error) -> Error {
    if error.code() != "engine-failed" {
        return error;
    }
    let words = error.chain();
    if words.contains("no secret with name or id") {
        let message = format!("{words}: the application has no secret of that key, and Podman has none of that name");
        return Error::new(ErrorKind::Permanent, "secret-missing", message).hint(
            "set the one that `secretKeyRef.key` names: `skipper secrets set APP KEY`; a preview has only those that are set \
             with --preview, or that `preview.secrets` names; or say `optional: true`",
        );
    }
    let told = typed(&words);
    Error::new(ErrorKind::Permanent, "manifest-invalid", told.unwrap_or(words))
        .hint("see the manifest of the pod: `podman kube play` has to take it")
}

/// Reads `cannot unmarshal string into Go struct field Container.spec.containers.command of type []string`.
fn typed(words: &str) -> Option<String> {
    let (_, rest) = words.split_once("cannot unmarshal ")?;
    let (found, rest) = rest.split_once(" into Go struct field ")?;
    let (place, wanted) = rest.split_once(" of type ")?;
    let (_, place) = place.split_once('.')?;
    Some(format!("the manifest of the pod is wrong at {place}: {found} where Podman wants {wanted}"))
}
