//! What `/api/…` reads and writes, in the shapes of both generations: order of fields, nulls and kinds of numbers are part
//! of them. Renaming a field here breaks clients. Nothing here decides anything.

mod app_deployer_data;
mod deployer;
mod error;
mod package;
mod platform_status;
mod release;
mod repository;
mod request;
pub(in crate::api::releases) mod scalar;

pub(in crate::api::releases) use app_deployer_data::AppDeployerData;
pub(in crate::api::releases) use deployer::Deployer;
pub(in crate::api::releases) use error::ErrorBody;
pub(in crate::api::releases) use package::{PackageMetadata, Place, Summary};
pub(in crate::api::releases) use release::{Info, Manifest, Release, Releases, When};
pub(in crate::api::releases) use repository::Repository;
pub(in crate::api::releases) use request::{
    ActuatorRequest, CancelRequest, InstallProperties, InstallRequest, PackageIdentifier, RollbackRequest,
    ScaleRequest, UpgradeRequest, UploadRequest,
};
