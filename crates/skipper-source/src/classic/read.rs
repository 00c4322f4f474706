//! Which file of a package is what.

use std::collections::BTreeMap;

use super::metadata;
use crate::{
    archive::{Error, File, bounds},
    finding::Faults,
    package::Metadata,
};

/// A package of the field and those within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The folder it is in, with a slash at its end; empty for the outermost.
    folder: String,
    metadata: File,
    values: Option<File>,
    templates: Vec<File>,
    packages: Vec<Package>,
    manifests: Vec<File>,
}

/// A template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template<'a> {
    /// Its file name, which manifests mention.
    pub name: &'a str,
    /// Its file, as messages call it.
    pub path: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl Package {
    /// Sorts files, whose paths were checked, into a package. Files that mean nothing are left out.
    pub(crate) fn from_files(files: Vec<File>) -> Result<Self, Error> {
        let package = Self::sort(String::new(), files, 0)?;
        let (mut count, mut templates) = (0, 0);
        package.visit(&mut |package| {
            count += 1;
            templates += package.templates.iter().map(|file| file.bytes.len()).sum::<usize>();
        });
        if count > bounds::PACKAGES {
            return Err(Error::too_large(format!("the number of packages, {count},"), bounds::PACKAGES.to_string()));
        }
        if templates > bounds::TEMPLATE_BYTES {
            let bound = format!("{} MiB", bounds::TEMPLATE_BYTES >> 20);
            return Err(Error::too_large("the size of all templates together", bound));
        }
        Ok(package)
    }

    fn sort(folder: String, files: Vec<File>, depth: usize) -> Result<Self, Error> {
        if depth > bounds::NESTING {
            return Err(Error::too_large(
                format!("the nesting of `{folder}`"),
                format!("{} packages", bounds::NESTING),
            ));
        }
        let (mut metadata, mut values) = (None, None);
        let (mut templates, mut manifests) = (Vec::new(), Vec::new());
        let mut inner: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for file in files {
            let relative = file.path[folder.len()..].to_owned();
            match relative.split_once('/') {
                None if is_metadata(&relative) => only(&mut metadata, file)?,
                None if is_called(&relative, "values") => only(&mut values, file)?,
                None if relative.ends_with("manifest.yml") || relative.ends_with("manifest.yaml") => {
                    manifests.push(file);
                }
                Some(("templates", name)) if !name.contains('/') && is_template(name) => templates.push(file),
                Some((packages, rest)) if packages.eq_ignore_ascii_case("packages") => match rest.split_once('/') {
                    // As it is spelt in the path, so that what is cut off later fits.
                    Some((name, _)) => inner.entry(format!("{folder}{packages}/{name}/")).or_default().push(file),
                    None => {
                        let reason = "packages/ holds a folder for each package within this one, and nothing else";
                        return Err(Error::Misplaced { path: file.path, reason });
                    }
                },
                _ => {}
            }
        }
        let metadata = metadata.ok_or_else(|| Error::NoMetadata(folder.clone()))?;
        for file in [Some(&metadata), values.as_ref()].into_iter().flatten().chain(&templates) {
            file.text()?;
        }
        let packages =
            inner.into_iter().map(|(folder, files)| Self::sort(folder, files, depth + 1)).collect::<Result<_, _>>()?;
        Ok(Self { folder, metadata, values, templates, packages, manifests })
    }

    /// `package.yml`.
    #[must_use]
    pub const fn metadata_file(&self) -> &File {
        &self.metadata
    }

    /// What the package says of itself.
    ///
    /// # Errors
    ///
    /// Every fault in the file at once.
    pub fn metadata(&self) -> Result<Metadata, Faults> {
        metadata::metadata(&self.metadata)
    }

    /// `values.yml`.
    #[must_use]
    pub const fn values_file(&self) -> Option<&File> {
        self.values.as_ref()
    }

    /// The values as they were written, comments included; empty when there are none.
    #[must_use]
    pub fn values_text(&self) -> &str {
        self.values.as_ref().and_then(|file| file.text().ok()).unwrap_or_default()
    }

    /// The templates, by name.
    pub fn templates(&self) -> impl Iterator<Item = Template<'_>> {
        self.templates.iter().map(|file| Template {
            name: file.path.rsplit('/').next().unwrap_or_default(),
            path: &file.path,
            text: file.text().unwrap_or_default(),
        })
    }

    /// The packages directly within this one, by name of their folder.
    #[must_use]
    pub fn packages(&self) -> &[Self] {
        &self.packages
    }

    /// Files that end in `manifest.yml` beside the metadata; they are kept with the package.
    #[must_use]
    pub fn manifests(&self) -> &[File] {
        &self.manifests
    }

    /// Goes through this package and all within it, outermost first.
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        self.packages.iter().for_each(|package| package.visit(see));
    }
}

/// Whether a file name is that of the metadata.
pub(crate) fn is_metadata(name: &str) -> bool {
    is_called(name, "package")
}

fn is_called(name: &str, stem: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix(stem).is_some_and(|ending| matches!(ending, ".yml" | ".yaml"))
}

/// The ending is asked for without its dot, as the original does.
fn is_template(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with("yml") || name.ends_with("yaml"))
}

/// Takes a file into a place that holds one.
fn only(place: &mut Option<File>, file: File) -> Result<(), Error> {
    if place.is_some() {
        return Err(Error::Misplaced {
            path: file.path,
            reason: "the same file is there under another spelling; keep one",
        });
    }
    *place = Some(file);
    Ok(())
}
