//! What the engine knows right now and does not store: what each open rollout waits for, and how the instances fare that
//! supervision had to look after. Gone with the process; supervision finds it out again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use skipper_core::{
    deployment::{DeploymentId, Exit},
    id::{ReleaseId, RolloutId},
    name::AppName,
    time::Timestamp,
};
use tokio::sync::watch;

/// What an open rollout is doing or waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Which rollout.
    pub rollout: RolloutId,
    /// The step's index; `None` while it resolves.
    pub step: Option<u32>,
    /// Whether the step is being taken back.
    pub undoing: bool,
    /// The application, where it is about one.
    pub app: Option<AppName>,
    /// What is being done, as a phrase: `await healthy web-r2-1a2b3c4d [0]`.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// When it counts as failed.
    pub deadline: Timestamp,
    /// The last that was heard: a probe's answer, a transient error.
    pub detail: Option<String>,
}

/// How the instances of a release fare that supervision had to look after. A release without an entry is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseHealth {
    /// The instances that are not simply running.
    pub instances: Vec<InstanceHealth>,
    /// Why the release counts as degraded.
    pub degraded: Option<String>,
    /// Where what runs differs from what is stored, as sentences.
    pub drift: Vec<String>,
}

/// One instance that is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceHealth {
    /// Of which application.
    pub app: AppName,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Which one.
    pub index: u32,
    /// What is the matter.
    pub state: InstanceState,
    /// Restarts within the last ten minutes.
    pub restarts: u32,
    /// How it last ended, where that is known.
    pub last_exit: Option<Exit>,
}

/// What is the matter with an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// It ended, and is started again at that time.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// It was started again and is not healthy yet.
    Starting,
    /// It runs again since a short time, and is still remembered as one that died.
    Recovered,
}

/// The board on which tasks write and from which the handle reads. Every change ticks [`Board::changes`].
#[derive(Debug)]
pub(crate) struct Board {
    activities: Mutex<HashMap<RolloutId, Activity>>,
    health: Mutex<BTreeMap<ReleaseId, ReleaseHealth>>,
    changes: watch::Sender<u64>,
}

const POISONED: &str = "no code panics while it holds this lock";

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            activities: Mutex::new(HashMap::new()),
            health: Mutex::new(BTreeMap::new()),
            changes: watch::Sender::new(0),
        }
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn tick(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn begin(&self, activity: Activity) {
        self.activities.lock().expect(POISONED).insert(activity.rollout, activity);
        self.tick();
    }

    /// Notes what was last heard. Does not tick: probes are many.
    pub(crate) fn detail(&self, rollout: RolloutId, detail: impl Into<String>) {
        if let Some(activity) = self.activities.lock().expect(POISONED).get_mut(&rollout) {
            activity.detail = Some(detail.into());
        }
    }

    pub(crate) fn end(&self, rollout: RolloutId) {
        self.activities.lock().expect(POISONED).remove(&rollout);
        self.tick();
    }

    pub(crate) fn activity(&self, rollout: RolloutId) -> Option<Activity> {
        self.activities.lock().expect(POISONED).get(&rollout).cloned()
    }

    pub(crate) fn health(&self, release: ReleaseId) -> Option<ReleaseHealth> {
        self.health.lock().expect(POISONED).get(&release).cloned()
    }

    /// Replaces what is known of a release; the default entry is none.
    pub(crate) fn set_health(&self, release: ReleaseId, health: &ReleaseHealth) {
        let mut all = self.health.lock().expect(POISONED);
        let changed = if *health == ReleaseHealth::default() {
            all.remove(&release).is_some()
        } else {
            all.insert(release, health.clone()).as_ref() != Some(health)
        };
        drop(all);
        if changed {
            self.tick();
        }
    }

    pub(crate) fn troubled(&self) -> Vec<(ReleaseId, ReleaseHealth)> {
        self.health.lock().expect(POISONED).iter().map(|(id, health)| (*id, health.clone())).collect()
    }
}
