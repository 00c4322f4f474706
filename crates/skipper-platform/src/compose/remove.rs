use std::sync::Arc;

use skipper_core::{fleet::Outcome, generation::Generation, port::Error, secret::Blackener};
use tokio::time::Instant;

use super::{
    apply::{Act, busy, last_line},
    driver::Inner,
    folder::{self, Held, Phase},
    look,
    report::Report,
};
use crate::local::blocking;

/// See [`super::Driver::remove`].
pub(super) async fn remove(
    inner: Arc<Inner>,
    folder: String,
    project: String,
    generation: Generation,
    until: Instant,
) -> Result<Report, Error> {
    let turn = inner.turn(&folder);
    let _turn = tokio::time::timeout_at(until, turn.lock()).await.map_err(|_| busy(&folder))?;
    let dir = folder::dir(&inner.config.base, &folder)?;
    let mut act = Act::begin(inner, &folder, &project, Blackener::default(), until).await?;
    let name = project.clone();
    act.folder(move |held| {
        held.state.project = name;
        held.pass(generation)
    })
    .await?;
    let before = look::project(&act.inner.account, &project).await?;
    let files = act.compose.place.files();
    let has_file = blocking(move || dir.join(skipper_core::compose::COMPOSE_FILE).exists()).await?;
    if !has_file && before.is_empty() {
        act.folder(|held| held.clear(Phase::Removed)).await?;
        return Ok(act.report(Outcome::Succeeded, "nothing was there"));
    }
    if !has_file {
        // Compose takes nothing away without a file; this one has no services, so that all containers are left over.
        act.folder(Held::stand_in).await?;
    }
    let ran = act.run(&files, &["down", "--remove-orphans"], until).await?;
    let after = look::project(&act.inner.account, &project).await?;
    if ran.code != Some(0) || !after.is_empty() {
        let why = if ran.timed_out { "compose did not get done in time".to_owned() } else { last_line(&ran.said) };
        let mut report = act.report(Outcome::Failed, &format!("compose could not take it away: {why}"));
        report.code = "compose-failed";
        report.exit_code = ran.code;
        report.services = look::by_service(&after, []);
        return Ok(report);
    }
    act.folder(|held| held.clear(Phase::Removed)).await?;
    let mut report = act.report(Outcome::Succeeded, "taken away; volumes stay");
    report.exit_code = ran.code;
    report.changed = look::changed(&before, &after);
    Ok(report)
}
