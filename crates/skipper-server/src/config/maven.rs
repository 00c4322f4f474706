//! How `maven:` resources are found: `maven.*` and the repositories, `maven.repositories.ID.*`, in the order of their ids.

use std::collections::BTreeMap;

use skipper_core::secret::SecretValue;
use skipper_platform::artifact::maven::{Place, Proxy, Repository, Settings};

use super::{
    Sources,
    account::{flag, port},
    fault::Fault,
    merge::{Merged, Value},
    quantity::parse_span,
    setting::nearest,
};

/// What can be said of a repository.
const OPTIONS: [&str; 9] = [
    "url",
    "username",
    "password",
    "policy.enabled",
    "policy.checksum_policy",
    "release_policy.enabled",
    "release_policy.checksum_policy",
    "snapshot_policy.enabled",
    "snapshot_policy.checksum_policy",
];

/// Whether a repository can be told that.
pub(super) fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// Whether such an option must not be shown.
pub(super) fn is_secret(option: &str, text: &str) -> bool {
    let login =
        || text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or_default().contains('@'));
    option == "password" || (option == "url" && login())
}

pub(super) fn settings(sources: &Sources, merged: &Merged, faults: &mut Vec<Fault>) -> Settings {
    let mut take = Taker { merged, faults };
    let home = sources.env.get("HOME").filter(|home| !home.is_empty());
    let local = take.text("maven.local_repository").map(|path| sources.working_dir.join(path));
    let offline = take.parse("maven.offline", flag).unwrap_or_default();
    let usual = take.parse("maven.include_default_remote_repos", flag).unwrap_or_default();
    let strict = take.parse("maven.checksum_policy", policy).unwrap_or_default();
    let configured: Vec<Repository> =
        merged.repositories.iter().filter_map(|(id, options)| repository(id, options, strict, take.faults)).collect();
    let mut repositories = if usual { Repository::usual(&configured) } else { Vec::new() };
    repositories.extend(configured);
    Settings {
        local: local.or_else(|| home.map(|home| sources.working_dir.join(home).join(".m2/repository"))),
        offline,
        connect_timeout: take.parse("maven.connect_timeout", parse_span),
        request_timeout: take.parse("maven.request_timeout", parse_span),
        repositories,
        proxy: take.proxy(),
    }
}

struct Taker<'a> {
    merged: &'a Merged,
    faults: &'a mut Vec<Fault>,
}

impl Taker<'_> {
    fn text(&self, key: &str) -> Option<String> {
        Some(self.merged.get(key).text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parse<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let place = self.merged.get(key).origin.to_string();
                self.faults.push(Fault { place, message: format!("`{key}` = `{text}`: {why}") });
                None
            }
        }
    }

    fn proxy(&mut self) -> Option<Proxy> {
        self.text("maven.proxy.host")?;
        let number = self.parse("maven.proxy.port", port).unwrap_or(8080);
        let scheme = self.parse("maven.proxy.protocol", |text| match text {
            "http" | "https" => Ok(text.to_owned()),
            _ => Err("is neither http nor https".to_owned()),
        })?;
        let parse = |host: &str| match Repository::new("proxy", &format!("{scheme}://{host}:{number}")) {
            Ok(Repository { place: Place::Http(address), login: None, .. }) => Ok(address),
            _ => Err("is not the name of a host".to_owned()),
        };
        let address = self.parse("maven.proxy.host", parse)?;
        let user = self.text("maven.proxy.username");
        let password = self.text("maven.proxy.password").unwrap_or_default();
        let except = self.text("maven.proxy.non_proxy_hosts").unwrap_or_default();
        let except = except.split(['|', ',']).map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
        Some(Proxy { address, login: user.map(|user| (user, SecretValue::new(password))), except: except.collect() })
    }
}

fn repository(
    id: &str,
    options: &BTreeMap<String, Value>,
    strict: bool,
    faults: &mut Vec<Fault>,
) -> Option<Repository> {
    let mut fault = |value: &Value, message: String| faults.push(Fault { place: value.origin.to_string(), message });
    for (option, value) in options.iter().filter(|(option, _)| !is_option(option)) {
        let hint = nearest(option, OPTIONS)
            .map_or_else(String::new, |near| format!("; did you mean `maven.repositories.{id}.{near}`?"));
        fault(value, format!("unknown key `maven.repositories.{id}.{option}`{hint}"));
    }
    let Some(url) = options.get("url") else {
        if let Some(any) = options.values().next() {
            fault(any, format!("`maven.repositories.{id}` has no `url`"));
        }
        return None;
    };
    let mut repository = match Repository::new(id, &url.text) {
        Ok(repository) => repository,
        Err(why) => {
            // It may hold a password.
            fault(url, format!("`maven.repositories.{id}.url` {why}"));
            return None;
        }
    };
    let mut say = |option: &str, parse: fn(&str) -> Result<bool, String>, usual: bool| {
        let Some(value) = options.get(option) else { return usual };
        parse(&value.text).unwrap_or_else(|why| {
            fault(value, format!("`maven.repositories.{id}.{option}` = `{}`: {why}", value.text));
            usual
        })
    };
    let enabled = say("policy.enabled", flag, true);
    repository.releases = say("release_policy.enabled", flag, enabled);
    repository.snapshots = say("snapshot_policy.enabled", flag, enabled);
    repository.sums_required = say("policy.checksum_policy", policy, strict)
        || say("release_policy.checksum_policy", policy, false)
        || say("snapshot_policy.checksum_policy", policy, false);
    let text = |option: &str| options.get(option).map(|value| value.text.clone()).filter(|text| !text.is_empty());
    if let Some(user) = text("username") {
        repository.login = Some((user, SecretValue::new(text("password").unwrap_or_default())));
    }
    Some(repository)
}

/// Whether a file without a checksum is refused. One with a wrong checksum always is.
fn policy(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "fail" => Ok(true),
        "warn" | "ignore" => Ok(false),
        _ => Err("is no checksum policy; write warn or fail".to_owned()),
    }
}
