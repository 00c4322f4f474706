//! Documents for Spring's deployers become applications.

use skipper_core::{name::PlatformName, spec::Spec};

use crate::finding::{Faults, Finding};

/// The applications of a manifest.
pub(super) fn spec(_manifest: &str, _platform: &PlatformName) -> Result<(Spec, Vec<Finding>), Faults> {
    Err(Finding::error("kind-unknown", "not yet").into())
}
