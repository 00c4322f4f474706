//! The packages of the demo: written as files, so that whoever keeps the demo can read and change them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use skipper_source::{Archive, Built};

const VALUES: &str = include_str!("package/values.yml");
const TEMPLATE: &str = include_str!("package/templates/web.yml");

/// One version of the package `hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
    /// Its application never gets healthy.
    Broken,
}

impl Version {
    pub(super) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Broken];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::One => "1.0.0",
            Self::Two => "2.0.0",
            Self::Broken => "3.0.0",
        }
    }

    /// Writes the package's files below `folder`; the answer is the package's own folder.
    pub(super) fn write(self, folder: &Path, port: u16) -> anyhow::Result<PathBuf> {
        let package = folder.join(format!("hello-{}", self.text()));
        let mut values = VALUES.replace("VERSION", self.text()).replace("port: 9090", &format!("port: {port}"));
        if self == Self::Broken {
            values = values.replace("readyAfter: \"0\"", "readyAfter: never").replace("30s", "1s");
        }
        let metadata = format!(
            "apiVersion: skipper/v2\nkind: Package\nname: hello\nversion: {}\ndescription: The sample application of \
             the demo\n",
            self.text()
        );
        let templates = package.join("templates");
        std::fs::create_dir_all(&templates).with_context(|| format!("create {}", templates.display()))?;
        for (path, text) in [
            (package.join("package.yml"), metadata.as_str()),
            (package.join("values.yml"), values.as_str()),
            (templates.join("web.yml"), TEMPLATE),
        ] {
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(package)
    }
}

/// Reads and zips what [`Version::write`] wrote.
pub(super) fn build(package: &Path) -> anyhow::Result<Built> {
    let archive = Archive::from_dir(package).with_context(|| format!("read {}", package.display()))?;
    skipper_source::build(&archive).with_context(|| format!("build {}", package.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skipper_core::name::{PlatformName, ReleaseName};
    use skipper_source::RenderOptions;

    use super::*;

    #[test]
    fn every_version_of_the_demo_package_renders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for version in Version::ALL {
            let package = version.write(folder.path(), 9191).expect("the files are written");
            let built = build(&package).expect("it is a package");
            assert_eq!(built.metadata.version.to_string(), version.text());
            let options = RenderOptions {
                release: ReleaseName::new("hello").expect("a name"),
                revision: 1,
                platform: PlatformName::new("local").expect("a name"),
            };
            let archive = Archive::from_zip(&built.bytes).expect("it reads what it wrote");
            let rendered = skipper_source::render(&archive, &json!({}), &options).expect("it renders");
            assert!(rendered.manifest.contains(version.text()), "{}", rendered.manifest);
            assert_eq!(rendered.spec.applications.len(), 1);
        }
    }
}
