//! Skipper's own door, `/v1`: every verb, described by `/openapi.json`.

pub mod wire;

mod events;
mod operate;
mod packages;
mod page;
mod past;
mod releases;
mod repositories;
mod revisions;
mod rollouts;
mod secrets;
mod server;
mod tokens;
mod verbs;
mod view;

pub(in crate::api) use operate::{LogsQuery, log_lines};
pub(crate) use view::event;
pub(in crate::api) use view::{host_url, time};

use axum::response::Response;
use skipper_core::{
    policy::Action::{Administer, Deploy, ManagePackages, ManageSecrets, ManageTokens, Read},
    rollout::Phase,
};
use skipper_store::IntentAccepted;

use super::{
    openapi,
    table::{
        Access::{Installation, Public, Tenant},
        Row, row,
    },
};

/// The routes of this door, and those of the server itself.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(GET "/" => server::index, Public),
        row!(GET "/healthz" => server::healthz, Public),
        row!(GET "/readyz" => server::readyz, Public),
        row!(GET "/metrics" => server::metrics, Installation(Read)),
        row!(GET "/openapi.json" => openapi::serve, Public),
        row!(GET "/v1/releases" => releases::list, Tenant(Read)),
        row!(POST "/v1/releases" => verbs::install, Tenant(Deploy), Json),
        row!(GET "/v1/releases/{name}" => releases::get, Tenant(Read)),
        row!(DELETE "/v1/releases/{name}" => verbs::delete, Tenant(Deploy)),
        row!(POST "/v1/releases/{name}/upgrade" => verbs::upgrade, Tenant(Deploy), Json),
        row!(POST "/v1/releases/{name}/rollback" => verbs::rollback, Tenant(Deploy), Json),
        row!(POST "/v1/releases/{name}/scale" => verbs::scale, Tenant(Deploy), Json),
        row!(POST "/v1/releases/{name}/cancel" => verbs::cancel, Tenant(Deploy)),
        row!(POST "/v1/releases/{name}/hold" => operate::hold, Tenant(Deploy), Json),
        row!(POST "/v1/releases/{name}/resume" => operate::resume, Tenant(Deploy)),
        row!(POST "/v1/releases/{name}/maintenance" => operate::maintenance, Tenant(Deploy), Json),
        row!(GET "/v1/releases/{name}/history" => revisions::history, Tenant(Read)),
        row!(POST "/v1/releases/{name}/history" => past::take_over, Tenant(Deploy), Plan),
        row!(GET "/v1/releases/{name}/revisions/{revision}" => revisions::get, Tenant(Read)),
        row!(GET "/v1/releases/{name}/revisions/{revision}/manifest" => revisions::manifest, Tenant(Read)),
        row!(GET "/v1/releases/{name}/diff" => revisions::diff, Tenant(Read)),
        row!(GET "/v1/releases/{name}/why" => releases::why, Tenant(Read)),
        row!(GET "/v1/releases/{name}/logs" => operate::logs, Tenant(Read), Nothing, Stream),
        row!(POST "/v1/releases/{name}/exec" => operate::exec, Tenant(Deploy), Json),
        row!(GET "/v1/releases/{name}/stats" => operate::stats, Tenant(Read)),
        row!(POST "/v1/plans" => verbs::plan, Tenant(Deploy), Plan),
        row!(GET "/v1/rollouts/{id}" => rollouts::get, Tenant(Read)),
        row!(GET "/v1/rollouts/{id}/stream" => rollouts::stream, Tenant(Read), Nothing, Stream),
        row!(GET "/v1/packages" => packages::search, Installation(Read)),
        row!(POST "/v1/packages" => packages::upload, Installation(ManagePackages), Package),
        row!(GET "/v1/packages/{repository}/{name}/{version}" => packages::get, Installation(Read)),
        row!(DELETE "/v1/packages/{repository}/{name}/{version}" => packages::remove, Installation(ManagePackages)),
        row!(GET "/v1/packages/{repository}/{name}/{version}/archive" => packages::archive, Installation(Read)),
        row!(GET "/v1/repositories" => repositories::list, Installation(Read)),
        row!(POST "/v1/repositories" => repositories::add, Installation(ManagePackages), Json),
        row!(GET "/v1/repositories/{name}" => repositories::get, Installation(Read)),
        row!(DELETE "/v1/repositories/{name}" => repositories::remove, Installation(ManagePackages)),
        row!(POST "/v1/repositories/{name}/refresh" => repositories::refresh, Installation(ManagePackages)),
        row!(GET "/v1/repositories/{name}/index.yml" => repositories::index, Installation(Read)),
        row!(GET "/v1/repositories/{name}/{package}/{file}" => repositories::zip, Installation(Read)),
        row!(GET "/v1/platforms" => operate::platforms, Installation(Read)),
        row!(GET "/v1/events" => events::list, Tenant(Read)),
        row!(GET "/v1/events/stream" => events::stream, Tenant(Read), Nothing, Stream),
        row!(GET "/v1/events/verify" => events::verify, Installation(Read)),
        row!(GET "/v1/secrets" => secrets::list, Tenant(ManageSecrets)),
        row!(PUT "/v1/secrets/{name}" => secrets::set, Tenant(ManageSecrets), Secret),
        row!(DELETE "/v1/secrets/{name}" => secrets::remove, Tenant(ManageSecrets)),
        row!(GET "/v1/tokens" => tokens::list, Installation(ManageTokens)),
        row!(POST "/v1/tokens" => tokens::create, Installation(ManageTokens), Json),
        row!(DELETE "/v1/tokens/{id}" => tokens::revoke, Installation(ManageTokens)),
        row!(GET "/v1/edge" => operate::edge, Installation(Read)),
        row!(POST "/v1/backup" => server::backup, Installation(Administer), Nothing, Stream),
    ]
}

/// The answer to an accepted intent whose own answer was lost: as it was, wherever the rollout stands by now.
pub(crate) fn accepted(mut accepted: IntentAccepted) -> Response {
    accepted.rollout.phase = Phase::Accepted;
    accepted.rollout.finished_at = None;
    verbs::answer(&view::accepted(&accepted))
}
