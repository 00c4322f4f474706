//! What supervision remembers: who died how often, who is looked after, which routers were not told. In memory only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use skipper_core::{
    deployment::{Deployment, DeploymentId, Exit},
    health::Attempt,
    id::ReleaseId,
    name::AppName,
    port::Clock,
    route::ServiceId,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::RestartSettings,
    engine::Shared,
    retry::Backoff,
    service::Surface,
    status::{InstanceHealth, InstanceState, ReleaseHealth},
};

const POISONED: &str = "no code panics while it holds this lock";

/// First and longest pause before a release that could not be put right is tried again.
const SETBACK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// An instance that died, and how it has fared since.
#[derive(Debug)]
struct Patient {
    release: ReleaseId,
    app: AppName,
    restarts: VecDeque<Instant>,
    last_exit: Option<Exit>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    BackingOff { until: Instant },
    Starting,
    Recovered { since: Instant },
}

/// What was new about an instance that was asked for its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// It is not healthy any more, and why.
    Lost(String),
    /// It is again.
    Found,
}

/// An instance that did not answer its health question as it should.
#[derive(Debug)]
struct Weak {
    release: ReleaseId,
    app: AppName,
    failures: u32,
    /// Set once it counts.
    detail: Option<String>,
}

#[derive(Debug, Default)]
struct Chart {
    patients: BTreeMap<(DeploymentId, u32), Patient>,
    weak: BTreeMap<(DeploymentId, u32), Weak>,
    visited: HashSet<ReleaseId>,
    setbacks: HashMap<ReleaseId, (u32, Instant)>,
    drift: HashMap<ReleaseId, BTreeSet<String>>,
    degraded: HashSet<ReleaseId>,
    dirty: HashSet<ServiceId>,
    surfaces: HashMap<ReleaseId, BTreeMap<AppName, Surface>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ward {
    settings: RestartSettings,
    chart: Mutex<Chart>,
    rescheduled: watch::Sender<u64>,
}

/// The right to look after a release; given back when dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) shared: Arc<Shared>,
    pub(crate) release: ReleaseId,
}

impl Visit {
    /// `None` while somebody else looks after it, or after a setback that is too fresh.
    pub(crate) fn begin(shared: &Arc<Shared>, release: ReleaseId) -> Option<Self> {
        let mut chart = shared.ward.chart.lock().expect(POISONED);
        let fresh = chart.setbacks.get(&release).is_some_and(|(_, until)| *until > Instant::now());
        let begins = !fresh && chart.visited.insert(release);
        drop(chart);
        begins.then(|| Self { shared: Arc::clone(shared), release })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let ward = &self.shared.ward;
        ward.chart.lock().expect(POISONED).visited.remove(&self.release);
        let health = ward.health(self.release, self.shared.config.clock.as_ref());
        self.shared.board.set_health(self.release, &health);
        ward.reschedule();
    }
}

impl Ward {
    pub(crate) fn new(settings: RestartSettings) -> Self {
        Self { settings, chart: Mutex::default(), rescheduled: watch::Sender::new(0) }
    }

    pub(crate) fn rescheduled(&self) -> watch::Receiver<u64> {
        self.rescheduled.subscribe()
    }

    fn reschedule(&self) {
        self.rescheduled.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// An instance was found dead. `true` when that is news.
    pub(crate) fn died(&self, deployment: &Deployment, index: u32, exit: Option<Exit>, now: Instant) -> bool {
        let mut chart = self.chart.lock().expect(POISONED);
        let key = (deployment.id.clone(), index);
        let patient = chart.patients.entry(key).or_insert_with(|| Patient {
            release: deployment.release,
            app: deployment.app.name.clone(),
            restarts: VecDeque::new(),
            last_exit: None,
            state: State::Starting,
        });
        if matches!(patient.state, State::BackingOff { .. }) {
            return false;
        }
        patient.last_exit = exit;
        patient.forget_old(now, self.settings.window);
        let tries = u32::try_from(patient.restarts.len()).unwrap_or(u32::MAX);
        let pause = Backoff::pause(self.settings.first, self.settings.max, tries);
        patient.state = State::BackingOff { until: now + pause };
        true
    }

    /// Whether a dead instance's pause is over.
    pub(crate) fn may_restart(&self, id: &DeploymentId, index: u32, now: Instant) -> bool {
        let chart = self.chart.lock().expect(POISONED);
        match chart.patients.get(&(id.clone(), index)).map(|patient| patient.state) {
            Some(State::BackingOff { until }) => until <= now,
            _ => true,
        }
    }

    /// It is being started again. Says how often that was within the window.
    pub(crate) fn restarting(&self, id: &DeploymentId, index: u32, now: Instant) -> usize {
        let mut chart = self.chart.lock().expect(POISONED);
        let Some(patient) = chart.patients.get_mut(&(id.clone(), index)) else { return 0 };
        patient.restarts.push_back(now);
        patient.state = State::Starting;
        patient.restarts.len()
    }

    /// It runs and is healthy. Forgotten once that has lasted.
    pub(crate) fn well(&self, id: &DeploymentId, index: u32, now: Instant) {
        let mut chart = self.chart.lock().expect(POISONED);
        let key = (id.clone(), index);
        let Some(patient) = chart.patients.get_mut(&key) else { return };
        match patient.state {
            State::Recovered { since } if now.duration_since(since) >= self.settings.window => {
                chart.patients.remove(&key);
            }
            State::Recovered { .. } => {}
            State::BackingOff { .. } | State::Starting => patient.state = State::Recovered { since: now },
        }
    }

    /// It was asked for its health. `retries` failures in a row count.
    pub(crate) fn felt(&self, deployment: &Deployment, index: u32, attempt: Attempt, retries: u32) -> Option<Pulse> {
        let mut chart = self.chart.lock().expect(POISONED);
        let key = (deployment.id.clone(), index);
        if attempt.ok {
            return chart.weak.remove(&key).and_then(|weak| weak.detail).map(|_| Pulse::Found);
        }
        let weak = chart.weak.entry(key).or_insert_with(|| Weak {
            release: deployment.release,
            app: deployment.app.name.clone(),
            failures: 0,
            detail: None,
        });
        weak.failures = weak.failures.saturating_add(1);
        if weak.failures < retries.max(1) {
            return None;
        }
        weak.detail.replace(attempt.detail.clone()).is_none().then_some(Pulse::Lost(attempt.detail))
    }

    /// Forgets what belongs to deployments that are not there any more.
    pub(crate) fn keep_only(&self, known: &HashMap<DeploymentId, super::sweep::Known>) {
        let mut chart = self.chart.lock().expect(POISONED);
        chart.patients.retain(|(id, _), _| known.contains_key(id));
        chart.weak.retain(|(id, _), _| known.contains_key(id));
        let releases: HashSet<ReleaseId> = known.values().map(|known| known.release).collect();
        chart.drift.retain(|release, _| releases.contains(release));
        chart.setbacks.retain(|release, _| releases.contains(release));
        chart.degraded.retain(|release| releases.contains(release));
    }

    /// Something could not be put right: tried again after a pause.
    pub(crate) fn setback(&self, release: ReleaseId) {
        let mut chart = self.chart.lock().expect(POISONED);
        let (tries, until) = chart.setbacks.entry(release).or_insert((0, Instant::now()));
        *until = Instant::now() + Backoff::pause(SETBACK.0, SETBACK.1, *tries);
        *tries = tries.saturating_add(1);
    }

    pub(crate) fn no_setback(&self, release: ReleaseId) {
        self.chart.lock().expect(POISONED).setbacks.remove(&release);
    }

    /// Notes what differs; `true` when that is news.
    pub(crate) fn drift(&self, release: ReleaseId, what: &str) -> bool {
        let mut chart = self.chart.lock().expect(POISONED);
        chart.drift.entry(release).or_default().insert(what.to_owned())
    }

    pub(crate) fn no_drift(&self, release: ReleaseId) {
        self.chart.lock().expect(POISONED).drift.remove(&release);
    }

    /// Whether the release has just become degraded.
    pub(crate) fn newly_degraded(&self, release: ReleaseId, now: Instant) -> Option<String> {
        let mut chart = self.chart.lock().expect(POISONED);
        match chart.worst(release, self.settings, now) {
            Some(sentence) => chart.degraded.insert(release).then_some(sentence),
            None => {
                chart.degraded.remove(&release);
                None
            }
        }
    }

    /// Releases with a restart whose time has come, and nobody with them.
    pub(crate) fn due(&self, now: Instant) -> BTreeSet<ReleaseId> {
        let chart = self.chart.lock().expect(POISONED);
        chart.waiting().filter(|(_, until)| *until <= now).map(|(release, _)| release).collect()
    }

    /// When the next restart or second attempt is due.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let chart = self.chart.lock().expect(POISONED);
        chart.waiting().map(|(_, until)| until).filter(|until| *until > now).min()
    }

    /// The router does not know yet what the store says of this application.
    pub(crate) fn mark_dirty(&self, release: ReleaseId, app: &AppName) {
        self.chart.lock().expect(POISONED).dirty.insert(ServiceId { release, app: app.clone() });
    }

    pub(crate) fn dirty(&self) -> Vec<ServiceId> {
        self.chart.lock().expect(POISONED).dirty.iter().cloned().collect()
    }

    pub(crate) fn is_dirty(&self, id: &ServiceId) -> bool {
        self.chart.lock().expect(POISONED).dirty.contains(id)
    }

    pub(crate) fn clean(&self, id: &ServiceId) {
        self.chart.lock().expect(POISONED).dirty.remove(id);
    }

    /// How a release's applications are reached while its rollout is open.
    pub(crate) fn rollout_surfaces(&self, release: ReleaseId, surfaces: &BTreeMap<AppName, Surface>) {
        self.chart.lock().expect(POISONED).surfaces.insert(release, surfaces.clone());
    }

    /// Before an engine begins: what rollouts left here when it lost its turn may have ended elsewhere since.
    pub(crate) fn begin(&self) {
        let mut chart = self.chart.lock().expect(POISONED);
        chart.surfaces.clear();
        chart.setbacks.clear();
    }

    pub(crate) fn rollout_ended(&self, release: ReleaseId) {
        let mut chart = self.chart.lock().expect(POISONED);
        chart.surfaces.remove(&release);
        // What a rollout has left is looked at with fresh eyes.
        chart.setbacks.remove(&release);
    }

    pub(crate) fn surface(&self, id: &ServiceId) -> Option<Surface> {
        self.chart.lock().expect(POISONED).surfaces.get(&id.release)?.get(&id.app).cloned()
    }

    pub(crate) fn health(&self, release: ReleaseId, clock: &dyn Clock) -> ReleaseHealth {
        let mut chart = self.chart.lock().expect(POISONED);
        let (now, wall) = (Instant::now(), clock.now());
        let degraded = chart.worst(release, self.settings, now).or_else(|| chart.weakest(release));
        let instances = chart
            .patients
            .iter()
            .filter(|(_, patient)| patient.release == release)
            .map(|((deployment, index), patient)| InstanceHealth {
                app: patient.app.clone(),
                deployment: deployment.clone(),
                index: *index,
                state: match patient.state {
                    State::BackingOff { until } => {
                        InstanceState::BackingOff { until: wall + until.saturating_duration_since(now) }
                    }
                    State::Starting => InstanceState::Starting,
                    State::Recovered { .. } => InstanceState::Recovered,
                },
                restarts: u32::try_from(patient.restarts.len()).unwrap_or(u32::MAX),
                last_exit: patient.last_exit.clone(),
            })
            .collect();
        let drift = chart.drift.get(&release).into_iter().flatten().cloned().collect();
        ReleaseHealth { instances, degraded, drift }
    }
}

impl Chart {
    /// Every pause that somebody waits for, of releases that nobody looks after right now.
    fn waiting(&self) -> impl Iterator<Item = (ReleaseId, Instant)> {
        let setback = |release: &ReleaseId| self.setbacks.get(release).map(|(_, until)| *until);
        let restarts = self.patients.values().filter_map(move |patient| match patient.state {
            // A release that had a setback is tried as a whole when that is over.
            State::BackingOff { until } => {
                Some((patient.release, setback(&patient.release).map_or(until, |later| later.max(until))))
            }
            State::Starting | State::Recovered { .. } => None,
        });
        let setbacks = self.setbacks.iter().map(|(release, (_, until))| (*release, *until));
        restarts.chain(setbacks).filter(|(release, _)| !self.visited.contains(release))
    }

    /// The sentence that makes a release degraded.
    fn worst(&mut self, release: ReleaseId, settings: RestartSettings, now: Instant) -> Option<String> {
        let mut worst: Option<(usize, String)> = None;
        for ((_, index), patient) in &mut self.patients {
            if patient.release != release {
                continue;
            }
            patient.forget_old(now, settings.window);
            let restarts = patient.restarts.len();
            let much = restarts >= usize::try_from(settings.degraded_after).unwrap_or(usize::MAX);
            if much && worst.as_ref().is_none_or(|(most, _)| restarts > *most) {
                let last = patient.last_exit.as_ref().map(|exit| format!("; it last {exit}")).unwrap_or_default();
                let minutes = settings.window.as_secs() / 60;
                let app = &patient.app;
                let sentence = format!(
                    "instance {index} of `{app}` was restarted {restarts} times within {minutes} minutes{last}"
                );
                worst = Some((restarts, sentence));
            }
        }
        worst.map(|(_, sentence)| sentence)
    }
}

impl Chart {
    fn weakest(&self, release: ReleaseId) -> Option<String> {
        let of_release = self.weak.iter().filter(|(_, weak)| weak.release == release);
        of_release
            .filter_map(|((_, index), weak)| weak.detail.as_ref().map(|detail| (index, weak, detail)))
            .max_by_key(|(_, weak, _)| weak.failures)
            .map(|(index, weak, detail)| {
                format!("instance {index} of `{}` runs and is not healthy: {detail}", weak.app)
            })
    }
}

impl Patient {
    fn forget_old(&mut self, now: Instant, window: Duration) {
        while self.restarts.front().is_some_and(|at| now.duration_since(*at) > window) {
            self.restarts.pop_front();
        }
    }
}
