use std::time::Duration;

use serde_json::json;
use skipper_core::spec::{Resource, Target};

use super::{Effect, ask_within};
use crate::{failure::StepError, rollout::Run};

/// Brings the pinned resource to the platform. Again: nothing is asked of anyone when it is there already.
pub(super) async fn run(
    run: &Run<'_>,
    target: &Target,
    resource: &Resource,
    bound: Duration,
) -> Result<Effect, StepError> {
    let platform = run.platform(target)?;
    let fetched = run.persevere(|| platform.fetch(resource, ask_within(bound))).await?;
    Ok(Effect { data: json!({"uri": fetched.uri, "sha256": fetched.sha256}), ..Effect::default() })
}
