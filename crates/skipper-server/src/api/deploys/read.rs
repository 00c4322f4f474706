//! Deploys as slip shows them.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use serde::Deserialize;
use skipper_core::{
    name::ReleaseName,
    policy::Action as Act,
    port::Loaded,
    release::{Door, PreviewOf, Release, Revision, Source},
    rollout::{Action, Phase},
    spec::Spec,
};

use super::{
    allowed, id, watch,
    wire::{DeployList, DeployView, Serving},
};
use crate::{
    api::{
        extract::{Path, Query},
        own,
    },
    app::App,
    error::{Code, Error},
    verb::{self, Caller},
};

/// How many deploys a list has where nobody says.
const USUAL: u32 = 20;
/// Most deploys of a list.
const MOST: u32 = 100;

/// The query of one deploy; the guard has looked at both.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `default`, where apps are.
    #[serde(default)]
    #[expect(dead_code, reason = "a deploy is found by its id alone")]
    tenant: Option<String>,
    /// The token of `status_url`, instead of any other.
    #[serde(default)]
    #[expect(dead_code, reason = "the guard reads it, and the document tells of it")]
    token: Option<String>,
}

/// Shows a deploy, with what happened and when. With `Accept: text/event-stream` it is sent as it happens (server-sent events of
/// the type and number of each; `Last-Event-ID` goes on after one), and at last an event `end` with the whole deploy.
#[utoipa::path(get, path = "/v1/deploys/{id}", tag = "deploys", params(("id" = String, Path, description = "The deploy: `dep_…`"), Asked, ("Last-Event-ID" = Option<String>, Header, description = "Of a stream: go on after this event")), responses((status = 200, body = DeployView), (status = 204, description = "Of a stream: there is nothing after that event")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _query: Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let unknown = || Error::new(Code::RolloutNotFound, "deploy not found");
    let id = id::parse(&id).ok_or_else(unknown)?;
    let seen = verb::rollout::rollout(&app, &caller, id)
        .await
        .map_err(|error| if error.code() == Code::RolloutNotFound { unknown() } else { error })?;
    if seen.loaded.release.door != Door::Deploys {
        return Err(unknown());
    }
    if watch::is_asked_for(&headers) {
        return watch::stream(&app, id, &headers);
    }
    let mut view = view(&app, &seen.loaded);
    view.serving = Some(serving(&app, &seen.loaded.release).await?);
    view.events = app.store.events_of_rollout(id, 0, watch::MOST).await?.iter().map(watch::event).collect();
    Ok(Json(view).into_response())
}

/// Which deploys.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Of this app alone.
    #[serde(default)]
    app: Option<String>,
    /// At most this many, up to 100; 20 when absent.
    #[serde(default)]
    limit: Option<u32>,
    /// `default`, where apps are.
    #[serde(default)]
    tenant: Option<String>,
}

/// Lists deploys, newest first.
#[utoipa::path(get, path = "/v1/deploys", tag = "deploys", params(Which), responses((status = 200, body = DeployList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Json<DeployList>, Error> {
    let (tenant, apps) = allowed(&app, &caller, Act::Read, which.tenant.as_ref())?;
    let limit = which.limit.unwrap_or(USUAL).clamp(1, MOST);
    let of = match &which.app {
        None => None,
        Some(name) => {
            let name = ReleaseName::new(name.clone()).map_err(|_| verb::deploy::unknown(name))?;
            match app.store.release_get(&tenant, &name).await? {
                Some(release) if release.door == Door::Deploys => Some(release.id),
                _ if apps.as_ref().is_some_and(|apps| apps.get(name.as_str()).is_some()) => {
                    return Ok(Json(DeployList { deploys: Vec::new() }));
                }
                _ => return Err(verb::deploy::unknown(name.as_str())),
            }
        }
    };
    let mut deploys = Vec::new();
    // Between deploys of apps may lie rollouts of other doors; that many are looked through.
    let looked = if of.is_some() { limit } else { 10 * MOST };
    for (_, rollout) in app.store.rollout_list(of, false, looked, None).await? {
        if deploys.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
        let loaded = app.store.rollout_load(rollout.id).await?;
        if loaded.release.door == Door::Deploys && loaded.release.tenant == tenant {
            deploys.push(view(&app, &loaded));
        }
    }
    Ok(Json(DeployList { deploys }))
}

/// One rollout in slip's words.
pub(crate) fn view(app: &App, loaded: &Loaded) -> DeployView {
    let rollout = &loaded.rollout;
    let error = rollout.phase.cause().map(|cause| cause.message.clone());
    let target = loaded.target.as_ref();
    let preview = target.and_then(|revision| preview_of(&revision.source));
    DeployView {
        deploy_id: id::of(rollout.id),
        app: preview.map_or_else(|| loaded.release.name.to_string(), |preview| preview.app.to_string()),
        preview: preview.map(|preview| preview.id.clone()),
        tag: target.and_then(tag_of),
        status: word(app, loaded).to_owned(),
        started_at: own::time(rollout.created_at),
        finished_at: rollout.finished_at.map(own::time),
        error,
        revision: rollout.to,
        serving: None,
        triggered_by: rollout.provenance.trigger.clone(),
        events: Vec::new(),
    }
}

/// What serves of an app, or of a preview of it.
async fn serving(app: &App, release: &Release) -> Result<Serving, Error> {
    let Some(number) = release.serving.filter(|_| !release.deleted) else {
        return Ok(Serving { revision: None, tag: None });
    };
    let revision = app.store.revision_get(release.id, number).await?;
    Ok(Serving { revision: Some(number), tag: revision.as_ref().and_then(tag_of) })
}

/// The tag of a revision, however it came about.
pub(super) fn tag_of(revision: &Revision) -> Option<String> {
    tag_of_source(&revision.source).or_else(|| revision.spec.as_ref().and_then(tag_of_spec))
}

/// slip has no words for waiting, undoing, and what ended otherwise than it was asked.
fn word(app: &App, loaded: &Loaded) -> &'static str {
    let rollout = &loaded.rollout;
    match &rollout.phase {
        Phase::Waiting | Phase::Accepted => "accepted",
        Phase::Resolving { .. } => "pulling",
        Phase::Advancing => step(app, loaded),
        Phase::Undoing { .. } => "undoing",
        Phase::Finishing => "switching",
        Phase::Succeeded => "completed",
        Phase::Failed { .. } => "failed",
        Phase::Cancelled { .. } => "cancelled",
        Phase::Superseded => "superseded",
    }
}

fn step(app: &App, loaded: &Loaded) -> &'static str {
    let now = app.engine.activity(loaded.rollout.id).and_then(|activity| activity.step);
    let index = now.or_else(|| loaded.steps.last().map(|step| step.index));
    let steps = loaded.rollout.plan.as_ref().map(|plan| &plan.steps);
    let step = index.zip(steps).and_then(|(index, steps)| steps.get(usize::try_from(index).ok()?));
    match step.map(|step| &step.action) {
        None | Some(Action::Fetch { .. }) => "pulling",
        Some(Action::RunHook { .. }) => "configuring",
        Some(Action::Launch { .. }) => "starting",
        Some(Action::AwaitHealthy { .. }) => "health_checking",
        Some(Action::Hold { .. }) => "stopping_old",
        Some(_) => "switching",
    }
}

/// What a revision is a preview of.
pub(super) fn preview_of(source: &Source) -> Option<&PreviewOf> {
    match source {
        Source::App { preview, .. } => preview.as_deref(),
        Source::Package { .. } | Source::Tenant { .. } | Source::Revision { .. } | Source::Scale { .. } => None,
    }
}

/// The tag of a revision that was deployed.
pub(super) fn tag_of_source(source: &Source) -> Option<String> {
    match source {
        Source::App { tag, .. } => Some(tag.clone()),
        Source::Package { .. } | Source::Tenant { .. } | Source::Revision { .. } | Source::Scale { .. } => None,
    }
}

/// The tag of one that went back to another: what its image says.
fn tag_of_spec(spec: &Spec) -> Option<String> {
    let uri = &spec.applications.first()?.resource.uri;
    let image = uri.strip_prefix("docker:")?;
    if let Some((_, digest)) = image.split_once('@') {
        return Some(digest.to_owned());
    }
    image.rsplit_once(':').map(|(_, tag)| tag.to_owned()).filter(|tag| !tag.contains('/'))
}
