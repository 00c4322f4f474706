//! What keys of Spring do here, and which of them a name or an environment variable stands for. `key` lists them.

use std::sync::LazyLock;

use super::{
    super::setting,
    key::RULES,
    name::{Name, Pattern},
};

/// How a value is written natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Text,
    /// As it is, and never shown.
    Secret,
    /// `true`, `yes`, `on` or their opposites.
    Bool,
    /// A number of seconds.
    Seconds,
    /// A number of milliseconds.
    Millis,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Sets a native key; `{0}` is the first free place. Items of a list are joined by commas.
    Native(&'static str, Form),
    /// A field of an entry of the list of repositories.
    Repository(&'static str, Form),
    /// `server.port`.
    Port,
    /// `server.address`.
    Address,
    /// A part of the database's address.
    Database(Part),
    /// A part of the one user that the configuration names.
    User(Part),
    /// The level of a logger.
    Log,
    /// Only this value is possible, or none.
    Only(&'static str),
    /// `enableLocalPlatform`.
    LocalPlatform,
    /// An account of `local` of which nothing is said.
    Account,
    /// An account of a kind of platform that is not there.
    LeftOut(&'static str),
    /// Used by the property source itself.
    Used,
    /// Nothing, and why.
    Nothing(&'static str),
}

/// Parts of what several keys say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Url,
    Name,
    Password,
    Roles,
}

/// A known key.
#[derive(Debug)]
pub(super) struct Rule {
    /// As [`Pattern::parse`] reads it; also the name for messages.
    pub(super) key: &'static str,
    pub(super) effect: Effect,
}

/// What the server's own keys begin with.
const SERVER: &str = "spring.cloud.skipper.server.";

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| RULES.iter().map(|rule| Pattern::parse(rule.key)).collect());

/// A rule and what stands in the free places of its key.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) rule: &'static Rule,
    pub(super) free: Vec<String>,
}

/// The rule of a key.
pub(super) fn of(name: &Name) -> Option<Match> {
    PATTERNS.iter().zip(RULES).find_map(|(pattern, rule)| Some(Match { rule, free: pattern.free(name)? }))
}

/// The key that an environment variable of these parts stands for. Families of keys that do nothing are left out: `SERVER_…`,
/// `INFO_…` and `DEBUG` may well be meant for somebody else.
pub(super) fn of_variable(parts: &[&str]) -> Option<Name> {
    // The end of a key could be taken for the name of an account of which nothing is said.
    let is_name =
        |rule: &Rule| rule.key.ends_with("accounts.*") || rule.key == "spring.cloud.skipper.server.platform.*";
    let ours = |rule: &Rule| !matches!(rule.effect, Effect::Nothing(_)) || rule.key.starts_with(SERVER);
    PATTERNS
        .iter()
        .zip(RULES)
        .filter(|(_, rule)| ours(rule) && !is_name(rule))
        .find_map(|(pattern, _)| pattern.of_parts(parts))
}

/// What to say of a key that nobody knows.
pub(super) fn unknown(name: &Name) -> String {
    let told = name.to_string();
    let told: String = told.chars().take(200).collect();
    let hint = nearest(name).map_or_else(
        || "docs/spring-configuration.md lists the known ones".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    format!("unknown key `{told}`; {hint}")
}

/// The nearest known key, with the names that stand in its free places.
fn nearest(name: &Name) -> Option<String> {
    // What nearly all of them begin with says nothing.
    let tail = |text: &str| text.strip_prefix(SERVER).unwrap_or(text).to_owned();
    let wanted = tail(&name.uniform());
    let allowed = (wanted.len() / 5).clamp(1, 5);
    RULES
        .iter()
        .filter(|rule| !rule.key.ends_with("**"))
        .map(|rule| {
            let candidate = filled(rule, name);
            (setting::distance(&tail(&candidate.uniform()), &wanted), candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_string())
}

/// The key of a rule with what a name has at its free places.
fn filled(rule: &Rule, name: &Name) -> Name {
    let key = rule.key.replace("[?]", "").replace("[]", ".[]");
    let words = key.split('.').enumerate().map(|(at, part)| match (part, name.words().get(at)) {
        ("[]", Some(own)) if own.index.is_some() => own.text.clone(),
        ("[]", _) => "0".to_owned(),
        ("*", Some(own)) => own.text.clone(),
        (part, _) => part.to_owned(),
    });
    Name::of(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_own_name_and_no_earlier_rule_hides_it() {
        for rule in RULES {
            let name = rule.key.replace("**", "some.thing").replace("[?]", "").replace("[]", "[0]").replace('*', "any");
            let found = of(&Name::parse(&name)).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.rule.key, rule.key, "{name}");
        }
    }

    #[test]
    fn every_key_with_an_effect_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spring-configuration.md");
        let text = std::fs::read_to_string(path).expect("the page is there");
        let told = |rule: &&Rule| {
            let own = rule.key.strip_prefix(SERVER);
            let own_nothing = own.is_some() && matches!(rule.effect, Effect::Nothing(_));
            own_nothing || !matches!(rule.effect, Effect::LeftOut(_) | Effect::Used | Effect::Nothing(_))
        };
        for rule in RULES.iter().filter(told) {
            let key = rule.key.strip_prefix(SERVER).unwrap_or(rule.key);
            assert!(text.contains(&format!("`{key}`")), "docs/spring-configuration.md says nothing of `{key}`");
        }
    }

    #[test]
    fn the_nearest_key_is_named_with_the_account_that_was_meant() {
        let unknown = |key: &str| super::unknown(&Name::parse(key));
        let prefix = "spring.cloud.skipper.server.";
        for (wrong, meant) in [
            ("platform.local.accounts.myDev.javaCommand", "platform.local.accounts.myDev.javaCmd"),
            ("platform.lokal.accounts.dev.javaCmd", "platform.local.accounts.dev.javaCmd"),
            ("packageRepositories[1].urll", "packageRepositories[1].url"),
            ("enableLocalPlatfrom", "enableLocalPlatform"),
        ] {
            let told = unknown(&format!("{prefix}{wrong}"));
            assert!(told.ends_with(&format!("did you mean `{prefix}{meant}`?")), "{told}");
        }
        assert!(unknown("some.thing.else").ends_with("lists the known ones"));
    }

    #[test]
    fn variables_of_others_stand_for_nothing() {
        let name = |variable: &str| {
            let lower = variable.to_lowercase();
            of_variable(&lower.split('_').collect::<Vec<_>>()).map(|name| name.to_string())
        };
        for other in ["MAVEN_OPTS", "MAVEN_HOME", "SERVER_SOFTWARE", "INFO", "DEBUG", "SPRING_JPA_SHOW_SQL", "HOME"] {
            assert_eq!(name(other), None, "{other}");
        }
        assert_eq!(name("SERVER_PORT").as_deref(), Some("server.port"));
        assert_eq!(name("SPRING_PROFILES_ACTIVE").as_deref(), Some("spring.profiles.active"));
        assert_eq!(
            name("MAVEN_REMOTE_REPOSITORIES_REPO1_AUTH_USERNAME").as_deref(),
            Some("maven.remoterepositories.repo1.auth.username")
        );
        assert_eq!(name("MAVEN_REMOTEREPOSITORIES_REPO1_URL").as_deref(), Some("maven.remoterepositories.repo1.url"));
        assert_eq!(
            name("SPRING_CLOUD_SKIPPER_SERVER_PACKAGE_REPOSITORIES_0_NAME").as_deref(),
            Some("spring.cloud.skipper.server.packagerepositories[0].name")
        );
        assert_eq!(
            name("SPRING_CLOUD_SKIPPER_SERVER_ENABLE_LOCAL_PLATFORM").as_deref(),
            Some("spring.cloud.skipper.server.enablelocalplatform")
        );
    }
}
