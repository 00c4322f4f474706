//! Options of a platform account: `platforms.NAME.*`. Those of `local` are named as Spring's accounts name them, in our way
//! of writing.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use skipper_platform::local::{DeployerSettings, ENV_VARS_TO_INHERIT, inherit};

use super::{fault::Fault, merge::Value, quantity::parse_span, setting::nearest};

/// What can be said of an account; a star stands for a name.
const OPTIONS: [&str; 19] = [
    "type",
    "java_cmd",
    "java_opts",
    "java_home_path.*",
    "use_spring_application_json",
    "env_vars_to_inherit",
    "working_directories_root",
    "delete_files_on_exit",
    "shutdown_timeout",
    "hostname",
    "port_range.low",
    "port_range.high",
    "debug_port",
    "debug_address",
    "debug_suspend",
    "inherit_logging",
    "startup_probe.path",
    "health_probe.path",
    "java_home",
];

/// Whether an account can be told that.
pub(super) fn is_option(name: &str) -> bool {
    OPTIONS.iter().any(|known| match known.strip_suffix('*') {
        Some(head) => name.strip_prefix(head).is_some_and(|rest| !rest.is_empty()),
        None => *known == name,
    })
}

/// Names every option that is none.
pub(super) fn check(account: &str, options: &BTreeMap<String, Value>, faults: &mut Vec<Fault>) {
    for (option, value) in options.iter().filter(|(option, _)| !is_option(option)) {
        let hint = if option.starts_with("docker.") {
            "; it is about containers, which need an account with a container engine".to_owned()
        } else {
            nearest(option, OPTIONS)
                .map_or_else(String::new, |near| format!("; did you mean `platforms.{account}.{near}`?"))
        };
        let message = format!("unknown key `platforms.{account}.{option}`{hint}");
        faults.push(Fault { place: value.origin.to_string(), message });
    }
}

/// What a `local` account says of applications. `env` is the server's environment: what of it applications may find is
/// decided here, and JAVA_HOME and PATH are where Java is looked for.
pub(super) fn deployer(
    account: &str,
    options: &BTreeMap<String, Value>,
    env: &BTreeMap<String, String>,
    working_dir: &Path,
    faults: &mut Vec<Fault>,
) -> DeployerSettings {
    let var = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let mut said = Said { account, options, faults };
    let usual = DeployerSettings::default();
    let java_home = said.text("java_home").or_else(|| var("JAVA_HOME")).map(|home| working_dir.join(home));
    let homes = options.iter().filter_map(|(option, value)| {
        Some((option.strip_prefix("java_home_path.")?.to_owned(), working_dir.join(&value.text)))
    });
    let inherited = said.parse("env_vars_to_inherit", |patterns| inherit(patterns.split(','), env));
    let patterns = said.text("env_vars_to_inherit").map(|patterns| patterns.split(',').map(str::to_owned).collect());
    let root = said.text("working_directories_root").map(|root| working_dir.join(root));
    let shutdown_timeout = said.parse("shutdown_timeout", parse_span);
    let debug = said.parse("debug_address", address).or_else(|| said.parse("debug_port", address));
    let (low, high) = (said.parse("port_range.low", port), said.parse("port_range.high", port));
    let port_range = match (low, high) {
        (None, None) => None,
        (low, high) => Some(low.unwrap_or(1)..=high.unwrap_or(u16::MAX)),
    };
    if port_range.as_ref().is_some_and(std::ops::RangeInclusive::is_empty) {
        said.fault("port_range.low", "is above `port_range.high`");
    }
    DeployerSettings {
        java_cmd: said.text("java_cmd"),
        java_home,
        search: var("PATH").unwrap_or_default(),
        java_home_path: homes.collect(),
        java_opts: said.text("java_opts").unwrap_or_default(),
        use_spring_application_json: said
            .parse("use_spring_application_json", flag)
            .unwrap_or(usual.use_spring_application_json),
        env_vars_to_inherit: patterns.unwrap_or(usual.env_vars_to_inherit),
        inherited: inherited.unwrap_or_else(|| inherit(ENV_VARS_TO_INHERIT, env).unwrap_or_default()),
        shutdown_timeout: shutdown_timeout.unwrap_or(usual.shutdown_timeout),
        working_directories_root: root,
        delete_files_on_exit: said.parse("delete_files_on_exit", flag).unwrap_or(usual.delete_files_on_exit),
        port_range,
        hostname: said.text("hostname"),
        debug,
        debug_suspend: said.parse("debug_suspend", flag).unwrap_or(usual.debug_suspend),
        inherit_logging: said.parse("inherit_logging", flag).unwrap_or(usual.inherit_logging),
        startup_probe: said.parse("startup_probe.path", path),
        health_probe: said.parse("health_probe.path", path),
    }
}

struct Said<'a> {
    account: &'a str,
    options: &'a BTreeMap<String, Value>,
    faults: &'a mut Vec<Fault>,
}

impl Said<'_> {
    fn text(&self, option: &str) -> Option<String> {
        self.options.get(option).map(|value| value.text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parse<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(option)?) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.fault(option, &why);
                None
            }
        }
    }

    fn fault(&mut self, option: &str, why: &str) {
        let Some(value) = self.options.get(option) else { return };
        let message = format!("`platforms.{}.{option}` = `{}`: {why}", self.account, value.text);
        self.faults.push(Fault { place: value.origin.to_string(), message });
    }
}

/// `true`, `false`, and as Java's debugger has it `y`, `n`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "on" => Ok(true),
        "false" | "n" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    u16::from_str(text).ok().filter(|port| *port > 0).ok_or_else(|| "is not a port from 1 to 65535".to_owned())
}

fn address(text: &str) -> Result<String, String> {
    port(text.rsplit_once(':').map_or(text, |(_, port)| port)).map(|_| text.to_owned())
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("is not a path; it begins with /".to_owned()) }
}
