//! Precedence: flag, environment, file, default.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{
    Sources,
    fault::Fault,
    file::{File, Said},
    maven,
    setting::{self, SETTINGS},
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag, with its hyphens.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// A file and line.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One value for `skipper config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Dotted key.
    pub key: String,
    /// The value as text; `[secret]` where it must not be shown, empty where it is not set.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A value with its origin.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// All values by key, and the platform accounts.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) settings: BTreeMap<&'static str, Value>,
    pub(super) platforms: BTreeMap<String, BTreeMap<String, Value>>,
    /// Maven repositories by id.
    pub(super) repositories: BTreeMap<String, BTreeMap<String, Value>>,
    /// Whether the accounts were said at all.
    pub(super) platforms_origin: Origin,
    /// Repositories of packages by name, with their options.
    pub(super) package_repositories: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Merged {
    pub(super) fn get(&self, key: &str) -> &Value {
        self.settings.get(key).expect("every setting of the list is merged")
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        let plain = SETTINGS.iter().map(|setting| {
            let value = self.get(setting.key);
            let hide = setting.secret && !value.text.is_empty();
            let text = if hide { "[secret]".to_owned() } else { value.text.clone() };
            Shown { key: setting.key.to_owned(), value: text, origin: value.origin.clone() }
        });
        let accounts = self.platforms.iter().flat_map(|(name, options)| {
            options.iter().map(move |(option, value)| Shown {
                key: format!("platforms.{name}.{option}"),
                value: value.text.clone(),
                origin: value.origin.clone(),
            })
        });
        let repositories = self.repositories.iter().flat_map(|(id, options)| {
            options.iter().map(move |(option, value)| Shown {
                key: format!("maven.repositories.{id}.{option}"),
                value: if maven::is_secret(option, &value.text) { "[secret]".to_owned() } else { value.text.clone() },
                origin: value.origin.clone(),
            })
        });
        let sources = self.package_repositories.iter().flat_map(|(name, options)| {
            options.iter().map(move |(option, value)| Shown {
                key: format!("repositories.{name}.{option}"),
                value: if option == "url" { crate::repository::shown_url(&value.text) } else { value.text.clone() },
                origin: value.origin.clone(),
            })
        });
        plain.chain(repositories).chain(accounts).chain(sources).collect()
    }
}

/// Merges. The file's faults have been reported already.
pub(super) fn merge(sources: &Sources, file: &File, faults: &mut Vec<Fault>) -> Merged {
    for unknown in sources.flags.keys().filter(|key| setting::find(key).is_none()) {
        faults.push(Fault { place: format!("flag {unknown}"), message: format!("there is no setting `{unknown}`") });
    }
    let mut settings: BTreeMap<&'static str, Value> =
        SETTINGS.iter().map(|setting| (setting.key, choose(sources, file, setting))).collect();
    host_and_port(sources, &mut settings);
    let origin = |said: &Said| file.path.clone().map_or(Origin::Default, |path| Origin::File(path, said.line));
    let entries = |said: &BTreeMap<String, BTreeMap<String, Said>>| -> BTreeMap<String, BTreeMap<String, Value>> {
        let options = |options: &BTreeMap<String, Said>| {
            let value = |said: &Said| Value { text: said.text.clone(), origin: origin(said) };
            options.iter().map(|(option, said)| (option.clone(), value(said))).collect()
        };
        said.iter().map(|(name, said)| (name.clone(), options(said))).collect()
    };
    let mut platforms = entries(&file.platforms);
    let repositories = entries(&file.repositories);
    let platforms_origin = if platforms.is_empty() {
        let local = Value { text: "local".to_owned(), origin: Origin::Default };
        platforms.insert("local".to_owned(), [("type".to_owned(), local)].into());
        Origin::Default
    } else {
        file.path.clone().map_or(Origin::Default, |path| Origin::File(path, 1))
    };
    let package_repositories = file.package_repositories.iter().map(|(name, options)| {
        let options = options
            .iter()
            .map(|(option, said)| (option.clone(), Value { text: said.text.clone(), origin: origin(said) }));
        (name.clone(), options.collect())
    });
    let package_repositories = package_repositories.collect();
    Merged { settings, platforms, repositories, platforms_origin, package_repositories }
}

fn choose(sources: &Sources, file: &File, setting: &setting::Setting) -> Value {
    let absolute = |text: &str, base: &std::path::Path| {
        if setting.path && !text.is_empty() { base.join(text).display().to_string() } else { text.to_owned() }
    };
    if let Some(text) = sources.flags.get(setting.key) {
        let flag = format!("--{}", setting.key.replace(['_', '.'], "-"));
        return Value { text: absolute(text, &sources.working_dir), origin: Origin::Flag(flag) };
    }
    let from_env = |name: &'static str| Some((name, sources.env.get(name).filter(|value| !value.is_empty())?));
    if let Some((name, text)) = setting.env.iter().copied().find_map(from_env) {
        return Value { text: absolute(text, &sources.working_dir), origin: Origin::Env(name.to_owned()) };
    }
    if let (Some(said), Some(path)) = (file.settings.get(setting.key), &file.path) {
        let base = path.parent().unwrap_or(&sources.working_dir);
        return Value { text: absolute(&said.text, base), origin: Origin::File(path.clone(), said.line) };
    }
    let text = match setting.key {
        "data_dir" => sources.default_data_dir.display().to_string(),
        _ => setting.default.to_owned(),
    };
    Value { text, origin: Origin::Default }
}

/// HOST and PORT replace their half of `listen`, unless a flag or SKIPPER_LISTEN said the whole.
fn host_and_port(sources: &Sources, settings: &mut BTreeMap<&'static str, Value>) {
    let var = |name: &str| sources.env.get(name).filter(|value| !value.is_empty());
    let (host, port) = (var("HOST"), var("PORT"));
    let Some(listen) = settings.get_mut("listen") else { return };
    if (host.is_none() && port.is_none()) || matches!(listen.origin, Origin::Flag(_) | Origin::Env(_)) {
        return;
    }
    let first = listen.text.split(',').next().unwrap_or_default().trim().to_owned();
    let (old_host, old_port) = first.rsplit_once(':').unwrap_or((first.as_str(), "7577"));
    let host_text = match host {
        Some(v6) if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]"),
        Some(name) => name.clone(),
        None => old_host.to_owned(),
    };
    let names: Vec<&str> = [("HOST", host), ("PORT", port)].iter().filter(|v| v.1.is_some()).map(|v| v.0).collect();
    *listen = Value {
        text: format!("{host_text}:{}", port.map_or(old_port, String::as_str)),
        origin: Origin::Env(names.join(" and ")),
    };
}
