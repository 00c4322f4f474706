//! A package and values become manifest and spec.

use super::Package;
use crate::{
    finding::{Faults, Finding},
    front::{Renderer, UserValues},
    package::{RenderOptions, Rendered},
};

/// Renders a package with what the user set.
pub(crate) fn render(
    package: &Package,
    _values: UserValues<'_>,
    _options: &RenderOptions,
    renderer: Renderer,
) -> Result<Rendered, Faults> {
    package.metadata()?;
    Err(Finding::error("renderer-missing", format!("packages cannot be rendered by {renderer} yet")).into())
}

/// What there is to say about a package before anybody installs it.
pub(crate) fn lint(package: &Package) -> Vec<Finding> {
    package.metadata().err().map(Faults::into_findings).unwrap_or_default()
}
