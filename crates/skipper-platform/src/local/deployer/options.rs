//! The deployment properties of Spring's deployers, by name. Keys are written in camelCase or kebab-case.

use std::collections::BTreeMap;

use skipper_core::spec::Deployer;

/// What every key of a deployer begins with.
const PREFIX: &str = "spring.cloud.deployer.";
/// What those of this platform begin with.
const LOCAL: &str = "local.";

/// How an option is dealt with.
pub(crate) enum Dealt {
    Honoured,
    /// With the reason.
    Not(&'static str),
}
use Dealt::{Honoured, Not};

/// The options that a kind of platform may be given.
pub(crate) struct Table {
    /// What it is called.
    pub platform: &'static str,
    /// Those that any platform may be given.
    pub common: &'static [(&'static str, Dealt)],
    /// Those of Spring's local deployer.
    pub own: &'static [(&'static str, Dealt)],
}

const ENGINE: &str = "it is about containers: they need an account with a container engine";

/// The options that any platform may be given.
const COMMON: [(&str, Dealt); 9] = [
    ("count", Honoured),
    ("group", Honoured),
    ("appName", Honoured),
    ("indexed", Honoured),
    ("memory", Honoured),
    ("bootVersion", Honoured),
    ("disk", Not("a process of this host has no disk of its own")),
    ("cpu", Not("a process of this host is not limited to a share of the CPU, as with Spring's local deployer")),
    ("docker.*", Not(ENGINE)),
];

/// Those of this platform: the properties of an account, and what only an application has.
const OWN: [(&str, Dealt); 26] = [
    ("main", Honoured),
    ("classpath", Honoured),
    ("direct", Honoured),
    ("javaCmd", Honoured),
    ("javaOpts", Honoured),
    ("javaHomePath.*", Honoured),
    ("memory", Not("write spring.cloud.deployer.memory, which is the same on every platform")),
    ("useSpringApplicationJson", Honoured),
    ("envVarsToInherit", Honoured),
    ("workingDirectoriesRoot", Honoured),
    ("deleteFilesOnExit", Honoured),
    ("shutdownTimeout", Honoured),
    ("hostname", Honoured),
    ("portRange.low", Honoured),
    ("portRange.high", Honoured),
    ("debugPort", Honoured),
    ("debugAddress", Honoured),
    ("debugSuspend", Honoured),
    ("startupProbe.path", Honoured),
    ("healthProbe.path", Honoured),
    // Said of one that is set to true only.
    ("inheritLogging", Honoured),
    ("maximumConcurrentTasks", Not("tasks are Data Flow's, and none are launched here")),
    ("docker.*", Not(ENGINE)),
    ("startupProbe.*", Not("only its path is known")),
    ("healthProbe.*", Not("only its path is known")),
    ("count", Not("write spring.cloud.deployer.count")),
];

/// The options of one application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a>(Option<&'a BTreeMap<String, String>>);

impl<'a> Options<'a> {
    pub(crate) fn of(deployer: Option<&'a Deployer>) -> Self {
        Self(deployer.map(|deployer| &deployer.options))
    }

    /// One that any platform may be given.
    pub(crate) fn common(self, name: &str) -> Option<&'a str> {
        let (_, value) = self.all().find(|(key, _)| same(key, name))?;
        Some(value)
    }

    /// One of this platform.
    pub(crate) fn own(self, name: &str) -> Option<&'a str> {
        let mut own = self.all().filter_map(|(key, value)| Some((key.strip_prefix(LOCAL)?, value)));
        own.find(|(key, _)| same(key, name)).map(|(_, value)| value)
    }

    /// Those of this platform whose names go on after `name.`, by what follows.
    pub(crate) fn map(self, name: &str) -> BTreeMap<String, String> {
        let own = self.all().filter_map(|(key, value)| Some((key.strip_prefix(LOCAL)?.split_once('.')?, value)));
        own.filter(|((head, _), _)| same(head, name))
            .map(|((_, rest), value)| (rest.to_owned(), value.to_owned()))
            .collect()
    }

    fn all(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.into_iter().flatten().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str())))
    }
}

/// What of an application's options this platform does not do, each a sentence with its reason. What is meant for another
/// platform is passed over, as Spring does.
#[must_use]
pub fn unsupported(deployer: &Deployer) -> Vec<String> {
    let mut told = Table { platform: "local", common: &COMMON, own: &OWN }.unsupported(deployer);
    let loud = |(key, value): &(&String, &String)| {
        let own = key.strip_prefix(PREFIX).and_then(|name| name.strip_prefix(LOCAL));
        own.is_some_and(|name| same("inheritLogging", name)) && value.eq_ignore_ascii_case("true")
    };
    told.extend(deployer.options.iter().find(loud).map(|(key, _)| {
        format!(
            "`{key}`: output goes to Skipper's log of the release (`skipper logs`), not into the server's own; no stdout and \
             stderr files are written"
        )
    }));
    told
}

impl Table {
    /// What of an application's options such a platform does not do, each a sentence with its reason.
    pub(crate) fn unsupported(&self, deployer: &Deployer) -> Vec<String> {
        let mut told = Vec::new();
        for key in deployer.options.keys() {
            let Some(name) = key.strip_prefix(PREFIX) else {
                if self.common.iter().any(|(known, _)| same(known, key)) {
                    told.push(format!("`{key}` is not read: write {PREFIX}{key}"));
                }
                continue;
            };
            let (table, name) = match name.strip_prefix(LOCAL) {
                Some(own) => (self.own, own),
                None if ["kubernetes.", "cloudfoundry."].iter().any(|other| name.starts_with(other)) => continue,
                None => (self.common, name),
            };
            let platform = self.platform;
            match table.iter().find(|(known, _)| fits(known, name)) {
                Some((_, Honoured)) => {}
                Some((_, Not(reason))) => {
                    told.push(format!("`{key}` has no effect on the platform {platform}: {reason}"));
                }
                None => told.push(format!("`{key}` is not an option of the platform {platform}")),
            }
        }
        told
    }
}

fn fits(known: &str, name: &str) -> bool {
    match known.strip_suffix(".*") {
        Some(head) => name.split_once('.').is_some_and(|(start, _)| same(start, head)),
        None => same(known, name),
    }
}

/// Whether two names are one, however they are written.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployer(options: &[(&str, &str)]) -> Deployer {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Deployer { properties: BTreeMap::new(), options }
    }

    #[test]
    fn an_option_is_found_however_its_name_is_written() {
        let deployer = deployer(&[
            ("spring.cloud.deployer.boot-version", "3"),
            ("spring.cloud.deployer.local.java-opts", "-Da"),
            ("spring.cloud.deployer.local.useSpringApplicationJson", "false"),
            ("spring.cloud.deployer.local.javaHomePath.3", "/jdk"),
            ("spring.cloud.deployer.kubernetes.memory", "1g"),
        ]);
        let options = Options::of(Some(&deployer));
        assert_eq!(options.common("bootVersion"), Some("3"));
        assert_eq!(options.own("javaOpts"), Some("-Da"));
        assert_eq!(options.own("use-spring-application-json"), Some("false"));
        assert_eq!(options.map("javaHomePath"), [("3".to_owned(), "/jdk".to_owned())].into());
        assert_eq!((options.common("memory"), options.own("memory")), (None, None));
    }

    #[test]
    fn what_is_not_done_is_named_with_its_reason() {
        let quiet = deployer(&[
            ("spring.cloud.deployer.memory", "1g"),
            ("spring.cloud.deployer.group", "g"),
            ("spring.cloud.deployer.local.java-opts", "-Da"),
            ("spring.cloud.deployer.local.javaHomePath.2", "/jdk"),
            ("spring.cloud.deployer.local.inheritLogging", "false"),
            ("spring.cloud.deployer.kubernetes.limits.cpu", "1"),
            ("app.log.producer", "x"),
        ]);
        assert_eq!(unsupported(&quiet), Vec::<String>::new());
        for (key, value, words) in [
            ("spring.cloud.deployer.disk", "1g", "no disk of its own"),
            ("spring.cloud.deployer.local.docker.network", "host", "container engine"),
            ("spring.cloud.deployer.docker.container.name", "x", "container engine"),
            ("spring.cloud.deployer.local.inherit-logging", "true", "skipper logs"),
            ("spring.cloud.deployer.local.startup-probe.port", "1", "only its path"),
            ("spring.cloud.deployer.local.colour", "red", "is not an option"),
            ("memory", "1024m", "write spring.cloud.deployer.memory"),
        ] {
            let told = unsupported(&deployer(&[(key, value)]));
            assert!(told.len() == 1 && told[0].contains(words) && told[0].contains(key), "{key}: {told:?}");
        }
    }
}
