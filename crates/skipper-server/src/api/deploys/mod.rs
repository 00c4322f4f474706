//! slip's door: signed webhooks, and the apps and deploys they bring about.
//!
//! An app is a release of its name in tenant `default`; a deploy is a rollout of it. Nothing is stored for this door alone:
//! what it shows is worked out from releases, revisions and rollouts.

mod apps;
mod change;
mod id;
mod outside;
mod previews;
mod proof;
mod read;
mod receive;
mod secrets;
mod sender;
mod signature;
mod status;
mod ticket;
mod told;
mod watch;
pub mod wire;

use std::sync::Arc;

use skipper_core::{
    name::TenantName,
    policy::Action::{self, Administer, Deploy, ManageSecrets, Read},
};

pub(crate) use id::parse as rollout_of;
pub(in crate::api) use sender::{answer_again, sender};
pub(in crate::api) use ticket::ticket;
pub(crate) use told::{Heard, heard};

use super::{
    extract,
    table::{
        Access::{Installation, Signed, SignedOr, Tenant, TenantOrTicket},
        Row, row,
    },
};
use crate::{app::App, apps::Apps, error::Error, verb::Caller};

pub(in crate::api) use proof::is_signed;

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(POST "/v1/deploy" => receive::receive, Signed, Webhook),
        row!(GET "/v1/deploys" => read::list, Tenant(Read)),
        row!(GET "/v1/deploys/{id}" => read::get, TenantOrTicket(Read)),
        row!(GET "/v1/previews/{app}" => previews::list, Tenant(Read)),
        row!(DELETE "/v1/previews/{app}" => previews::remove_all, SignedOr(Deploy)),
        row!(GET "/v1/previews/{app}/{id}" => previews::get, Tenant(Read)),
        row!(DELETE "/v1/previews/{app}/{id}" => previews::remove, SignedOr(Deploy)),
        row!(GET "/v1/status" => status::status, Tenant(Read)),
        row!(GET "/v1/apps" => apps::list, Tenant(Read)),
        row!(POST "/v1/apps" => change::create, Installation(Administer), Json),
        row!(GET "/v1/apps/{name}" => apps::get, Tenant(Read)),
        row!(PATCH "/v1/apps/{name}" => change::change, Installation(Administer), Json),
        row!(DELETE "/v1/apps/{name}" => change::remove, Installation(Administer)),
        row!(GET "/v1/apps/{name}/status" => status::one_app, Tenant(Read)),
        row!(GET "/v1/apps/{name}/logs" => apps::logs, Tenant(Read), Nothing, Stream),
        row!(POST "/v1/apps/{name}/rollback" => apps::rollback, Tenant(Deploy), Json),
        row!(GET "/v1/apps/{name}/secrets" => secrets::list, Tenant(ManageSecrets)),
        row!(PUT "/v1/apps/{name}/secrets" => secrets::set_all, Tenant(ManageSecrets), Secret),
        row!(DELETE "/v1/apps/{name}/secrets/{key}" => secrets::remove, Tenant(ManageSecrets)),
        row!(GET "/v1/secrets/{app}/{key}" => secrets::get, Tenant(ManageSecrets)),
        row!(PUT "/v1/secrets/{app}/{key}" => secrets::set, Tenant(ManageSecrets), Secret),
        row!(DELETE "/v1/secrets/{app}/{key}" => secrets::remove_one, Tenant(ManageSecrets)),
    ]
}

/// The tenant that is asked about, once the caller may do this to it, and its apps: only `default` has any.
fn allowed(
    app: &App,
    caller: &Caller,
    action: Action,
    named: Option<&String>,
) -> Result<(TenantName, Option<Arc<Apps>>), Error> {
    let tenant = extract::tenant(caller.actor(), named)?;
    caller.may(action, &tenant)?;
    let apps = app.apps.get().filter(|_| tenant == TenantName::default_tenant());
    Ok((tenant, apps))
}

/// Whether slip's clients know the path, and look for a member `error` in what went wrong.
pub(in crate::api) fn is_known(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v1/") else { return false };
    match rest.split('/').next() {
        Some("deploy" | "deploys" | "status" | "apps" | "previews") => true,
        // With a name alone it is Skipper's own.
        Some("secrets") => rest.matches('/').count() == 2,
        _ => false,
    }
}
