use std::time::Duration;

use futures::future::try_join_all;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Exit, Instance, Observed},
    health::{Attempt, Tracker, Verdict},
    port::{Clock, ErrorKind, Platform},
    rollout::{Instances, Step},
    spec::Check,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Censor, Effect, count};
use crate::{
    engine::Shared,
    failure::{Failure, StepError},
    retry::{Backoff, Pace},
    rollout::Run,
};

/// Slack over a probe's own timeout before the platform counts as not answering.
const PROBE_SLACK: Duration = Duration::from_secs(1);
/// Longest pause between two attempts at what was healthy already.
const AGAIN: Duration = Duration::from_millis(200);
/// Shortest pause between two commands: each is a process.
const COMMAND_PAUSE: Duration = Duration::from_millis(100);

/// Waits until the instances are healthy, and then lets the router know where they are, where they serve already.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    id: &DeploymentId,
    instances: Instances,
    bound: Duration,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let platform = run.platform(deployment.target())?;
    let heard = |attempt: Attempt| {
        run.shared.board.detail(run.rollout.id, format!("instance {}: {}", attempt.instance, attempt.detail));
        run.transcript.add(attempt);
    };
    let wait = Wait::new(run.shared, platform.as_ref(), &deployment, bound, &heard);
    let found = healthy(&wait, instances).await?;
    let mut effect = Effect::message(format!("{} healthy", count(instances)));
    let Some(mut live) = run.live(id) else { return Ok(effect) };
    for instance in found {
        live.addresses.insert(instance.index, instance.addresses);
    }
    let surface = run.surfaces.get(&step.app).cloned().unwrap_or_default();
    let changed = vec![live];
    if changed[0].weight > 0 && !surface.routes.is_empty() {
        let lives = run.with_changes(&step.app, &changed);
        effect.published = Some(run.publish(&step.app, &surface, &lives).await?);
    }
    effect.live = changed;
    Ok(effect)
}

/// Whose health is waited for, and who is told of the attempts.
pub(crate) struct Wait<'a> {
    pub(super) platform: &'a dyn Platform,
    clock: &'a dyn Clock,
    pub(super) deployment: &'a Deployment,
    /// Between what a check says and everybody who hears of it.
    censor: Censor<'a>,
    pub(super) bound: Duration,
    pub(super) heard: &'a (dyn Fn(Attempt) + Sync),
}

impl<'a> Wait<'a> {
    /// `bound`: what one question to the platform may take; the wait itself is bounded by the caller.
    pub(crate) fn new(
        shared: &'a Shared,
        platform: &'a dyn Platform,
        deployment: &'a Deployment,
        bound: Duration,
        heard: &'a (dyn Fn(Attempt) + Sync),
    ) -> Self {
        let (clock, censor) = (shared.config.clock.as_ref(), Censor::new(&*shared.config.store, deployment));
        Self { platform, clock, deployment, censor, bound, heard }
    }
}

/// Waits until all are healthy at once; ends with the first that exits or proves unhealthy.
pub(crate) async fn healthy(wait: &Wait<'_>, instances: Instances) -> Result<Vec<Instance>, StepError> {
    let seen = look(wait, instances).await?;
    let each = instances.range().zip(seen).map(|(index, seen)| one(wait, index, seen));
    let found = try_join_all(each).await?;
    if found.len() < 2 {
        return Ok(found);
    }
    // While the last one was waited for, the first one may have ended.
    let seen = look(wait, instances).await?;
    instances.range().zip(seen).map(|(index, seen)| running(wait.deployment, index, seen)).collect()
}

async fn look(wait: &Wait<'_>, instances: Instances) -> Result<Vec<Observed>, StepError> {
    let mut backoff = Backoff::step();
    loop {
        let seen = match wait.platform.observe(wait.deployment, instances, wait.bound).await {
            Ok(seen) => seen,
            Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => {
                backoff.wait().await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !seen.iter().any(|seen| matches!(seen, Observed::Unknown { .. })) {
            return Ok(seen);
        }
        backoff.wait().await;
    }
}

async fn one(wait: &Wait<'_>, index: u32, seen: Observed) -> Result<Instance, StepError> {
    let health = &wait.deployment.app.health;
    let mut instance = running(wait.deployment, index, seen)?;
    let mut tracker = Tracker::new(instance.started_at);
    let mut pace = Pace::new(health.interval.duration());
    if matches!(health.check, Check::Command { .. }) {
        pace = pace.at_least(COMMAND_PAUSE);
    }
    let interval = health.interval.duration();
    let mut counted: Option<Instant> = None;
    loop {
        let attempt = ask(wait, &instance).await;
        // That a process is there says little just after its start: it has to be there still when an interval has passed.
        let age = attempt.at.since(instance.started_at);
        let unripe = if health.check == Check::Running { interval.saturating_sub(age) } else { Duration::ZERO };
        // It is asked more often than was agreed, to notice at once; but only the agreed attempts can condemn it.
        let counts = attempt.ok || counted.is_none_or(|last| last.elapsed() >= interval);
        let verdict = if counts { tracker.record(health, &attempt) } else { Verdict::Pending };
        counted = if attempt.ok {
            None
        } else if counts {
            Some(Instant::now())
        } else {
            counted
        };
        let (ok, detail) = (attempt.ok, attempt.detail.clone());
        (wait.heard)(attempt);
        match verdict {
            Verdict::Healthy if unripe.is_zero() => return Ok(instance),
            Verdict::Unhealthy => {
                let id = &wait.deployment.id;
                let message = format!("instance {index} of {id} is unhealthy: {detail}");
                return Err(Failure::new("unhealthy", message)
                    .hint("the failure bundle has its last output and the probe attempts")
                    .into());
            }
            Verdict::Healthy | Verdict::Pending => {}
        }
        if ok {
            // Consecutive successes are meant to be apart.
            sleep(if unripe.is_zero() { interval } else { unripe }).await;
            continue;
        }
        let pause = pace.pause();
        tokio::select! {
            () = sleep(pause) => {}
            // Also where it resolves without reason, attempts keep a pause.
            () = wait.platform.changed() => sleep(pause.min(Duration::from_millis(5))).await,
        }
        let only = Instances { from: index, to: index.saturating_add(1) };
        let seen = look(wait, only).await?.pop().unwrap_or(Observed::Absent);
        instance = running(wait.deployment, index, seen)?;
    }
}

/// Looks once more at what was healthy a while ago: a few attempts, quickly.
pub(super) async fn still_healthy(wait: &Wait<'_>, instances: &[u32]) -> Result<(), StepError> {
    let each = instances.iter().map(|index| async move {
        let health = &wait.deployment.app.health;
        let mut left = health.retries.max(1);
        loop {
            let only = Instances { from: *index, to: index.saturating_add(1) };
            let seen = look(wait, only).await?.pop().unwrap_or(Observed::Absent);
            let instance = running(wait.deployment, *index, seen)?;
            let attempt = ask(wait, &instance).await;
            let (ok, detail) = (attempt.ok, attempt.detail.clone());
            (wait.heard)(attempt);
            left -= 1;
            if ok {
                return Ok(());
            }
            if left == 0 {
                let message = format!("instance {index} of {} is not healthy any more: {detail}", wait.deployment.id);
                return Err(Failure::new("unhealthy", message).hint("the failure bundle has its last output").into());
            }
            sleep(health.interval.duration().min(AGAIN)).await;
        }
    });
    try_join_all(each).await.map(drop)
}

/// One attempt; a platform that does not answer is a failed one.
pub(super) async fn ask(wait: &Wait<'_>, instance: &Instance) -> Attempt {
    let patience = wait.deployment.app.health.timeout.duration() + PROBE_SLACK;
    match timeout(patience, wait.platform.probe(wait.deployment, instance)).await {
        Ok(attempt) => wait.censor.passed(attempt).await,
        Err(_) => Attempt {
            at: wait.clock.now(),
            instance: instance.index,
            ok: false,
            detail: format!("the platform did not answer the probe within {patience:?}"),
        },
    }
}

/// The instance, unless it has ended.
pub(super) fn running(deployment: &Deployment, index: u32, seen: Observed) -> Result<Instance, StepError> {
    let id = &deployment.id;
    match seen {
        Observed::Running(instance) => Ok(instance),
        Observed::Exited { exit, .. } => Err(Failure::new(
            "exited",
            format!("instance {index} of {id} {}", told(deployment, &exit)),
        )
        .hint(if exit.code == Some(0) {
            "it ended as if its work were done: a server has to stay in the foreground and not put itself into the \
                 background; the failure bundle has its last output"
        } else {
            "the failure bundle has its last output"
        })
        .exit(index, exit)
        .into()),
        Observed::Absent => Err(Failure::new("exited", format!("instance {index} of {id} is not there any more"))
            .hint("see whether the machine was restarted or somebody removed it")
            .into()),
        Observed::Unknown { reason } => {
            Err(Failure::new("unknown", format!("what became of instance {index} of {id} is not known: {reason}"))
                .into())
        }
    }
}

/// How it ended. Not every engine says when it was for want of memory: then the limit is told beside the signal.
fn told(deployment: &Deployment, exit: &Exit) -> String {
    const KILL: i32 = 9;
    match deployment.app.limits.memory_bytes {
        Some(bytes) if exit.signal == Some(KILL) && !exit.out_of_memory => {
            format!("{exit}; its memory is limited to {} MiB", bytes >> 20)
        }
        _ => exit.to_string(),
    }
}
