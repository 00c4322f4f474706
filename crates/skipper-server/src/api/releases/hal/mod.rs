//! The resources that Spring Data REST exports there: HAL with pages, sorting, searches, projections, profiles and ETags.
//!
//! [`resource`] is the table of them; [`context`] turns what a handler found into an answer. Numbers on the wire are those
//! of the rows.

mod app_deployer_datas;
mod context;
mod deployers;
mod index;
pub(in crate::api) mod link;
pub(in crate::api::releases) mod number;
mod options;
mod package_metadata;
mod page;
mod pretty;
mod profile;
mod releases;
mod repositories;
mod resource;

use skipper_core::policy::Action::{ManagePackages, Read};

use crate::api::table::{
    Access::{Installation, Tenant},
    Row, undescribed,
};

/// The routes.
pub(in crate::api::releases) fn rows() -> Vec<Row> {
    vec![
        undescribed!(GET "/api" => index::index, Tenant(Read)),
        undescribed!(GET "/api/" => index::index, Tenant(Read)),
        undescribed!(GET "/api/profile" => profile::index, Tenant(Read)),
        undescribed!(GET "/api/profile/{resource}" => profile::get, Tenant(Read)),
        undescribed!(GET "/api/releases" => releases::list, Tenant(Read)),
        undescribed!(OPTIONS "/api/releases" => options::collection, Tenant(Read)),
        undescribed!(GET "/api/releases/{id}" => releases::get, Tenant(Read)),
        undescribed!(OPTIONS "/api/releases/{id}" => options::item, Tenant(Read)),
        undescribed!(GET "/api/releases/search" => index::releases, Tenant(Read)),
        undescribed!(GET "/api/releases/search/findByNameOrderByVersionDesc" => releases::find_by_name, Tenant(Read)),
        undescribed!(GET "/api/releases/search/findByNameIgnoreCaseContainingOrderByNameAscVersionDesc" => releases::find_named, Tenant(Read)),
        undescribed!(GET "/api/releases/search/findByNameAndVersionBetweenOrderByNameAscVersionDesc" => releases::find_between, Tenant(Read)),
        undescribed!(GET "/api/releases/search/findTopByNameOrderByVersionDesc" => releases::find_newest, Tenant(Read)),
        undescribed!(GET "/api/releases/search/findByNameIgnoreCaseContaining" => releases::find_containing, Tenant(Read)),
        undescribed!(GET "/api/appDeployerDatas" => app_deployer_datas::list, Tenant(Read)),
        undescribed!(OPTIONS "/api/appDeployerDatas" => options::collection, Tenant(Read)),
        undescribed!(GET "/api/appDeployerDatas/{id}" => app_deployer_datas::get, Tenant(Read)),
        undescribed!(OPTIONS "/api/appDeployerDatas/{id}" => options::item, Tenant(Read)),
        undescribed!(GET "/api/appDeployerDatas/search/findByReleaseNameAndReleaseVersion" => app_deployer_datas::find, Tenant(Read)),
        undescribed!(GET "/api/appDeployerDatas/search" => index::app_deployer_datas, Tenant(Read)),
        undescribed!(GET "/api/deployers" => deployers::list, Installation(Read)),
        undescribed!(OPTIONS "/api/deployers" => options::collection, Installation(Read)),
        undescribed!(GET "/api/deployers/{id}" => deployers::get, Installation(Read)),
        undescribed!(OPTIONS "/api/deployers/{id}" => options::item, Installation(Read)),
        undescribed!(GET "/api/deployers/search" => index::deployers, Installation(Read)),
        undescribed!(GET "/api/deployers/search/findByName" => deployers::find_by_name, Installation(Read)),
        undescribed!(GET "/api/packageMetadata" => package_metadata::list, Installation(Read)),
        undescribed!(OPTIONS "/api/packageMetadata" => options::collection, Installation(Read)),
        undescribed!(GET "/api/packageMetadata/{id}" => package_metadata::get, Installation(Read)),
        undescribed!(OPTIONS "/api/packageMetadata/{id}" => options::item, Installation(Read)),
        undescribed!(DELETE "/api/packageMetadata/{id}" => package_metadata::remove, Installation(ManagePackages)),
        undescribed!(GET "/api/packageMetadata/search" => index::package_metadata, Installation(Read)),
        undescribed!(GET "/api/packageMetadata/search/findByName" => package_metadata::find_by_name, Installation(Read)),
        undescribed!(GET "/api/packageMetadata/search/findByNameContainingIgnoreCase" => package_metadata::find_containing, Installation(Read)),
        undescribed!(GET "/api/packageMetadata/search/findByNameAndVersionOrderByApiVersionDesc" => package_metadata::find_version, Installation(Read)),
        undescribed!(GET "/api/packageMetadata/search/findFirstByNameOrderByVersionDesc" => package_metadata::find_newest, Installation(Read)),
        undescribed!(GET "/api/repositories" => repositories::list, Installation(Read)),
        undescribed!(POST "/api/repositories" => repositories::add, Installation(ManagePackages), Json),
        undescribed!(OPTIONS "/api/repositories" => options::collection, Installation(Read)),
        undescribed!(GET "/api/repositories/{id}" => repositories::get, Installation(Read)),
        undescribed!(PUT "/api/repositories/{id}" => repositories::replace, Installation(ManagePackages), Json),
        undescribed!(PATCH "/api/repositories/{id}" => repositories::patch, Installation(ManagePackages), Json),
        undescribed!(DELETE "/api/repositories/{id}" => repositories::remove, Installation(ManagePackages)),
        undescribed!(OPTIONS "/api/repositories/{id}" => options::item, Installation(Read)),
        undescribed!(GET "/api/repositories/search" => index::repositories, Installation(Read)),
        undescribed!(GET "/api/repositories/search/findByName" => repositories::find_by_name, Installation(Read)),
        undescribed!(GET "/api/repositories/search/findAllByOrderByRepoOrderDesc" => repositories::by_order, Installation(Read)),
    ]
}

/// Whether a path is one of these, whose refusals have no body.
pub(in crate::api::releases) fn is_resource(path: &str) -> bool {
    let rest = path.strip_prefix("/api").map(|rest| rest.trim_start_matches('/'));
    rest.is_some_and(|rest| {
        let first = rest.split('/').next().unwrap_or_default();
        first.is_empty() || first == "profile" || resource::RESOURCES.iter().any(|resource| resource.rel == first)
    })
}
