//! `skipper.toml`: TOML into keys with text, each with its line. Knows no types.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Sources,
    expand::expand,
    fault::Fault,
    setting::{self, SETTINGS},
};

/// Far more than any configuration; keeps a wrong path (a log, a device) from being swallowed.
const MAX_BYTES: u64 = 1 << 20;

/// A value of the file.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The file, if there is one.
    pub(super) path: Option<PathBuf>,
    /// Settings by dotted key.
    pub(super) settings: BTreeMap<String, Said>,
    /// Platform accounts: name, then option.
    pub(super) platforms: BTreeMap<String, BTreeMap<String, Said>>,
    /// Repositories of packages: name, then option.
    pub(super) package_repositories: BTreeMap<String, BTreeMap<String, Said>>,
    /// Registries of images: name, then option.
    pub(super) registries: BTreeMap<String, BTreeMap<String, Said>>,
    /// Maven repositories: id, then option.
    pub(super) repositories: BTreeMap<String, BTreeMap<String, Said>>,
}

impl File {
    /// `skipper.toml:12`.
    pub(super) fn place(&self, line: usize) -> String {
        self.path.as_ref().map_or_else(String::new, |path| format!("{}:{line}", path.display()))
    }
}

/// Reads the file that was named, or the first of those to look for.
pub(super) fn read(sources: &Sources, faults: &mut Vec<Fault>) -> File {
    let path = match &sources.file {
        Some(named) => Some(sources.working_dir.join(named)),
        None => sources.search.iter().find(|path| path.is_file()).cloned(),
    };
    let Some(path) = path else { return File::default() };
    match read_bounded(&path) {
        Ok(text) => parse(&path, &text, &sources.env, faults),
        Err(message) => {
            faults.push(Fault { place: path.display().to_string(), message });
            File::default()
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|cause| format!("the configuration file cannot be read: {cause}"))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err("the configuration file must be a plain file of at most 1 MiB".to_owned());
    }
    fs::read_to_string(path).map_err(|cause| format!("the configuration file cannot be read: {cause}"))
}

/// Parses; pure, for tests.
pub(super) fn parse(path: &Path, text: &str, env: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> File {
    let mut file = File { path: Some(path.to_owned()), ..File::default() };
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |offset: usize| 1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count();
    for error in errors {
        let at = error.span().map_or(1, |span| line(span.start));
        faults.push(Fault { place: file.place(at), message: error.message().to_owned() });
    }
    let mut walk = Walk { file: &mut file, env, line: &line, faults };
    walk.table("", table.get_ref());
    file
}

struct Walk<'a> {
    file: &'a mut File,
    env: &'a BTreeMap<String, String>,
    line: &'a dyn Fn(usize) -> usize,
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn fault(&mut self, line: usize, message: String) {
        self.faults.push(Fault { place: self.file.place(line), message });
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = (self.line)(name.span().start);
            let key =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            match value.get_ref() {
                DeValue::Table(inner) if prefix == "repositories" => {
                    let mut said = BTreeMap::new();
                    self.options(&key, "", inner, &mut said);
                    self.file.package_repositories.insert(name.get_ref().to_string(), said);
                }
                DeValue::Table(inner) if key == "platforms" => self.file.platforms = self.entries(&key, inner),
                DeValue::Table(inner) if key == "registries" => self.file.registries = self.entries(&key, inner),
                DeValue::Table(inner) if key == "maven.repositories" => {
                    self.file.repositories = self.entries(&key, inner);
                }
                DeValue::Table(inner) if SETTINGS.iter().any(|s| s.key.starts_with(&format!("{key}."))) => {
                    self.table(&key, inner);
                }
                other if setting::find(&key).is_some() => {
                    if let Some(text) = self.text(&key, line, other) {
                        self.file.settings.insert(key, Said { text, line });
                    }
                }
                _ => self.unknown(&key, line),
            }
        }
    }

    fn unknown(&mut self, key: &str, line: usize) {
        let sections = SETTINGS.iter().filter_map(|s| s.key.split_once('.').map(|(section, _)| section));
        let known = SETTINGS.iter().map(|s| s.key).chain(sections).chain(["platforms", "registries"]);
        let hint = setting::nearest(key, known).map_or_else(
            || "`skipper config show` lists the known ones".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.fault(line, format!("unknown key `{key}`; {hint}"));
    }

    /// A table of named entries, each with options.
    fn entries(&mut self, table: &str, entries: &DeTable<'_>) -> BTreeMap<String, BTreeMap<String, Said>> {
        let mut all = BTreeMap::new();
        for (name, value) in entries {
            let line = (self.line)(name.span().start);
            let key = format!("{table}.{}", name.get_ref());
            let DeValue::Table(options) = value.get_ref() else {
                self.fault(line, format!("`{key}` is not a table; write [{key}]"));
                continue;
            };
            let mut said = BTreeMap::new();
            self.options(&key, "", options, &mut said);
            all.insert(name.get_ref().to_string(), said);
        }
        all
    }

    /// Options, those of tables within by their dotted names.
    fn options(&mut self, key: &str, prefix: &str, options: &DeTable<'_>, said: &mut BTreeMap<String, Said>) {
        for (option, value) in options {
            let line = (self.line)(option.span().start);
            let name = format!("{prefix}{}", option.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => self.options(key, &format!("{name}."), inner, said),
                value => {
                    if let Some(text) = self.text(&format!("{key}.{name}"), line, value) {
                        said.insert(name, Said { text, line });
                    }
                }
            }
        }
    }

    /// A value as text, with variables expanded. Lists are written with commas.
    fn text(&mut self, key: &str, line: usize, value: &DeValue<'_>) -> Option<String> {
        let result = match value {
            DeValue::String(text) => expand(text, self.env),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Float(number) => Ok(number.to_string()),
            DeValue::Boolean(yes) => Ok(yes.to_string()),
            DeValue::Array(items) => {
                let parts: Option<Vec<String>> =
                    items.iter().map(|item| self.text(key, line, item.get_ref())).collect();
                return parts.map(|parts| parts.join(","));
            }
            DeValue::Datetime(_) | DeValue::Table(_) => Err(format!("is not a {}", value.type_str())),
        };
        match result {
            Ok(text) => Some(text),
            Err(message) => {
                self.fault(line, format!("`{key}`: {message}"));
                None
            }
        }
    }
}
