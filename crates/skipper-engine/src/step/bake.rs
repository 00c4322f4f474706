use std::{sync::Arc, time::Duration};

use futures::future::try_join_all;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Live},
    health::{Attempt, Tracker, Verdict},
    port::{DeploymentStats, ErrorKind, Router},
    rollout::Instances,
    time::Timestamp,
};
use tokio::time::{Instant, sleep};

use super::{
    Effect,
    await_healthy::{Wait, ask, running},
};
use crate::{
    failure::{Failure, StepError},
    retry::Backoff,
    rollout::Run,
    service::of_app,
};

/// Fewer requests than this say nothing about a version.
const ENOUGH: u64 = 20;
/// Errors in itself that are tolerated whatever the rate: one user's bad luck is no verdict.
const FEW_ERRORS: u64 = 3;
/// How much higher the new one's error rate may be, as a share of all requests.
const WORSE_BY: f64 = 0.02;
/// How many times slower the new one's 99th percentile may be…
const SLOWER_TIMES: f64 = 2.0;
/// … where the difference is one that anybody would notice.
const SLOWER_BY_MS: f64 = 50.0;

/// Watches a deployment: an instance that dies or gets unhealthy fails the step, and so does a bad judgement.
pub(super) async fn run(
    run: &Run<'_>,
    index: u32,
    id: &DeploymentId,
    span: Duration,
    judge: bool,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let platform = run.platform(deployment.target())?;
    let started = run.records.get(&index).map_or_else(|| run.now(), |record| record.started_at);
    // After a crash only the rest of the span is left.
    let until = Instant::now() + span.saturating_sub(run.now().since(started));
    let heard = |attempt: Attempt| {
        run.shared.board.detail(run.rollout.id, format!("instance {}: {}", attempt.instance, attempt.detail));
        run.transcript.add(attempt);
    };
    let bound = run.shared.config.tuning.observe_bound;
    let wait = Wait::new(run.shared, platform.as_ref(), &deployment, bound, &heard);
    let instances = run.lives.get(id).map(|live| live.instances.clone()).unwrap_or_default();
    // It has been healthy, so no grace is left: failures count at once.
    let mut trackers: Vec<(u32, Tracker)> =
        instances.iter().map(|index| (*index, Tracker::new(Timestamp::default()))).collect();
    let mut judgement = if judge { Judgement::begin(run, &deployment).await } else { None };
    loop {
        let round = trackers.iter_mut().map(|(index, tracker)| watch(&wait, *index, tracker));
        try_join_all(round).await?;
        if let Some(judgement) = &mut judgement {
            judgement.pass().await?;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let pause = left.min(deployment.app.health.interval.duration().max(Duration::from_millis(10)));
        tokio::select! {
            () = sleep(pause) => {}
            () = platform.changed() => sleep(pause.min(Duration::from_millis(10))).await,
        }
    }
    Ok(Effect { message: judgement.map(|judgement| judgement.summary()), ..Effect::default() })
}

async fn watch(wait: &Wait<'_>, index: u32, tracker: &mut Tracker) -> Result<(), StepError> {
    let only = Instances { from: index, to: index.saturating_add(1) };
    let seen = match wait.platform.observe(wait.deployment, only, wait.bound).await {
        Ok(mut seen) => seen.pop(),
        // Not seen is not dead: the next look will tell.
        Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(seen) = seen.filter(|seen| !matches!(seen, skipper_core::deployment::Observed::Unknown { .. })) else {
        return Ok(());
    };
    let instance = running(wait.deployment, index, seen)?;
    let attempt = ask(wait, &instance).await;
    let verdict = tracker.record(&wait.deployment.app.health, &attempt);
    let detail = attempt.detail.clone();
    (wait.heard)(attempt);
    if verdict == Verdict::Unhealthy {
        let message =
            format!("instance {index} of {} got unhealthy after traffic had moved: {detail}", wait.deployment.id);
        return Err(Failure::new("unhealthy", message).hint("the failure bundle has its last output").into());
    }
    Ok(())
}

/// The edge's counters of the new one against those of the others.
struct Judgement {
    router: Arc<dyn Router>,
    new: DeploymentId,
    others: Vec<DeploymentId>,
    new_before: DeploymentStats,
    others_before: Vec<DeploymentStats>,
    seen: u64,
}

impl Judgement {
    /// Takes the counters as they are now; `None` when the edge does not tell.
    async fn begin(run: &Run<'_>, new: &Deployment) -> Option<Self> {
        let router = run.shared.config.routers.of(new.target());
        let serving = of_app(run.lives.values(), &new.app.name).filter(|live: &&Live| live.weight > 0);
        let others: Vec<DeploymentId> =
            serving.map(|live| live.deployment.id.clone()).filter(|id| *id != new.id).collect();
        let mut backoff = Backoff::step();
        for _ in 0..5 {
            let mut judgement = Self {
                router: Arc::clone(&router),
                new: new.id.clone(),
                others: others.clone(),
                new_before: DeploymentStats::default(),
                others_before: Vec::new(),
                seen: 0,
            };
            if let Some((new_before, others_before)) = judgement.counters().await {
                judgement.new_before = new_before;
                judgement.others_before = others_before;
                return Some(judgement);
            }
            backoff.wait().await;
        }
        None
    }

    async fn counters(&self) -> Option<(DeploymentStats, Vec<DeploymentStats>)> {
        let new = self.router.stats(&self.new).await.ok()?;
        let mut others = Vec::new();
        for id in &self.others {
            others.push(self.router.stats(id).await.ok()?);
        }
        Some((new, others))
    }

    /// Fails when the new one is clearly worse. Too few requests are no verdict, and neither is an edge that is away.
    async fn pass(&mut self) -> Result<(), StepError> {
        let Some((new, others)) = self.counters().await else { return Ok(()) };
        let tally = |before: &DeploymentStats, now: &DeploymentStats| {
            (now.requests.saturating_sub(before.requests), now.errors.saturating_sub(before.errors))
        };
        let (requests, errors) = tally(&self.new_before, &new);
        self.seen = requests;
        if requests < ENOUGH {
            return Ok(());
        }
        let (mut other_requests, mut other_errors, mut other_p99) = (0, 0, 0.0_f64);
        for (before, now) in self.others_before.iter().zip(&others) {
            let (requests, errors) = tally(before, now);
            other_requests += requests;
            other_errors += errors;
            other_p99 = other_p99.max(now.p99_ms);
        }
        let usual = if other_requests < ENOUGH { 0.0 } else { share(other_errors, other_requests) };
        if errors > FEW_ERRORS && share(errors, requests) > usual + WORSE_BY {
            let message = format!(
                "{} of {requests} requests to {} failed, against {:.1} % of those to the others",
                errors,
                self.new,
                usual * 100.0
            );
            return Err(Failure::new("judged-errors", message).into());
        }
        let comparable = other_requests >= ENOUGH && other_p99 > 0.0;
        if comparable && new.p99_ms > other_p99 * SLOWER_TIMES && new.p99_ms > other_p99 + SLOWER_BY_MS {
            let message = format!(
                "{} answers within {:.0} ms (99th percentile), the others within {other_p99:.0} ms",
                self.new, new.p99_ms
            );
            return Err(Failure::new("judged-latency", message).into());
        }
        Ok(())
    }

    fn summary(&self) -> String {
        if self.seen < ENOUGH {
            format!("{} requests were too few to judge by", self.seen)
        } else {
            format!("judged by {} requests", self.seen)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests within a bake are far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / (whole.max(1)) as f64
}
