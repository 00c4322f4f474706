//! The packages that are in the binary, so that the first steps need no network: those of the guide of Spring Cloud Skipper,
//! in its format, with two or three values more for people who set values rather than properties.

use skipper_core::Sha256;

use crate::{
    archive::{File, zip_files},
    front::Package,
    package::Built,
};

/// Name of the repository that holds them.
pub const REPOSITORY: &str = "experimental";

/// Files of one version, by their path in it.
type Files = [(&'static str, &'static str); 4];

/// One version's files: its own, and those that all versions share.
macro_rules! version {
    ($name:literal, $version:literal, $template:literal, $readme:expr) => {
        (
            concat!($name, "-", $version),
            [
                ("package.yml", include_str!(concat!("../builtin/", $name, "-", $version, "/package.yml"))),
                ("values.yml", include_str!(concat!("../builtin/", $name, "-", $version, "/values.yml"))),
                (
                    concat!("templates/", $template),
                    include_str!(concat!("../builtin/", $name, "/templates/", $template)),
                ),
                ("README.md", $readme),
            ],
        )
    };
}

const README: &str = include_str!("../builtin/helloworld/README.md");
const DOCKER_README: &str = include_str!("../builtin/helloworld-docker/README.md");

const PACKAGES: [(&str, Files); 4] = [
    version!("helloworld", "1.0.0", "helloworld.yml", README),
    version!("helloworld", "1.0.1", "helloworld.yml", README),
    version!("helloworld-docker", "1.0.0", "template.yml", DOCKER_README),
    version!("helloworld-docker", "1.0.1", "template.yml", DOCKER_README),
];

/// Builds the built-in packages: `helloworld` and `helloworld-docker`, 1.0.0 and 1.0.1 of each. Takes well under a
/// millisecond.
#[must_use]
pub fn packages() -> Vec<Built> {
    PACKAGES.iter().map(|(folder, files)| built(folder, files)).collect()
}

fn built(folder: &str, files: &Files) -> Built {
    let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() };
    let bytes = zip_files(&files.iter().map(file).collect::<Vec<_>>(), folder);
    let package = Package::from_zip(&bytes).expect("built-in packages are tested");
    let metadata = package.metadata().expect("built-in packages are tested");
    Built { metadata, sha256: Sha256::of(&bytes), bytes }
}
