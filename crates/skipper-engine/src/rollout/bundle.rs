//! The evidence of a failure, collected before it is undone away.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::Value;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Exit, Observed},
    health::Attempt,
    name::AppName,
    port::{LogQuery, Platform},
    rollout::{AppEvidence, Cause, FailureBundle, Instances, StepState},
    secret::{Blackener, SecretValues},
};
use tokio::time::timeout;

use super::{Run, persist};
use crate::failure::Halt;

/// Log lines kept of one application: enough for a stack trace and what led to it.
const LINES: usize = 200;
/// Longest line kept, in characters.
const LINE: usize = 2000;
/// Probe attempts kept.
const ATTEMPTS: usize = 50;
/// Longest the collection may keep an application waiting; the undo comes after it.
const PATIENCE: Duration = Duration::from_secs(3);

const POISONED: &str = "no code panics while it holds this lock";

/// The last probe attempts of the step at hand.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    attempts: Mutex<VecDeque<Attempt>>,
}

impl Transcript {
    pub(crate) fn clear(&self) {
        self.attempts.lock().expect(POISONED).clear();
    }

    pub(crate) fn add(&self, attempt: Attempt) {
        let mut attempts = self.attempts.lock().expect(POISONED);
        if attempts.len() >= ATTEMPTS {
            attempts.pop_front();
        }
        attempts.push_back(attempt);
    }

    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(&*self.attempts.lock().expect(POISONED)).unwrap_or_default()
    }

    fn take(&self) -> Vec<Attempt> {
        self.attempts.lock().expect(POISONED).drain(..).collect()
    }
}

impl Run<'_> {
    /// Collects and stores the bundle. What cannot be had is missing from it; only the store can halt this.
    pub(super) async fn keep_bundle(&mut self, cause: &Cause, exits: Vec<(u32, Exit)>) -> Result<(), Halt> {
        let mut bundle = FailureBundle { at: self.now(), cause: cause.clone(), applications: Vec::new() };
        let broken = cause.step.and_then(|index| self.step(index));
        let mut probes = self.transcript.take();
        if probes.is_empty() {
            probes = cause.step.and_then(|index| self.logged_probes(index)).unwrap_or_default();
        }
        for (app, id) in self.launched() {
            let Some(deployment) = self.deployment(&id) else { continue };
            let mut evidence = self.evidence(&app, &deployment).await;
            if broken.as_ref().is_some_and(|step| step.app == app) {
                evidence.probes = std::mem::take(&mut probes);
                for (index, exit) in &exits {
                    if !evidence.exits.iter().any(|(known, _)| known == index) {
                        evidence.exits.push((*index, exit.clone()));
                    }
                }
            }
            bundle.applications.push(evidence);
        }
        let store = &self.shared.config.store;
        persist("keep the failure bundle", || store.bundle(self.lease, &bundle)).await
    }

    fn logged_probes(&self, index: u32) -> Option<Vec<Attempt>> {
        serde_json::from_value(self.records.get(&index)?.outcome.data.get("probes")?.clone()).ok()
    }

    /// The new deployments that were begun, and the one whose step broke.
    fn launched(&self) -> BTreeSet<(AppName, DeploymentId)> {
        let started = self.records.values().filter(|record| record.state != StepState::Undone);
        let steps = started.filter_map(|record| self.step(record.index));
        steps
            .filter_map(|step| Some((step.app.clone(), step.action.deployment()?.clone())))
            .filter(|(_, id)| {
                self.deployment(id).is_some_and(|deployment| Some(deployment.revision) == self.rollout.to)
            })
            .collect()
    }

    async fn evidence(&self, app: &AppName, deployment: &Deployment) -> AppEvidence {
        let mut evidence = AppEvidence { app: app.clone(), logs: Vec::new(), probes: Vec::new(), exits: Vec::new() };
        let Some(platform) = self.shared.config.platforms.get(deployment.target()) else { return evidence };
        // Without the values nothing could be blackened.
        let secrets = async {
            let store = &self.shared.config.store;
            if deployment.secrets.0.is_empty() {
                return Some(SecretValues::new());
            }
            store.secret_values(&deployment.tenant, &deployment.secrets).await.ok()
        };
        match timeout(PATIENCE, secrets).await.ok().flatten() {
            Some(secrets) => {
                let _ =
                    timeout(PATIENCE, last_lines(platform.as_ref(), deployment, &secrets, &mut evidence.logs)).await;
            }
            None => evidence.logs.push("[left out: the secrets to be blackened in it cannot be read]".to_owned()),
        }
        let instances = self.lives.get(&deployment.id).map(|live| live.instances.clone()).unwrap_or_default();
        let range = Instances::first(instances.iter().max().map_or(0, |highest| highest + 1));
        let asked = timeout(PATIENCE, platform.observe(deployment, range, PATIENCE)).await;
        for (index, observed) in range.range().zip(asked.ok().and_then(Result::ok).unwrap_or_default()) {
            if let Observed::Exited { exit, .. } = observed {
                evidence.exits.push((index, exit));
            }
        }
        evidence
    }
}

/// Pushes into `lines`, so that what came before a timeout is kept.
async fn last_lines(platform: &dyn Platform, deployment: &Deployment, secrets: &SecretValues, lines: &mut Vec<String>) {
    let query = LogQuery {
        deployment: deployment.id.clone(),
        instance: None,
        tail: Some(LINES),
        follow: false,
        container: None,
    };
    let Ok(mut chunks) = platform.logs(query).await else { return };
    let blackener = Blackener::new(secrets);
    while let Some(Ok(chunk)) = chunks.next().await {
        if lines.len() >= LINES {
            lines.remove(0);
        }
        let text: String = blackener.line(chunk.line).chars().take(LINE).collect();
        lines.push(if chunk.instance == 0 { text } else { format!("[{}] {text}", chunk.instance) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transcript_keeps_the_last_attempts_only() {
        let transcript = Transcript::default();
        for number in 0..80 {
            let at = skipper_core::time::Timestamp::from_micros(number);
            transcript.add(Attempt { at, instance: 0, ok: false, detail: String::new() });
        }
        let kept = transcript.take();
        assert_eq!((kept.len(), kept[0].at.as_micros()), (ATTEMPTS, 30));
    }
}
