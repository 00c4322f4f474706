//! The packages that are in the binary. (In progress: signatures are final.)

use crate::package::Built;

/// Name of the repository that holds them.
pub const REPOSITORY: &str = "experimental";

/// Builds the built-in packages: `helloworld` 1.0.0 and 1.0.1.
#[must_use]
pub fn packages() -> Vec<Built> {
    Vec::new()
}
