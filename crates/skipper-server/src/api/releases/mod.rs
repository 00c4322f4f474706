//! The door of Spring Cloud Skipper's clients, `/api`: both of its generations on one server.
//!
//! `first` and `second` have the controllers of 1.0 and of 2.x; both translate to the same verbs. `hal` has the resources that
//! Spring Data REST would export. [`negotiate`] and [`asked`] say in which generation's shape a path answers that both of
//! them know.

mod about;
mod act;
mod again;
mod answer;
mod asked;
mod endpoints;
mod extract;
mod failure;
mod first;
mod hal;
mod negotiate;
mod second;
mod upload;
mod wire;

use http::{HeaderMap, Uri, request::Parts};
use skipper_core::policy::Action::{Deploy, ManagePackages, Read};

use super::table::{
    Access::{Installation, Public, Tenant},
    Row, undescribed,
};

pub(in crate::api) use again::answer_again;
pub(in crate::api) use failure::{Of, cause};
pub(crate) use hal::link::Through;

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    let controllers = vec![
        undescribed!(GET "/api/about" => about::about, Tenant(Read)),
        undescribed!(POST "/api/upload" => upload::upload, Installation(ManagePackages), Plan),
        undescribed!(POST "/api/install" => first::install, Tenant(Deploy), Json),
        undescribed!(POST "/api/install/{id}" => first::install_id, Tenant(Deploy), Json),
        undescribed!(GET "/api/status/{name}" => first::status, Tenant(Read)),
        undescribed!(GET "/api/status/{name}/{version}" => first::status_version, Tenant(Read)),
        undescribed!(GET "/api/manifest/{name}" => first::manifest, Tenant(Read)),
        undescribed!(GET "/api/manifest/{name}/{version}" => first::manifest_version, Tenant(Read)),
        undescribed!(POST "/api/upgrade" => first::upgrade, Tenant(Deploy), Json),
        undescribed!(POST "/api/rollback/{name}/{version}" => first::rollback, Tenant(Deploy)),
        undescribed!(POST "/api/delete/{name}" => first::delete, Tenant(Deploy)),
        undescribed!(GET "/api/history/{name}/{max}" => first::history, Tenant(Read)),
        undescribed!(GET "/api/list" => first::list, Tenant(Read)),
        undescribed!(GET "/api/list/{name}" => first::list_name, Tenant(Read)),
        undescribed!(GET "/api/package" => about::package, Tenant(Read)),
        undescribed!(POST "/api/package/upload" => upload::upload, Installation(ManagePackages), Plan),
        undescribed!(DELETE "/api/package/{name}" => upload::remove, Installation(ManagePackages)),
        undescribed!(DELETE "/api/package/upload" => upload::remove_like_path, Installation(ManagePackages)),
        undescribed!(DELETE "/api/package/install" => upload::remove_like_path, Installation(ManagePackages)),
        undescribed!(POST "/api/package/install" => second::install, Tenant(Deploy), Json),
        undescribed!(POST "/api/package/install/{id}" => second::install_id, Tenant(Deploy), Json),
        undescribed!(GET "/api/release" => about::release, Tenant(Read)),
        undescribed!(GET "/api/release/status/{name}" => second::status, Tenant(Read)),
        undescribed!(GET "/api/release/status/{name}/{version}" => second::status_version, Tenant(Read)),
        undescribed!(GET "/api/release/statuses" => second::statuses, Tenant(Read)),
        undescribed!(GET "/api/release/states" => second::states, Tenant(Read)),
        undescribed!(GET "/api/release/logs/{name}" => second::logs, Tenant(Read)),
        undescribed!(GET "/api/release/logs/{name}/{app}" => second::logs_app, Tenant(Read)),
        undescribed!(GET "/api/release/manifest/{name}" => second::manifest, Tenant(Read)),
        undescribed!(GET "/api/release/manifest/{name}/{version}" => second::manifest_version, Tenant(Read)),
        undescribed!(POST "/api/release/upgrade" => second::upgrade, Tenant(Deploy), Json),
        undescribed!(POST "/api/release/rollback" => second::rollback, Tenant(Deploy), Json),
        undescribed!(POST "/api/release/rollback/{name}/{version}" => second::rollback_path, Tenant(Deploy)),
        undescribed!(POST "/api/release/cancel" => second::cancel, Tenant(Deploy), Json),
        undescribed!(POST "/api/release/scale/{name}" => second::scale, Tenant(Deploy), Json),
        undescribed!(DELETE "/api/release/{name}" => second::delete, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/statuses" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/states" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/upgrade" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/rollback" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/cancel" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/list" => second::delete_like_path, Tenant(Deploy)),
        undescribed!(DELETE "/api/release/{name}/package" => upload::remove_with_release, Tenant(Deploy)),
        undescribed!(GET "/api/release/actuator/{name}/{app}/{instance}" => second::actuator::get, Tenant(Deploy)),
        undescribed!(POST "/api/release/actuator/{name}/{app}/{instance}" => second::actuator::post, Tenant(Deploy), Json),
        undescribed!(GET "/actuator" => endpoints::index, Tenant(Read)),
        undescribed!(GET "/actuator/health" => endpoints::health, Public),
        undescribed!(GET "/actuator/info" => endpoints::info, Public),
        undescribed!(GET "/api/release/list" => second::list, Tenant(Read)),
        undescribed!(GET "/api/release/list/{name}" => second::list_name, Tenant(Read)),
    ];
    controllers.into_iter().chain(hal::rows()).collect()
}

/// Whether a person looks at the answer.
pub(in crate::api) fn is_browser(headers: &HeaderMap) -> bool {
    asked::accepted(headers).any(|media| media.eq_ignore_ascii_case("text/html"))
}

/// The address of this door, as the client would write it.
pub(in crate::api) fn index_of(parts: &Parts) -> String {
    format!("{}/api", hal::link::base_of(parts))
}

/// Whether a path is one whose refusals have no body.
pub(crate) fn refuses_in_silence(uri: &Uri) -> bool {
    hal::is_resource(uri.path())
}
