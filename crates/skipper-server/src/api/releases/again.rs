//! Answers to intents that were accepted and whose own answers were lost: in the words of this door, as a first one would be now.

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, request::Parts};
use skipper_core::rollout::{Phase, Verb};
use skipper_store::{IntentAccepted, VersionFilter};

use super::{
    act::{found, launched, newest, patience},
    answer,
    asked::Asked,
    extract::Client,
    failure::Failure,
};
use crate::{
    api::extract::caller_of,
    app::App,
    verb::{
        self,
        versions::{Look, Version},
        wait,
    },
};

/// The answer to what a repeated request had asked for.
pub(in crate::api) async fn answer_again(app: &App, parts: &Parts, accepted: IntentAccepted) -> Response {
    let told = async {
        let client = Client { caller: caller_of(parts)?, tenant: accepted.release.tenant.clone() };
        let version = Box::pin(again(app, &client, &accepted)).await?;
        let status = if parts.method == Method::DELETE { StatusCode::OK } else { StatusCode::CREATED };
        answer::release(app, &Asked::of(&parts.uri, &parts.headers), status, &version)
    };
    told.await.unwrap_or_else(Failure::into_response)
}

/// The version that came of it; waits as long as the first answer would have.
async fn again(app: &App, client: &Client, accepted: &IntentAccepted) -> Result<Version, Failure> {
    let (rollout, name) = (&accepted.rollout, &accepted.release.name);
    match rollout.verb {
        Verb::Install => {
            let version = newest(app, client, name).await?;
            let platform = answer::platform(app, &version.platform).to_owned();
            launched(app, client, accepted, &platform).await
        }
        Verb::Upgrade | Verb::Rollback => {
            let version = of_revision(app, client, accepted, rollout.to).await?;
            found(app, accepted, &version).await?;
            Ok(version.as_accepted(rollout.verb))
        }
        Verb::Scale => {
            wait::until(app, rollout.id, patience(app), wait::launched).await?;
            let deployed = verb::versions::deployed(app, &client.caller, &client.tenant, name).await;
            deployed.map_err(|error| Failure::of_verb(error, Verb::Scale, name.as_str(), None))
        }
        Verb::Delete => {
            let loaded = wait::until(app, rollout.id, patience(app), |_| false).await?;
            if let Phase::Failed { cause } | Phase::Cancelled { cause } = &loaded.rollout.phase {
                return Err(Failure::skipper(format!("Could not delete release [{name}]: {}", cause.message)));
            }
            of_revision(app, client, accepted, rollout.from).await
        }
    }
}

/// The version that a revision is, or the newest one where it is forgotten.
async fn of_revision(
    app: &App,
    client: &Client,
    accepted: &IntentAccepted,
    revision: Option<u64>,
) -> Result<Version, Failure> {
    let name = &accepted.release.name;
    let filter = VersionFilter::History(name, u32::MAX);
    let all = verb::versions::list(app, &client.caller, &client.tenant, filter, Look::Alive).await?;
    match all.into_iter().find(|version| Some(version.stored.number) == revision) {
        Some(version) => Ok(version),
        None => newest(app, client, name).await,
    }
}
