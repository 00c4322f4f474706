use std::time::Duration;

use skipper_core::{
    deployment::DeploymentId,
    port::{ErrorKind, HookJob, HookState},
    rollout::HookPoint,
    secret::Blackener,
    spec::Hook,
};
use tokio::time::sleep;

use super::Effect;
use crate::{
    failure::{Failure, StepError},
    retry::{Backoff, Pace},
    rollout::Run,
};

/// Longest pause between two looks at a hook that runs.
const PAUSE: Duration = Duration::from_secs(1);
/// The end of a hook's output that is kept with its step, in characters.
const TAIL: usize = 2000;

/// Runs a job once. It is never started a second time: after a crash it is looked for by its id, and when what became of
/// it cannot be told, the step fails.
pub(super) async fn run(
    run: &Run<'_>,
    index: u32,
    deployment: &DeploymentId,
    point: HookPoint,
    hook: &Hook,
    resumed: bool,
) -> Result<Effect, StepError> {
    let deployment = run.known(deployment)?;
    let platform = run.platform(deployment.target())?;
    let secrets = run.secrets(&deployment).await?;
    let id = format!("{}-{index}", run.rollout.id);
    let job = || HookJob { id: &id, deployment: &deployment, hook, secrets: &secrets };
    let bound = run.shared.config.tuning.observe_bound;
    let mut state = if resumed { run.persevere(|| platform.hook_state(&id, bound)).await? } else { HookState::Absent };
    // What a job prints goes into events and to whoever is told of a failure, and programs print what they could not connect to.
    let blackener = Blackener::new(&secrets);
    let mut backoff = Backoff::step();
    let pace = Pace::new(PAUSE);
    loop {
        state = match state {
            HookState::Ended { code, output } => {
                let said = end_of(&blackener.line(output));
                return match code {
                    Some(0) => Ok(Effect { message: Some(said).filter(|said| !said.is_empty()), ..Effect::default() }),
                    code => Err(failed(point, hook, code, &said).into()),
                };
            }
            HookState::Unknown => return Err(unknown(point, hook).into()),
            HookState::Running => {
                sleep(pace.pause()).await;
                run.persevere(|| platform.hook_state(&id, bound)).await?
            }
            HookState::Absent => match platform.run_hook(job(), bound).await {
                // It was told to start and is still not there: it would be started over and over.
                Ok(HookState::Absent) => return Err(unknown(point, hook).into()),
                Ok(state) => state,
                // Nothing was started: the id keeps it from running twice.
                Err(error) if error.kind() == ErrorKind::Transient => {
                    run.shared.board.detail(run.rollout.id, error.chain());
                    backoff.wait().await;
                    HookState::Absent
                }
                Err(error) if error.kind() == ErrorKind::Unknown => {
                    run.shared.board.detail(run.rollout.id, error.chain());
                    backoff.wait().await;
                    run.persevere(|| platform.hook_state(&id, bound)).await?
                }
                Err(error) => return Err(error.into()),
            },
        };
    }
}

/// The last of what it printed.
fn end_of(output: &str) -> String {
    let output = output.trim();
    let skip = output.chars().count().saturating_sub(TAIL);
    output.chars().skip(skip).collect()
}

fn failed(point: HookPoint, hook: &Hook, code: Option<i32>, said: &str) -> Failure {
    let how = code.map_or_else(|| "was killed".to_owned(), |code| format!("exited with status {code}"));
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Failure::new("hook-failed", format!("the {} hook `{hook}` {how}{said}", point.key()))
}

fn unknown(point: HookPoint, hook: &Hook) -> Failure {
    let what = format!("what became of the {} hook `{hook}` is not known", point.key());
    Failure::new("hook-unknown", what)
        .hint("it is never run twice; see whether it has done its work, then start the rollout again")
}
