//! The packages that are in the binary, so that the first steps need no network.

use crate::{
    archive::{Archive, File},
    package::{self, Built},
};

/// Name of the repository that holds them.
pub const REPOSITORY: &str = "experimental";

/// Files that both versions of `helloworld` share.
const HELLOWORLD: [(&str, &str); 3] = [
    ("values.schema.json", include_str!("../builtin/helloworld/values.schema.json")),
    ("templates/helloworld.yml", include_str!("../builtin/helloworld/templates/helloworld.yml")),
    ("README.md", include_str!("../builtin/helloworld/README.md")),
];

const HELLOWORLD_1_0_0: [(&str, &str); 2] = [
    ("package.yml", include_str!("../builtin/helloworld-1.0.0/package.yml")),
    ("values.yml", include_str!("../builtin/helloworld-1.0.0/values.yml")),
];

const HELLOWORLD_1_0_1: [(&str, &str); 2] = [
    ("package.yml", include_str!("../builtin/helloworld-1.0.1/package.yml")),
    ("values.yml", include_str!("../builtin/helloworld-1.0.1/values.yml")),
];

/// Builds the built-in packages: `helloworld` 1.0.0 and 1.0.1. Takes well under a millisecond.
#[must_use]
pub fn packages() -> Vec<Built> {
    [HELLOWORLD_1_0_0, HELLOWORLD_1_0_1].into_iter().map(|own| helloworld(&own)).collect()
}

fn helloworld(own: &[(&str, &str)]) -> Built {
    let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() };
    let files = own.iter().chain(&HELLOWORLD).map(file).collect();
    let archive = Archive::from_files(files).expect("built-in packages are tested");
    package::build(&archive).expect("built-in packages are tested")
}
