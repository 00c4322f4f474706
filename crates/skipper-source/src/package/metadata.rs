use skipper_core::name::PackageName;

use super::API_VERSION;
use crate::{
    archive::Archive,
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    yaml::{self, Input},
};

/// Longest name and longest version: `name-version` is the name of a folder, of at most 255 bytes.
pub(crate) const MAX_NAME: usize = 128;
pub(crate) const MAX_VERSION: usize = 100;
/// Longest of the short texts, in bytes.
pub(crate) const MAX_WORDS: usize = 1000;
/// Most tags.
const MAX_TAGS: usize = 50;
/// Longest description, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 64 << 10;

/// What `package.yml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The package's name.
    pub name: PackageName,
    /// Its version. By the rules of semver.org in Skipper's own format; packages of the field have any text.
    pub version: String,
    /// A name for people.
    pub display_name: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Who looks after it.
    pub maintainer: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Its home page.
    pub home: Option<String>,
    /// Address of a picture.
    pub icon: Option<String>,
    /// Where it came from.
    pub origin: Option<String>,
    /// Where its source is.
    pub source_url: Option<String>,
    /// Which format it is written in.
    pub api_version: Option<String>,
    /// What it says that it is.
    pub kind: Option<String>,
    /// The tags as one text, as packages of the field have them.
    pub tags_text: Option<String>,
    /// The digest that it says it has. Nobody has checked it.
    pub sha256: Option<String>,
}

/// Reads `package.yml` of the outermost package.
///
/// # Errors
///
/// Every fault in the file at once.
pub fn metadata(archive: &Archive) -> Result<Metadata, Faults> {
    let file = archive.metadata_file();
    let text = file.text().map_err(|error| Finding::error(error.code(), error.to_string()))?;
    let Some(node) = yaml::read_one(Input::plain(&file.path, text))? else {
        return Err(Finding::error("package-empty", "the file says nothing")
            .in_file(&file.path)
            .hint("start with `apiVersion: skipper/v2`, `kind: Package`, `name` and `version`".to_owned())
            .into());
    };
    let document = Document::new(&file.path);
    let read = Field::root(&document, &node).fields().and_then(|fields| read(fields, archive.folder_name()));
    let findings = document.into_findings();
    findings.into_result()?;
    read.ok_or_else(|| Finding::error("package-invalid", "not a package").in_file(&file.path).into())
}

fn read(mut fields: Fields<'_>, folder: Option<&str>) -> Option<Metadata> {
    expect_word(&mut fields, "apiVersion", API_VERSION);
    expect_word(&mut fields, "kind", "Package");
    let name_field = fields.require("name");
    let name = name_field.as_ref().and_then(|field| field.parsed(PackageName::new));
    if let (Some(field), Some(name)) = (&name_field, &name)
        && name.as_str().len() > MAX_NAME
    {
        field.error("value-invalid", format!("must have at most {MAX_NAME} characters"));
    }
    if let (Some(field), Some(name), Some(folder)) = (&name_field, &name, folder)
        && name.as_str() != folder
    {
        let hint = format!("rename the folder or set `name: {folder}`");
        field.error_hint("package-name", format!("the folder of this package is `{folder}`"), hint);
    }
    let version = fields.require("version").and_then(|field| version(&field));
    let mut short = |key| fields.get(key).and_then(|field| field.short_text(MAX_WORDS));
    let (display_name, maintainer, origin) = (short("displayName"), short("maintainer"), short("origin"));
    let [home, icon, source_url] =
        ["home", "icon", "sourceUrl"].map(|key| fields.get(key).and_then(|f| web_address(&f)));
    let description = fields.get("description").and_then(|field| field.short_text(MAX_DESCRIPTION));
    let tags = fields.get("tags").map(|field| tags(&field)).unwrap_or_default();
    fields.finish();
    Some(Metadata {
        name: name?,
        version: version?,
        display_name,
        description,
        maintainer,
        home,
        icon,
        origin,
        source_url,
        api_version: Some(API_VERSION.to_owned()),
        kind: Some("Package".to_owned()),
        tags_text: Some(tags.join(", ")).filter(|text| !text.is_empty()),
        tags,
        sha256: None,
    })
}

/// A key with one accepted value.
pub(crate) fn expect_word(fields: &mut Fields<'_>, key: &'static str, expected: &str) {
    if let Some(field) = fields.require(key)
        && field.text().is_some_and(|text| text != expected)
    {
        field.error("value-invalid", format!("must be `{expected}`"));
    }
}

fn version(field: &Field<'_>) -> Option<String> {
    let text = field.short_text(MAX_VERSION)?;
    semver::Version::parse(&text)
        .map_err(|error| {
            let message = format!("`{text}` is not a version: {error}");
            field.error_hint(
                "value-invalid",
                message,
                "use three numbers and, if need be, a suffix: 1.0.0, 2.1.0-rc.1",
            );
        })
        .ok()
        .map(|version| version.to_string())
}

/// A list of words, or one text with commas.
fn tags(field: &Field<'_>) -> Vec<String> {
    if field.scalar().is_some() {
        return split_tags(&field.short_text(MAX_WORDS).unwrap_or_default());
    }
    field.texts(MAX_TAGS, 100)
}

/// The words of a text with commas.
pub(crate) fn split_tags(text: &str) -> Vec<String> {
    text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).take(MAX_TAGS).collect()
}

/// An address that a page may link to: nothing that a browser would run.
fn web_address(field: &Field<'_>) -> Option<String> {
    let text = field.short_text(MAX_WORDS)?;
    if !["https://", "http://"].iter().any(|scheme| text.starts_with(scheme)) || text.contains(char::is_whitespace) {
        field.error("value-invalid", "must be an address that starts with https:// or http://");
        return None;
    }
    Some(text)
}
