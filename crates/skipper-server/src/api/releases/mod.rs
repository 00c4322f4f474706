//! The door of Spring Cloud Skipper's clients, `/api`: both of its generations on one server.
//!
//! `first` and `second` have the controllers of 1.0 and of 2.x; both translate to the same verbs. `negotiate` and `asked`
//! say in which generation's shape a path answers that both of them know.

mod about;
mod act;
mod answer;
mod asked;
mod extract;
mod failure;
mod first;
#[expect(dead_code, reason = "the resources of Spring Data REST negotiate by it as well")]
mod negotiate;
mod second;
mod wire;

use skipper_core::policy::Action::{Deploy, Read};

use super::table::{
    Access::{Public, Tenant},
    Row, row,
};

pub(in crate::api) use failure::{Of, cause};

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(plain GET "/api/about" => about::about, Public),
        row!(plain POST "/api/install" => first::install, Tenant(Deploy), Json),
        row!(plain POST "/api/install/{id}" => first::install_id, Tenant(Deploy), Json),
        row!(plain GET "/api/status/{name}" => first::status, Tenant(Read)),
        row!(plain GET "/api/status/{name}/{version}" => first::status_version, Tenant(Read)),
        row!(plain GET "/api/manifest/{name}" => first::manifest, Tenant(Read)),
        row!(plain GET "/api/manifest/{name}/{version}" => first::manifest_version, Tenant(Read)),
        row!(plain POST "/api/upgrade" => first::upgrade, Tenant(Deploy), Json),
        row!(plain POST "/api/rollback/{name}/{version}" => first::rollback, Tenant(Deploy)),
        row!(plain POST "/api/delete/{name}" => first::delete, Tenant(Deploy)),
        row!(plain GET "/api/history/{name}/{max}" => first::history, Tenant(Read)),
        row!(plain GET "/api/list" => first::list, Tenant(Read)),
        row!(plain GET "/api/list/{name}" => first::list_name, Tenant(Read)),
        row!(plain GET "/api/package" => about::package, Tenant(Read)),
        row!(plain POST "/api/package/install" => second::install, Tenant(Deploy), Json),
        row!(plain POST "/api/package/install/{id}" => second::install_id, Tenant(Deploy), Json),
        row!(plain GET "/api/release" => about::release, Tenant(Read)),
        row!(plain GET "/api/release/status/{name}" => second::status, Tenant(Read)),
        row!(plain GET "/api/release/status/{name}/{version}" => second::status_version, Tenant(Read)),
        row!(plain GET "/api/release/statuses" => second::statuses, Tenant(Read)),
        row!(plain GET "/api/release/states" => second::states, Tenant(Read)),
        row!(plain GET "/api/release/logs/{name}" => second::logs, Tenant(Read)),
        row!(plain GET "/api/release/logs/{name}/{app}" => second::logs_app, Tenant(Read)),
        row!(plain GET "/api/release/manifest/{name}" => second::manifest, Tenant(Read)),
        row!(plain GET "/api/release/manifest/{name}/{version}" => second::manifest_version, Tenant(Read)),
        row!(plain POST "/api/release/upgrade" => second::upgrade, Tenant(Deploy), Json),
        row!(plain POST "/api/release/rollback" => second::rollback, Tenant(Deploy), Json),
        row!(plain POST "/api/release/rollback/{name}/{version}" => second::rollback_path, Tenant(Deploy)),
        row!(plain POST "/api/release/cancel" => second::cancel, Tenant(Deploy), Json),
        row!(plain POST "/api/release/scale/{name}" => second::scale, Tenant(Deploy), Json),
        row!(plain DELETE "/api/release/{name}" => second::delete, Tenant(Deploy)),
        row!(plain GET "/api/release/list" => second::list, Tenant(Read)),
        row!(plain GET "/api/release/list/{name}" => second::list_name, Tenant(Read)),
    ]
}
