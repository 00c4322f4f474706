//! What goes over the wire of this door. Renaming a field here breaks clients.

mod deployer;
mod package;
mod repository;

pub(in crate::api::releases) use deployer::Deployer;
pub(in crate::api::releases) use package::{PackageMetadata, Place, Summary};
pub(in crate::api::releases) use repository::Repository;
