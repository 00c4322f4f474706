//! slip's door: signed webhooks, and the apps and deploys they bring about.
//!
//! An app is a release of its name in tenant `default`; a deploy is a rollout of it. Nothing is stored for this door alone:
//! what it shows is worked out from releases, revisions and rollouts.

mod apps;
mod id;
mod read;
mod receive;
mod signature;
mod status;
pub mod wire;

use skipper_core::policy::Action::{Deploy, Read};

use super::table::{
    Access::{Signed, Tenant},
    Row, row,
};

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(POST "/v1/deploy" => receive::receive, Signed, Json),
        row!(GET "/v1/deploys" => read::list, Tenant(Read)),
        row!(GET "/v1/deploys/{id}" => read::get, Tenant(Read)),
        row!(GET "/v1/status" => status::status, Tenant(Read)),
        row!(GET "/v1/apps" => apps::list, Tenant(Read)),
        row!(GET "/v1/apps/{name}" => apps::get, Tenant(Read)),
        row!(POST "/v1/apps/{name}/rollback" => apps::rollback, Tenant(Deploy), Json),
    ]
}

/// Whether slip's clients know the path, and look for a member `error` in what went wrong.
pub(in crate::api) fn is_known(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v1/") else { return false };
    matches!(rest.split('/').next(), Some("deploy" | "deploys" | "status" | "apps"))
}
