//! `index.yml`: what a repository offers, one document for each version of a package.
//!
//! Read one document at a time, so that a hundred thousand of them need no more memory than the text, and so that a broken
//! one costs nothing but itself. Everything in it is somebody else's: sizes, counts and depths are bounded, unknown keys and
//! tags are passed over, and what cannot be used is named with its line.

use std::{borrow::Cow, collections::HashMap, fmt, fmt::Write as _};

use granit_parser::{Event, Parser, ScalarStyle};
use skipper_core::{Sha256, name::PackageName};

use crate::yaml::{scalar_text, shorten};

/// Most documents of one index.
pub const MAX_DOCUMENTS: usize = 500_000;
/// Longest document, in bytes.
const MAX_DOCUMENT: usize = 256 << 10;
/// Deepest nesting of what is passed over.
const MAX_DEPTH: usize = 16;
/// Longest version: `name-version` is the name of a folder.
const MAX_VERSION: usize = 100;
/// Longest of the short texts, in bytes.
const MAX_WORDS: usize = 1000;
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 64 << 10;
/// Most tags, and the longest of them in bytes.
const MAX_TAGS: usize = 50;
const MAX_TAG: usize = 100;

/// One version of a package, as an index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The package's name.
    pub name: PackageName,
    /// Its version, as it is written: 1 to 100 bytes, and fit for a file name.
    pub version: String,
    /// How its package.yml is to be read.
    pub api_version: Option<String>,
    /// What it is.
    pub kind: Option<String>,
    /// Where it came from.
    pub origin: Option<String>,
    /// A name for people.
    pub display_name: Option<String>,
    /// Where its source is.
    pub source_url: Option<String>,
    /// Its home page.
    pub home: Option<String>,
    /// Address of a picture.
    pub icon: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The same as one text, as it is written.
    pub tags_text: Option<String>,
    /// Who looks after it.
    pub maintainer: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Digest of its zip.
    pub sha256: Option<Sha256>,
    /// What stands in the place of the digest and is none: nobody can tell whether a zip is the one that is meant.
    pub sha256_wrong: Option<String>,
}

/// A document that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFault {
    /// Its number, counted from 1; empty documents count.
    pub document: usize,
    /// The line of the index it begins in.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {} (line {}): {}", self.document, self.line, self.message)
    }
}

/// The documents of an index, one after the other; empty ones are left out.
#[must_use]
pub fn entries(text: &str) -> Entries<'_> {
    Entries { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, document: 0 }
}

/// Reads an index: see [`entries`].
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a str,
    /// Of the first character of `rest`.
    line: usize,
    /// How many were read.
    document: usize,
}

impl Iterator for Entries<'_> {
    type Item = Result<IndexEntry, IndexFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (text, line) = self.cut();
            self.document += 1;
            let fault = |message: String| IndexFault { document: self.document, line, message };
            if self.document > MAX_DOCUMENTS {
                let fault = fault(format!("an index has at most {MAX_DOCUMENTS} documents; the rest is left out"));
                self.rest = "";
                return Some(Err(fault));
            }
            match document(text) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(message) => return Some(Err(fault(message))),
            }
        }
        None
    }
}

impl<'a> Entries<'a> {
    /// The text of the next document with the line it begins in. Documents are told apart by their `---`, which YAML allows
    /// at the start of a line for nothing else.
    fn cut(&mut self) -> (&'a str, usize) {
        let marks = |line: &str, mark: &str| {
            line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        let (begin, mut lines, mut at) = (self.line, 0, 0);
        // Comments and directives before a `---` belong to what follows it.
        let mut content = false;
        for line in self.rest.split_inclusive('\n') {
            let starts = marks(line, "---");
            if starts && content {
                break;
            }
            content |= starts || !(line.trim().is_empty() || line.starts_with(['#', '%']));
            lines += 1;
            at += line.len();
            if marks(line, "...") {
                break;
            }
        }
        let (text, rest) = self.rest.split_at(at);
        self.rest = rest;
        self.line += lines;
        (text, begin)
    }
}

/// Keys of a document that mean something here.
const KEYS: [&str; 13] = [
    "apiVersion",
    "kind",
    "name",
    "version",
    "origin",
    "displayName",
    "packageSourceUrl",
    "packageHomeUrl",
    TAGS,
    "maintainer",
    "description",
    SHA256,
    "iconUrl",
];
const TAGS: &str = "tags";
const SHA256: &str = "sha256";

/// What a document says under [`KEYS`].
#[derive(Debug, Default)]
struct Said {
    texts: HashMap<&'static str, String>,
    /// `tags`, where it is a list.
    tags: Option<Vec<String>>,
}

/// Reads one document; nothing but comments gives `None`.
fn document(text: &str) -> Result<Option<IndexEntry>, String> {
    if text.len() > MAX_DOCUMENT {
        return Err(format!("longer than {} KiB", MAX_DOCUMENT >> 10));
    }
    said(text)?.map(entry).transpose()
}

/// Where the reader is in the outermost map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    /// The value of a key, which may be none of [`KEYS`].
    Value(Option<&'static str>),
}

fn said(text: &str) -> Result<Option<Said>, String> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut said = Said::default();
    let mut anchors: HashMap<usize, String> = HashMap::new();
    let (mut depth, mut place, mut found) = (0, Place::Key, false);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| format!("not valid YAML: {}", error.info()))?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0
                    && let Event::SequenceStart(_, _, Some(tag)) = &event
                    && let Some(class) = tag.suffix_in_namespace("tag:yaml.org,2002:").filter(|name| name.contains('.'))
                {
                    return Err(format!("names the Java class `{}`, and no object is made of it", shorten(&class)));
                }
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return Err("is a list, and a map with `name` and `version` is expected".to_owned());
                }
                if depth == 1
                    && let Place::Value(Some(key @ ("name" | "version"))) = place
                {
                    let what = if matches!(event, Event::SequenceStart(..)) { "list" } else { "map" };
                    return Err(format!("`{key}` is a {what}, and text is expected"));
                }
                if (depth, place) == (1, Place::Value(Some(TAGS))) && matches!(event, Event::SequenceStart(..)) {
                    said.tags = Some(Vec::new());
                }
                if (depth, place) == (1, Place::Value(Some(SHA256))) {
                    // Said, and no digest: not the same as none.
                    said.texts.insert(SHA256, "…".to_owned());
                }
                (depth, found) = (depth + 1, true);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                if depth == 1 {
                    place = after(place);
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                if anchor != 0 {
                    anchors.insert(anchor, text.clone().into_owned());
                }
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                if depth == 0 && !null {
                    return Err(format!("is the text `{}`, and a map is expected", shorten(&text)));
                }
                scalar(&mut said, depth, &mut place, (!null).then_some(text));
            }
            Event::Alias(id) => {
                let text = anchors.get(&id).map(|text| Cow::Borrowed(text.as_str()));
                let text = if place == Place::Value(Some(SHA256)) { text.or(Some(Cow::Borrowed("…"))) } else { text };
                scalar(&mut said, depth, &mut place, text);
            }
            Event::DocumentStart(..) if found => {
                return Err(format!("a second document begins in its line {} without `---`", span.start.line()));
            }
            _ => {}
        }
    }
    Ok(found.then_some(said))
}

/// A scalar in the outermost map, or in the list of tags, finds its place; any other is passed over.
fn scalar(said: &mut Said, depth: usize, place: &mut Place, text: Option<Cow<'_, str>>) {
    match (depth, *place) {
        (1, Place::Key) => {
            *place = Place::Value(KEYS.into_iter().find(|key| text.as_deref() == Some(key)));
        }
        (1, Place::Value(key)) => {
            // Of a key that is set twice the last one counts, as for everybody who reads such files.
            match (key, text) {
                (Some(key), Some(text)) => drop(said.texts.insert(key, text.into_owned())),
                (Some(key), None) => drop(said.texts.remove(key)),
                (None, _) => {}
            }
            *place = Place::Key;
        }
        (2, Place::Value(Some(TAGS))) => {
            if let (Some(tags), Some(text)) = (&mut said.tags, text)
                && tags.len() < MAX_TAGS
            {
                tags.push(text.into_owned());
            }
        }
        _ => {}
    }
}

/// What comes after a list or a map that was a key or a value.
const fn after(place: Place) -> Place {
    match place {
        Place::Key => Place::Value(None),
        Place::Value(_) => Place::Key,
    }
}

fn entry(mut said: Said) -> Result<IndexEntry, String> {
    let mut text = |key: &'static str, max: usize| {
        let text = said.texts.remove(key).filter(|text| !text.is_empty());
        match text {
            Some(text) if text.len() > max => Err(format!("`{key}` is longer than {max} bytes")),
            Some(text) if text.contains('\0') => Err(format!("`{key}` holds a NUL character")),
            text => Ok(text),
        }
    };
    let name = text("name", 255)?.ok_or("`name` is missing")?;
    let name = PackageName::new(name).map_err(|wrong| wrong.to_string())?;
    let version = text("version", MAX_VERSION)?.ok_or_else(|| format!("`version` of `{name}` is missing"))?;
    if !is_version(&version) {
        return Err(format!("`{}` is not a version of `{name}` that can be part of a file's name", shorten(&version)));
    }
    let tags_text = text(TAGS, MAX_TAGS * (MAX_TAG + 2))?;
    let declared = text(SHA256, MAX_WORDS)?.map(|hex| hex.trim().to_owned()).filter(|hex| !hex.is_empty());
    let sha256: Option<Sha256> = declared.as_ref().and_then(|hex| hex.parse().ok());
    let mut entry = IndexEntry {
        api_version: text("apiVersion", MAX_WORDS)?,
        kind: text("kind", MAX_WORDS)?,
        origin: text("origin", MAX_WORDS)?,
        display_name: text("displayName", MAX_WORDS)?,
        source_url: text("packageSourceUrl", MAX_WORDS)?.filter(|url| is_web(url)),
        home: text("packageHomeUrl", MAX_WORDS)?.filter(|url| is_web(url)),
        icon: text("iconUrl", MAX_WORDS)?.filter(|url| is_web(url)),
        maintainer: text("maintainer", MAX_WORDS)?,
        description: text("description", MAX_DESCRIPTION)?,
        sha256_wrong: declared.filter(|_| sha256.is_none()),
        sha256,
        name,
        version,
        tags: Vec::new(),
        tags_text,
    };
    let words = said.tags.unwrap_or_else(|| entry.tags_text.iter().cloned().collect());
    let words = words.iter().flat_map(|text| text.split(',')).map(str::trim);
    let fits = |tag: &&str| (1..=MAX_TAG).contains(&tag.len()) && !tag.contains('\0');
    entry.tags = words.filter(fits).take(MAX_TAGS).map(str::to_owned).collect();
    if entry.tags_text.is_none() && !entry.tags.is_empty() {
        entry.tags_text = Some(entry.tags.join(", "));
    }
    Ok(entry)
}

/// Whether it is fit for a URL and the name of a file; whether it is one by semver's rules is another question.
#[must_use]
pub fn is_version(text: &str) -> bool {
    (1..=MAX_VERSION).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'~'))
}

/// Whether a page may link to it: nothing that a browser would run.
fn is_web(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.is_empty() || scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Appends an entry to the text of an index, in the form that every reader of this format knows.
pub fn write(out: &mut String, entry: &IndexEntry) {
    let sha256 = entry.sha256.map(|digest| digest.to_string());
    let fields: [(&str, Option<&str>); 13] = [
        ("apiVersion", entry.api_version.as_deref()),
        ("kind", entry.kind.as_deref()),
        ("origin", entry.origin.as_deref()),
        ("name", Some(entry.name.as_str())),
        ("version", Some(&entry.version)),
        ("displayName", entry.display_name.as_deref()),
        ("packageSourceUrl", entry.source_url.as_deref()),
        ("packageHomeUrl", entry.home.as_deref()),
        (TAGS, entry.tags_text.as_deref()),
        ("maintainer", entry.maintainer.as_deref()),
        ("description", entry.description.as_deref()),
        (SHA256, sha256.as_deref().or(entry.sha256_wrong.as_deref())),
        ("iconUrl", entry.icon.as_deref()),
    ];
    out.push_str("---\n");
    for (key, value) in fields {
        if let Some(value) = value {
            let _ = writeln!(out, "{key}: {}", scalar_text(value));
        }
    }
}
