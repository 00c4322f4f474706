//! What `/api/…` reads and writes, in the shapes of both generations: order of fields, nulls and kinds of numbers are part
//! of them. Nothing here decides anything.

mod error;
mod link;
#[expect(dead_code, reason = "projections are the resources'")]
mod package;
mod platform_status;
mod release;
mod request;

pub(in crate::api::releases) use error::ErrorBody;
pub(in crate::api::releases) use link::Links;
pub(in crate::api::releases) use package::{PackageMetadata, Place};
pub(in crate::api::releases) use release::{Info, Manifest, Release, Releases, When};
pub(in crate::api::releases) use request::{
    CancelRequest, InstallProperties, InstallRequest, PackageIdentifier, RollbackRequest, ScaleRequest, UpgradeRequest,
};
