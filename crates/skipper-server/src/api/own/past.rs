//! The history of a release that another server kept.

use axum::extract::State;
use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use http::StatusCode;
use skipper_core::{
    name::{PlatformName, ReleaseName},
    release::RevisionState,
    time::Timestamp,
};

use super::wire::{PastRevision, TakeOverRequest, TakenOver};
use crate::{
    api::extract::{Json, Path, Query, TenantQuery, name_of, tenant},
    app::App,
    error::{Code, Error},
    verb::{
        Caller, Wanted,
        take_over::{self, Past},
    },
};

/// Takes over the history of a release that another server kept; nothing of it runs.
#[utoipa::path(post, path = "/v1/releases/{name}/history", tag = "releases", params(("name" = String, Path, description = "Name of the release"), TenantQuery), request_body = TakeOverRequest, responses((status = 201, body = TakenOver, description = "Stored as a deleted release with this history")))]
pub(super) async fn take_over(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<TakeOverRequest>,
) -> Result<(StatusCode, axum::Json<TakenOver>), Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let past = body.revisions.into_iter().map(past).collect::<Result<Vec<_>, _>>()?;
    let packages = body.packages.iter().enumerate().map(|(at, text)| {
        let wrong = |cause| Error::new(Code::Invalid, format!("`packages[{at}]` is not base64")).because(cause);
        STANDARD.decode(text).map_err(wrong)
    });
    let packages = packages.collect::<Result<Vec<_>, _>>()?;
    let (release, warnings) = take_over::take_over(&app, &caller, &tenant, &name, past, packages).await?;
    let taken = TakenOver { name: release.name.to_string(), last_revision: release.last_revision, warnings };
    Ok((StatusCode::CREATED, axum::Json(taken)))
}

fn past(body: PastRevision) -> Result<Past, Error> {
    let wrong = |what: &str, given: &str| {
        Error::new(Code::Invalid, format!("revision {}: `{what}` = `{given}` is not understood", body.number))
    };
    let state = RevisionState::parse(&body.state).ok_or_else(|| wrong("state", &body.state))?;
    let created_at =
        skipper_source::original::micros(&body.created_at).ok_or_else(|| wrong("created_at", &body.created_at))?;
    Ok(Past {
        number: body.number,
        state,
        package: Wanted::stored(body.package.repository, body.package.name, body.package.version),
        kept: body.kept,
        values: body.values,
        manifest: body.manifest,
        platform: body.platform.map(PlatformName::new).map(name_of).transpose()?,
        description: body.description,
        created_at: Timestamp::from_micros(created_at),
    })
}
