//! Options of accounts with a container engine: `platforms.NAME.*` of the types `docker` and `podman`, and the engines that
//! are there without being named.

use std::{collections::BTreeMap, net::IpAddr};

use skipper_platform::container::{EngineKind, EngineSettings, Pull, RegistryLogin, answers};
use url::Url;

use super::{fault::Fault, merge::Value, registries, setting::nearest};

const OPTIONS: [&str; 6] = ["type", "host", "socket", "network", "pull", "publish"];

/// The engine that a type of account names.
pub(super) fn kind(word: &str) -> Option<EngineKind> {
    [EngineKind::Docker, EngineKind::Podman].into_iter().find(|kind| kind.word() == word)
}

/// Whether an option's value must not be shown.
pub(super) fn is_secret(option: &str) -> bool {
    of_registry(option).is_some_and(|(_, field)| registries::is_secret(field))
}

/// The registry's name and the field; the name of a host has dots of its own.
fn of_registry(option: &str) -> Option<(&str, &str)> {
    option.strip_prefix("registries.")?.rsplit_once('.')
}

/// Reads the options, and names every one that is none. `env` is the server's environment: it says where an engine usually is.
pub(super) fn settings(
    kind: EngineKind,
    account: &str,
    options: &BTreeMap<String, Value>,
    env: &BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) -> EngineSettings {
    let mut said = Said { account, options, faults };
    for option in options.keys() {
        let known = match of_registry(option) {
            Some((name, field)) => !name.is_empty() && registries::FIELDS.contains(&field),
            None => OPTIONS.contains(&option.as_str()),
        };
        if !known {
            let near = nearest(option, OPTIONS).map_or_else(
                || "; of a registry it can be url, username, password and token".to_owned(),
                |near| format!("; did you mean `platforms.{account}.{near}`?"),
            );
            said.fault(option, |key, _| format!("unknown key `{key}`{near}"));
        }
    }
    let socket = said.parse("socket", socket);
    let mut usual = kind.usual_hosts(env);
    usual.sort_by_key(|host| !answers(host));
    EngineSettings {
        host: said.parse("host", host).or(socket).or_else(|| usual.into_iter().next()),
        network: said.text("network"),
        pull: said
            .parse("pull", |word| Pull::parse(word).ok_or_else(|| "is not always, missing or never".to_owned()))
            .unwrap_or_default(),
        publish: said.parse("publish", |ip| ip.parse::<IpAddr>().map_err(|_| "is not an IP address".to_owned())),
        registries: said.registries(),
        logins: None,
        policy: None,
    }
}

/// The path of a socket, as an address.
pub(super) fn socket(path: &str) -> Result<String, String> {
    let path = path.strip_prefix("unix://").unwrap_or(path);
    if path.starts_with('/') { Ok(format!("unix://{path}")) } else { Err("is not an absolute path".to_owned()) }
}

/// An address that an engine can be reached at.
pub(super) fn host(text: &str) -> Result<String, String> {
    let wrong = || "is not an engine's address; write unix:///run/docker.sock or tcp://host:2375".to_owned();
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') { Ok(text.to_owned()) } else { Err(wrong()) };
    }
    if text.starts_with("https://") || text.starts_with("ssh://") {
        return Err(
            "an engine behind TLS or SSH cannot be reached; forward its socket (ssh -L) and name that".to_owned()
        );
    }
    let url = Url::parse(text).map_err(|_| wrong())?;
    let fits = matches!(url.scheme(), "tcp" | "http") && url.host_str().is_some() && matches!(url.path(), "" | "/");
    if fits { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// The options of one account, as they are read.
pub(super) struct Said<'a> {
    pub(super) account: &'a str,
    pub(super) options: &'a BTreeMap<String, Value>,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl Said<'_> {
    pub(super) fn text(&self, option: &str) -> Option<String> {
        self.options.get(option).map(|value| value.text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn parse<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(option)?) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.fault(option, |key, text| format!("`{key}` = `{text}`: {why}"));
                None
            }
        }
    }

    pub(super) fn fault(&mut self, option: &str, message: impl Fn(&str, &str) -> String) {
        let Some(value) = self.options.get(option) else { return };
        let key = format!("platforms.{}.{option}", self.account);
        self.faults.push(Fault { place: value.origin.to_string(), message: message(&key, &value.text) });
    }

    fn registries(&mut self) -> BTreeMap<String, RegistryLogin> {
        let mut named: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
        for (option, value) in self.options {
            if let Some((name, field)) = of_registry(option) {
                named.entry(name).or_default().insert(field.to_owned(), value.clone());
            }
        }
        named.into_iter().filter_map(|(name, fields)| registries::login(name, &fields, self.faults)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn an_engine_is_at_a_socket_or_at_a_plain_address() {
        for good in ["unix:///run/docker.sock", "tcp://10.0.0.1:2375", "http://engine:2375/"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["/run/docker.sock", "unix://run", "https://x:2376", "ssh://me@x", "tcp://", "tcp://x/y"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
