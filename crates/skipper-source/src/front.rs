//! One front for packages of either format: Skipper's own and that of the field.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use crate::{
    archive::{Archive, Error, File, path},
    classic::{self, ApiVersion, yaml::Generation},
    finding::{Faults, Finding, Severity},
    lint,
    package::{self, Metadata, RenderOptions, Rendered},
    values,
};

/// What makes a manifest of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renderer {
    /// As Spring Cloud Skipper 1.0 does it: templates filled in, the text kept.
    Classic1,
    /// As Spring Cloud Skipper 2.x does it: the text is read as YAML and written anew.
    Classic2,
    /// Skipper's own way.
    Native,
}

impl Renderer {
    /// All of them, by name.
    pub const ALL: [Self; 3] = [Self::Classic1, Self::Classic2, Self::Native];

    /// `classic-1`, `classic-2`, `native`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic1 => "classic-1",
            Self::Classic2 => "classic-2",
            Self::Native => "native",
        }
    }
}

impl std::fmt::Display for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Renderer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|renderer| renderer.as_str() == text)
            .ok_or_else(|| format!("there is no renderer `{text}`; there are classic-1, classic-2 and native"))
    }
}

/// Values that a user sets.
#[derive(Debug, Clone, Copy)]
pub struct UserValues<'a> {
    /// As a tree; null for none.
    pub tree: &'a Value,
    /// The text they came as, if they did. Packages of the field are rendered with it, since its YAML has other types.
    pub raw: Option<&'a str>,
}

impl<'a> UserValues<'a> {
    /// Values that come as a tree alone.
    #[must_use]
    pub const fn tree(tree: &'a Value) -> Self {
        Self { tree, raw: None }
    }
}

/// What a text of values says, whichever format the package has that it is for: by the rules of Skipper's own format, else by
/// those of the field, which take more. A package that the text is rendered with reads it again by its own rules.
///
/// # Errors
///
/// It is neither, or no map.
pub fn raw_values(name: &str, text: &str) -> Result<Value, Faults> {
    values::parse_file(name, text).or_else(|faults| {
        let user = UserValues { tree: &Value::Null, raw: Some(text) };
        match classic::user_map(user, Generation::Two) {
            Ok(map) => Ok(classic::value::Value::Map(map).to_json()),
            Err(classic) if classic.code() == "values-kind" => Err(classic),
            Err(_) => Err(faults),
        }
    })
}

/// A package, by the format it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Package {
    /// Skipper's own format.
    Native(Archive),
    /// The field's.
    Classic(classic::Package),
}

impl Package {
    /// Reads a package from the bytes of a zip. Its `apiVersion` tells the format.
    ///
    /// # Errors
    ///
    /// [`Error`] for anything that is no zip, breaks a bound, is odd, or holds no `package.yml`.
    pub fn from_zip(bytes: &[u8]) -> Result<Self, Error> {
        Self::of_zip(bytes, None)
    }

    /// The same, to be rendered by a renderer whatever the `apiVersion` says.
    ///
    /// # Errors
    ///
    /// As [`Package::from_zip`].
    pub fn of_zip(bytes: &[u8], renderer: Option<Renderer>) -> Result<Self, Error> {
        let files = crate::archive::unzip(bytes)?;
        let Some(root) = root(&files)? else {
            return Archive::from_files(path::without_top_folder(files)).map(Self::Native);
        };
        if !is_classic(&files, &root, renderer) {
            return Archive::from_files(path::without_top_folder(files)).map(Self::Native);
        }
        // What lies beside the root is nobody's.
        let files = files.into_iter().filter_map(|(path, bytes)| {
            let path = path.strip_prefix(root.as_str())?.to_owned();
            Some(File { path, bytes })
        });
        classic::Package::from_files(files.collect()).map(Self::Classic)
    }

    /// Reads a package from a directory. Links are refused, also to files within it.
    ///
    /// # Errors
    ///
    /// As [`Package::from_zip`], and what the file system says.
    pub fn from_dir(path: &Path, renderer: Option<Renderer>) -> Result<Self, Error> {
        let files = crate::archive::directory_files(path)?;
        let by_path: BTreeMap<String, Vec<u8>> = files.into_iter().map(|file| (file.path, file.bytes)).collect();
        let classic = is_classic(&by_path, "", renderer);
        let files = by_path.into_iter().map(|(path, bytes)| File { path, bytes }).collect();
        if classic {
            return classic::Package::from_files(files).map(Self::Classic);
        }
        Archive::from_files(files).map(Self::Native)
    }

    /// What the package says of itself.
    ///
    /// # Errors
    ///
    /// Every fault in `package.yml` at once.
    pub fn metadata(&self) -> Result<Metadata, Faults> {
        match self {
            Self::Native(archive) => package::metadata(archive),
            Self::Classic(package) => package.metadata(),
        }
    }

    /// The renderer that its `apiVersion` asks for.
    #[must_use]
    pub fn renderer(&self) -> Renderer {
        match self {
            Self::Native(_) => Renderer::Native,
            Self::Classic(package) => match package.metadata_file().text().ok().and_then(classic::api_version) {
                Some(ApiVersion::One) => Renderer::Classic1,
                Some(ApiVersion::Two) | None => Renderer::Classic2,
            },
        }
    }

    /// The values file as it was written; empty when there is none.
    #[must_use]
    pub fn values_text(&self) -> &str {
        match self {
            Self::Native(archive) => archive.values_file().and_then(|file| file.text().ok()).unwrap_or_default(),
            Self::Classic(package) => package.values_text(),
        }
    }

    /// Paths of the templates of the outermost package.
    #[must_use]
    pub fn template_paths(&self) -> Vec<String> {
        match self {
            Self::Native(archive) => archive.templates().iter().map(|file| file.path.clone()).collect(),
            Self::Classic(package) => package.templates().map(|template| template.path.to_owned()).collect(),
        }
    }

    /// The package in Skipper's own format, where it is.
    #[must_use]
    pub const fn native(&self) -> Option<&Archive> {
        match self {
            Self::Native(archive) => Some(archive),
            Self::Classic(_) => None,
        }
    }

    /// Everything there is to say about the package before anybody installs it.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        match self {
            Self::Native(archive) => lint::lint(archive),
            Self::Classic(package) => classic::lint(package),
        }
    }

    /// Renders the package with what the user set. `renderer` overrides the one its `apiVersion` asks for; a package that was
    /// read for one format cannot be rendered by the other.
    ///
    /// # Errors
    ///
    /// Every fault of metadata, values, templates and documents, as far as one does not hide another.
    pub fn render(
        &self,
        values: UserValues<'_>,
        options: &RenderOptions,
        renderer: Option<Renderer>,
    ) -> Result<Rendered, Faults> {
        match (self, renderer.unwrap_or_else(|| self.renderer())) {
            (Self::Native(archive), Renderer::Native) => match values.raw {
                Some(raw) => package::render(archive, &values::parse_file("values", raw)?, options),
                None => package::render(archive, values.tree, options),
            },
            (Self::Classic(package), renderer @ (Renderer::Classic1 | Renderer::Classic2)) => {
                classic::render(package, values, options, renderer)
            }
            (_, renderer) => Err(Finding::error(
                "renderer-unfit",
                format!("the package was read for {}, and cannot be rendered by {renderer}", self.renderer()),
            )
            .into()),
        }
    }

    /// The manifest alone, with what is odd. Documents that are no application of a known kind keep a package of the field from
    /// being installed, and not from being shown: what is wrong with them comes as warnings.
    ///
    /// # Errors
    ///
    /// As [`Package::render`], documents of packages of the field excepted.
    pub fn manifest(
        &self,
        values: UserValues<'_>,
        options: &RenderOptions,
        renderer: Option<Renderer>,
    ) -> Result<(String, Vec<Finding>), Faults> {
        match (self, renderer.unwrap_or_else(|| self.renderer())) {
            (Self::Classic(package), renderer @ (Renderer::Classic1 | Renderer::Classic2)) => {
                let text = classic::manifest(package, values, renderer)?.text;
                let soft = |finding: Finding| Finding { severity: Severity::Warning, ..finding };
                let faults = classic::spec_of(&text, options).err().map(Faults::into_findings).unwrap_or_default();
                Ok((text, faults.into_iter().map(soft).collect()))
            }
            (_, renderer) => self.render(values, options, Some(renderer)).map(|made| (made.manifest, made.warnings)),
        }
    }
}

/// The folder that holds the metadata, with a slash at its end: the top itself, or the one folder at the top that has it.
fn root(files: &BTreeMap<String, Vec<u8>>) -> Result<Option<String>, Error> {
    if files.keys().any(|path| classic::is_metadata(path)) {
        return Ok(Some(String::new()));
    }
    let roots: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.split_once('/'))
        .filter(|(_, name)| classic::is_metadata(name))
        .map(|(folder, _)| folder)
        .collect();
    let mut roots = roots.into_iter();
    match (roots.next(), roots.next()) {
        (Some(one), None) => Ok(Some(format!("{one}/"))),
        (Some(_), Some(other)) => Err(Error::Misplaced {
            path: format!("{other}/"),
            reason: "the archive holds more than one package at its top; a zip is one package",
        }),
        (None, _) => Ok(None),
    }
}

/// Whether the package below `root` is one of the field's, or is to be taken for one.
fn is_classic(files: &BTreeMap<String, Vec<u8>>, root: &str, renderer: Option<Renderer>) -> bool {
    match renderer {
        Some(Renderer::Native) => false,
        Some(Renderer::Classic1 | Renderer::Classic2) => true,
        None => {
            let metadata = files.iter().find(|(path, _)| path.strip_prefix(root).is_some_and(classic::is_metadata));
            metadata
                .and_then(|(_, bytes)| std::str::from_utf8(bytes).ok())
                .is_some_and(|text| classic::api_version(text).is_some())
        }
    }
}
