//! A starter package.

use skipper_core::name::PackageName;

use crate::{archive::File, yaml};

/// The word in the files that stands for the package's name.
const NAME: &str = "NAME";

/// The files of a commented starter package that renders and runs as it is. Paths are relative to its folder.
#[must_use]
pub fn files(name: &PackageName) -> Vec<File> {
    let in_yaml = yaml::scalar_text(name.as_str());
    let files = [
        ("package.yml", include_str!("../scaffold/package.yml").replace(NAME, &in_yaml)),
        ("values.yml", include_str!("../scaffold/values.yml").replace(NAME, name.as_str())),
        ("values.schema.json", include_str!("../scaffold/values.schema.json").to_owned()),
        ("templates/app.yml", include_str!("../scaffold/templates/app.yml").to_owned()),
        ("README.md", include_str!("../scaffold/README.md").replace(NAME, name.as_str())),
    ];
    files.into_iter().map(|(path, text)| File { path: path.to_owned(), bytes: text.into_bytes() }).collect()
}
