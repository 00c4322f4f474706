//! Which file of a package is what.

use std::collections::BTreeMap;

use super::{Error, bounds, path};

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path with slashes, relative to the outermost package: `packages/db/templates/db.yml`.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl File {
    /// The bytes as text; a leading byte order mark is left out.
    ///
    /// # Errors
    ///
    /// [`Error::NotText`] when they are not UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| Error::NotText(self.path.clone()))?;
        Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
    }
}

/// A package and the packages within it, as files. What they say is not looked at yet, except that it is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The folder it is in, with a slash at its end: empty for the outermost, else `packages/db/`.
    folder: String,
    metadata: File,
    values: Option<File>,
    schema: Option<File>,
    templates: Vec<File>,
    packages: Vec<Archive>,
    others: Vec<File>,
}

const METADATA: [&str; 2] = ["package.yml", "package.yaml"];
const VALUES: [&str; 2] = ["values.yml", "values.yaml"];
const SCHEMA: [&str; 3] = ["values.schema.json", "values.schema.yml", "values.schema.yaml"];

impl Archive {
    /// Sorts files into a package.
    ///
    /// # Errors
    ///
    /// An [`Error`] for a path that is not accepted, a missing `package.yml`, a file that is not text or out of place, or
    /// packages nested too deep.
    pub fn from_files(files: Vec<File>) -> Result<Self, Error> {
        let mut names = path::Names::default();
        for file in &files {
            names.file(path::check(&file.path)?)?;
        }
        names.finish()?;
        let archive = Self::sort(String::new(), files, 0)?;
        let count = archive.tree().len();
        if count > bounds::PACKAGES {
            return Err(Error::too_large(format!("the number of packages, {count},"), bounds::PACKAGES.to_string()));
        }
        let templates: usize = archive.tree().iter().flat_map(|a| &a.templates).map(|file| file.bytes.len()).sum();
        if templates > bounds::TEMPLATE_BYTES {
            let bound = format!("{} MiB", bounds::TEMPLATE_BYTES >> 20);
            return Err(Error::too_large("the size of all templates together", bound));
        }
        Ok(archive)
    }

    fn sort(folder: String, files: Vec<File>, depth: usize) -> Result<Self, Error> {
        if depth > bounds::NESTING {
            return Err(Error::too_large(
                format!("the nesting of `{folder}`"),
                format!("{} packages", bounds::NESTING),
            ));
        }
        let (mut metadata, mut values, mut schema) = (None, None, None);
        let (mut templates, mut others) = (Vec::new(), Vec::new());
        let mut inner: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for file in files {
            let relative = file.path[folder.len()..].to_owned();
            if METADATA.contains(&relative.as_str()) {
                only(&mut metadata, file)?;
            } else if VALUES.contains(&relative.as_str()) {
                only(&mut values, file)?;
            } else if SCHEMA.contains(&relative.as_str()) {
                only(&mut schema, file)?;
            } else if let Some(template) = relative.strip_prefix("templates/") {
                let is_yaml = template.ends_with(".yml") || template.ends_with(".yaml");
                if is_yaml { templates.push(file) } else { others.push(file) }
            } else if let Some(rest) = relative.strip_prefix("packages/") {
                match rest.split_once('/') {
                    Some((name, _)) => inner.entry(name.to_owned()).or_default().push(file),
                    None if rest.ends_with(".zip") => {
                        let reason = "a package within a package is a folder, not a zip; unpack it";
                        return Err(Error::Misplaced { path: file.path, reason });
                    }
                    None => others.push(file),
                }
            } else {
                others.push(file);
            }
        }
        let metadata = metadata.ok_or_else(|| Error::NoMetadata(folder.clone()))?;
        for file in [Some(&metadata), values.as_ref(), schema.as_ref()].into_iter().flatten().chain(&templates) {
            file.text()?;
        }
        let packages = inner
            .into_iter()
            .map(|(name, files)| Self::sort(format!("{folder}packages/{name}/"), files, depth + 1))
            .collect::<Result<_, _>>()?;
        Ok(Self { folder, metadata, values, schema, templates, packages, others })
    }

    /// Name of the folder of a package within a package; `None` for the outermost.
    #[must_use]
    pub fn folder_name(&self) -> Option<&str> {
        self.folder.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// `package.yml`.
    #[must_use]
    pub const fn metadata_file(&self) -> &File {
        &self.metadata
    }

    /// `values.yml`.
    #[must_use]
    pub const fn values_file(&self) -> Option<&File> {
        self.values.as_ref()
    }

    /// `values.schema.json`, or as YAML.
    #[must_use]
    pub const fn schema_file(&self) -> Option<&File> {
        self.schema.as_ref()
    }

    /// `templates/**/*.yml`, by path.
    #[must_use]
    pub fn templates(&self) -> &[File] {
        &self.templates
    }

    /// The packages directly within this one, by name of their folder.
    #[must_use]
    pub fn packages(&self) -> &[Self] {
        &self.packages
    }

    /// Files that are kept and not looked at, by path.
    #[must_use]
    pub fn others(&self) -> &[File] {
        &self.others
    }

    /// The README, as text, if there is one.
    #[must_use]
    pub fn readme(&self) -> Option<&str> {
        let readme = self.others.iter().find(|f| f.path[self.folder.len()..].eq_ignore_ascii_case("readme.md"))?;
        readme.text().ok()
    }

    /// This package and all within it, outermost first.
    #[must_use]
    pub fn tree(&self) -> Vec<&Self> {
        let mut all = vec![self];
        all.extend(self.packages.iter().flat_map(Self::tree));
        all
    }

    pub(super) fn all_files(&self) -> Vec<&File> {
        let own = [Some(&self.metadata), self.values.as_ref(), self.schema.as_ref()];
        let own = own.into_iter().flatten().chain(&self.templates).chain(&self.others);
        own.chain(self.packages.iter().flat_map(Self::all_files)).collect()
    }
}

/// Takes a file into a place that holds one.
fn only(place: &mut Option<File>, file: File) -> Result<(), Error> {
    if place.is_some() {
        return Err(Error::Misplaced {
            path: file.path,
            reason: "the same file is there under another ending; keep one",
        });
    }
    *place = Some(file);
    Ok(())
}
