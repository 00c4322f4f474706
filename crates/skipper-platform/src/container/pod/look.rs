//! What the engine says of one pod.

use std::collections::HashMap;

use hyper::Method;
use serde_json::Value;
use skipper_core::{
    deployment::{Deployment, Exit, Instance},
    port::Error,
    time::Timestamp,
};

use super::{
    super::{account::Account, fault, look as container, raw},
    manifest::{Manifest, part_name},
    stop::labels_of,
};

/// What is found under a pod's name.
pub(super) enum Looked {
    Absent,
    /// Not all of its containers are there: it is being made, or whoever made it did not get far.
    Half(Seen),
    /// Something in it has never been started since the pod was, and nothing of it runs now.
    Made(Seen),
    /// It is on its way, and why.
    Between(Seen, String),
    Running(Seen),
    /// One of its containers ended, and that is not how it should be.
    Ended(Seen, Exit),
}

/// What is told of a pod.
pub(super) struct Seen {
    pub id: String,
    pub name: String,
    pub labels: HashMap<String, String>,
    /// The container that holds its network; by the engine's id.
    pub infra: Option<(String, container::Looked)>,
    /// Containers in the manifest's order.
    pub parts: Vec<(String, container::Looked)>,
    main: String,
}

/// Looks, by name.
pub(super) async fn look(account: &Account, name: &str, manifest: &Manifest) -> Result<Looked, Error> {
    let told = match raw::libpod(account, Method::GET, &format!("/pods/{name}/json"), None).await {
        Ok(told) => told,
        Err(said) if fault::is_missing(&said) => return Ok(Looked::Absent),
        Err(said) => return Err(account.failed(format!("look at pod {name}"), said)),
    };
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let labels = labels_of(&told);
    let infra = Some(text("InfraContainerID")).filter(|id| !id.is_empty());
    let infra = async {
        let Some(id) = infra else { return Ok(None) };
        let looked = container::look(account, &id).await?;
        Ok::<_, Error>(Some((id, looked)))
    };
    let each = manifest.parts.iter().map(|part| async {
        let looked = container::look(account, &part_name(name, &part.name)).await?;
        Ok::<_, Error>((part.name.clone(), looked))
    });
    let (infra, parts) = futures::future::try_join(infra, futures::future::try_join_all(each)).await?;
    let seen = Seen { id: text("Id"), name: name.to_owned(), labels, infra, parts, main: manifest.main.clone() };
    Ok(seen.understood(manifest))
}

impl Seen {
    fn understood(self, manifest: &Manifest) -> Looked {
        use container::Looked as One;
        if self.parts.iter().any(|(_, looked)| matches!(looked, One::Absent)) || self.infra.is_none() {
            return Looked::Half(self);
        }
        let mut between = None;
        let mut exit: Option<Exit> = None;
        let mut is_made = false;
        let mut runs = false;
        for part in &manifest.parts {
            match (part.init, self.part(&part.name)) {
                (true, Some(One::Running(_))) => between = Some(format!("`{}` runs first", part.name)),
                (true, _) => {}
                (false, Some(One::Running(_))) => runs = true,
                (false, Some(One::Between(_, why))) => between = Some(format!("`{}`: {why}", part.name)),
                (false, Some(One::Ended(_, how))) if !manifest.may_end || how.code != Some(0) => {
                    // The first one that ended took the others with it.
                    if exit.as_ref().is_none_or(|known| how.at < known.at) {
                        exit = Some(how.clone());
                    }
                }
                (false, Some(One::Ended(..))) => {}
                (false, _) => is_made = true,
            }
        }
        // Its work is done, and so is the pod.
        if !runs && !is_made && exit.is_none() {
            exit = manifest.staying().filter_map(|part| self.exit(&part.name)).max_by_key(|exit| exit.at).cloned();
        }
        // Without it nothing is reached any more.
        if let (true, Some((_, One::Ended(_, how)))) = (runs, &self.infra) {
            exit.get_or_insert_with(|| how.clone());
        }
        match (between, exit) {
            (Some(why), _) => Looked::Between(self, why),
            // What runs in it was started, so it is not only made.
            (None, Some(exit)) if !is_made || runs => Looked::Ended(self, exit),
            (None, _) if is_made => Looked::Made(self),
            (None, _) => Looked::Running(self),
        }
    }

    /// A container by its name in the manifest.
    pub(super) fn part(&self, name: &str) -> Option<&container::Looked> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, looked)| looked)
    }

    fn exit(&self, name: &str) -> Option<&Exit> {
        match self.part(name) {
            Some(container::Looked::Ended(_, exit)) => Some(exit),
            _ => None,
        }
    }

    /// When the pod itself was started last; `None` while it does not run.
    pub(super) fn begun(&self) -> Option<Timestamp> {
        match &self.infra {
            Some((_, container::Looked::Running(seen))) => Some(seen.started_at),
            _ => None,
        }
    }

    /// Whether every declared port can be reached.
    pub(super) fn is_published(&self, account: &Account, deployment: &Deployment) -> bool {
        self.seen(&self.main).is_some_and(|seen| seen.is_published(account, deployment))
    }

    fn seen(&self, name: &str) -> Option<&container::Seen> {
        of(self.part(name)?)
    }

    /// As the port's instance. `restarts`: how often it was launched again by us.
    pub(super) fn instance(&self, account: &Account, deployment: &Deployment, index: u32, restarts: u32) -> Instance {
        let starts = self.parts.iter().filter_map(|(_, looked)| of(looked)).map(|seen| seen.started_at);
        let started_at = starts.max().unwrap_or_default();
        let by_engine = self.parts.iter().filter_map(|(_, looked)| of(looked)).map(|seen| seen.engine_restarts).sum();
        // All of them have the ports of the pod.
        let mut instance = match self.seen(&self.main) {
            Some(seen) => seen.instance(account, deployment, index, 0),
            None => Instance {
                index,
                addresses: std::collections::BTreeMap::new(),
                handle: String::new(),
                started_at,
                restarts: 0,
                attributes: std::collections::BTreeMap::new(),
            },
        };
        instance.started_at = started_at;
        instance.restarts = restarts.saturating_add(by_engine);
        instance.handle = self.id.chars().take(12).collect();
        instance.attributes.insert("pod.id".to_owned(), self.id.clone());
        instance.attributes.insert("pod.name".to_owned(), self.name.clone());
        instance
    }
}

/// What is told of a container that is there.
pub(super) const fn of(looked: &container::Looked) -> Option<&container::Seen> {
    match looked {
        container::Looked::Absent => None,
        container::Looked::Made(seen)
        | container::Looked::Running(seen)
        | container::Looked::Between(seen, _)
        | container::Looked::Ended(seen, _) => Some(seen),
    }
}
