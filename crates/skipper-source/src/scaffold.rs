//! A starter package. (In progress: signatures are final.)

use skipper_core::name::PackageName;

use crate::archive::File;

/// The files of a commented starter package that renders and runs as it is.
#[must_use]
pub fn files(name: &PackageName) -> Vec<File> {
    let _ = name;
    Vec::new()
}
