//! Precedence: flag, environment, file, default. Of each of them, what was said in Spring's way comes right after Skipper's
//! own.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{
    Sources, account, engine,
    fault::Fault,
    file::{File, Said},
    maven, registries,
    setting::{self, SETTINGS},
    spring::{self, Native, Strength, Translated},
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

/// Named entries, each with options.
pub(super) type Entries = BTreeMap<String, BTreeMap<String, Value>>;

/// All values by key, and the platform accounts.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) settings: BTreeMap<&'static str, Value>,
    pub(super) platforms: Entries,
    /// Maven repositories by id.
    pub(super) repositories: Entries,
    /// Registries of images by name.
    pub(super) registries: Entries,
    /// Whether the accounts were said at all.
    pub(super) platforms_origin: Origin,
    /// Repositories of packages by name, with their options.
    pub(super) package_repositories: Entries,
    /// Whether Spring's configuration names some, which then are all.
    pub(super) spring_repositories: bool,
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
                value: if engine::is_secret(option) { "[secret]".to_owned() } else { value.text.clone() },
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
        let registries = self.registries.iter().flat_map(|(name, options)| {
            options.iter().map(move |(option, value)| Shown {
                key: format!("registries.{name}.{option}"),
                value: if registries::is_secret(option) { "[secret]".to_owned() } else { value.text.clone() },
                origin: value.origin.clone(),
            })
        });
        plain.chain(repositories).chain(accounts).chain(registries).chain(sources).collect()
    }
}

/// Merges. The file's faults have been reported already.
pub(super) fn merge(
    sources: &Sources,
    file: &File,
    spring: &Translated,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Merged {
    for unknown in sources.flags.keys().filter(|key| setting::find(key).is_none()) {
        faults.push(Fault { place: format!("flag {unknown}"), message: format!("there is no setting `{unknown}`") });
    }
    let mut settings: BTreeMap<&'static str, Value> =
        SETTINGS.iter().map(|setting| (setting.key, choose(sources, file, spring, setting))).collect();
    halves_of_listen(sources, spring, &mut settings);
    let origin = |said: &Said| file.path.clone().map_or(Origin::Default, |path| Origin::File(path, said.line));
    let entries = |said: &BTreeMap<String, BTreeMap<String, Said>>| -> Entries {
        let options = |options: &BTreeMap<String, Said>| {
            let value = |said: &Said| Value { text: said.text.clone(), origin: origin(said) };
            options.iter().map(|(option, said)| (option.clone(), value(said))).collect()
        };
        said.iter().map(|(name, said)| (name.clone(), options(said))).collect()
    };
    let mut platforms = entries(&file.platforms);
    let registries = entries(&file.registries);
    let mut repositories = entries(&file.repositories);
    let mut package_repositories = entries(&file.package_repositories);
    let mut platforms_origin = file.path.clone().map_or(Origin::Default, |path| Origin::File(path, 1));
    for (key, said) in &spring.values {
        let (table, name, option) = match key {
            Native::Setting(key) if setting::find(key).is_some() => continue,
            Native::Entry { table: "platforms", name, option } if account::is_option(option) => {
                platforms_origin = said.origin.clone();
                (&mut platforms, name, option)
            }
            Native::Entry { table: "maven.repositories", name, option } if maven::is_option(option) => {
                (&mut repositories, name, option)
            }
            Native::Entry { table: "repositories", name, option } if super::repositories::is_option(option) => {
                (&mut package_repositories, name, option)
            }
            Native::Setting(_) | Native::Entry { .. } => {
                let message = format!("it says `{key}`, which has no effect in this version");
                warnings.push(Fault { place: said.origin.to_string(), message });
                continue;
            }
        };
        let value = Value { text: said.text.clone(), origin: said.origin.clone() };
        let options = table.entry(name.clone()).or_default();
        match said.strength {
            // Skipper's own file is stronger than Spring's.
            Strength::File => _ = options.entry(option.clone()).or_insert(value),
            Strength::Variable | Strength::Argument => _ = options.insert(option.clone(), value),
        }
    }
    let spring_repositories =
        spring.values.keys().any(|key| matches!(key, Native::Entry { table: "repositories", .. }));
    if platforms.is_empty() {
        platforms_origin = Origin::Default;
        if spring.no_local.is_none() {
            let local = Value { text: "local".to_owned(), origin: Origin::Default };
            platforms.insert("local".to_owned(), [("type".to_owned(), local)].into());
        }
    }
    Merged {
        settings,
        platforms,
        repositories,
        registries,
        platforms_origin,
        package_repositories,
        spring_repositories,
    }
}

/// The strongest that anybody says.
fn choose(sources: &Sources, file: &File, spring: &Translated, setting: &setting::Setting) -> Value {
    let absolute = |text: &str, base: &std::path::Path| {
        if setting.path && !text.is_empty() { base.join(text).display().to_string() } else { text.to_owned() }
    };
    let in_spring = |strength: Strength| {
        let said = spring.values.get(&Native::Setting(setting.key.to_owned()))?;
        (said.strength == strength)
            .then(|| Value { text: absolute(&said.text, &sources.working_dir), origin: said.origin.clone() })
    };
    let flag = || {
        let text = sources.flags.get(setting.key)?;
        let flag = format!("--{}", setting.key.replace(['_', '.'], "-"));
        Some(Value { text: absolute(text, &sources.working_dir), origin: Origin::Flag(flag) })
    };
    let variable = || {
        let from_env = |name: &'static str| Some((name, sources.env.get(name).filter(|value| !value.is_empty())?));
        let (name, text) = setting.env.iter().copied().find_map(from_env)?;
        Some(Value { text: absolute(text, &sources.working_dir), origin: Origin::Env(name.to_owned()) })
    };
    let in_file = || {
        let (said, path) = (file.settings.get(setting.key)?, file.path.as_ref()?);
        let base = path.parent().unwrap_or(&sources.working_dir);
        Some(Value { text: absolute(&said.text, base), origin: Origin::File(path.clone(), said.line) })
    };
    flag()
        .or_else(|| in_spring(Strength::Argument))
        .or_else(variable)
        .or_else(|| in_spring(Strength::Variable))
        .or_else(in_file)
        .or_else(|| in_spring(Strength::File))
        .unwrap_or_else(|| Value {
            text: match setting.key {
                "data_dir" => sources.default_data_dir.display().to_string(),
                _ => setting.default.to_owned(),
            },
            origin: Origin::Default,
        })
}

/// HOST and PORT, and Spring's `server.address` and `server.port`, replace their half of a `listen` that is weaker.
fn halves_of_listen(sources: &Sources, spring: &Translated, settings: &mut BTreeMap<&'static str, Value>) {
    let Some(listen) = settings.get_mut("listen") else { return };
    // Of each strength Skipper's own comes after Spring's and replaces it.
    let strength = match listen.origin {
        Origin::Default => None,
        Origin::File(..) => Some(Strength::File),
        Origin::Env(_) => Some(Strength::Variable),
        Origin::Flag(_) => return,
    };
    let of_spring = |wanted: Strength, said: &Option<spring::Said>| {
        said.clone().filter(|said| said.strength == wanted).map(|said| (said.text, said.origin))
    };
    let var = |name: &str| {
        let text = sources.env.get(name).filter(|value| !value.is_empty())?;
        Some((text.clone(), Origin::Env(name.to_owned())))
    };
    for wanted in [Strength::File, Strength::Variable, Strength::Argument] {
        if strength.is_some_and(|strength| strength >= wanted) {
            continue;
        }
        replace(listen, of_spring(wanted, &spring.address), of_spring(wanted, &spring.port));
        if wanted == Strength::Variable {
            replace(listen, var("HOST"), var("PORT"));
        }
    }
}

/// Replaces host or port, or both, of the first address.
fn replace(listen: &mut Value, host: Option<(String, Origin)>, port: Option<(String, Origin)>) {
    let first = listen.text.split(',').next().unwrap_or_default().trim().to_owned();
    let (old_host, old_port) = first.rsplit_once(':').unwrap_or((first.as_str(), "7577"));
    let origin = match (&host, &port) {
        (Some((_, Origin::Env(host))), Some((_, Origin::Env(port)))) => Origin::Env(format!("{host} and {port}")),
        (_, Some((_, origin))) | (Some((_, origin)), None) => origin.clone(),
        (None, None) => return,
    };
    let host = match host {
        Some((v6, _)) if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]"),
        Some((name, _)) => name,
        None => old_host.to_owned(),
    };
    let port = port.map_or_else(|| old_port.to_owned(), |(port, _)| port);
    *listen = Value { text: format!("{host}:{port}"), origin };
}
