//! Names that people give, checked once at the border and never again.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name `{given}` is not valid: {rule}")]
pub struct InvalidName {
    /// What was being named, as a word for people.
    pub kind: &'static str,
    /// What was given, shortened.
    pub given: String,
    /// The rule it breaks, as a sentence fragment.
    pub rule: &'static str,
}

/// 1 to `max` of `[A-Za-z0-9._-]`, the first one alphanumeric.
const RULE_WORD: &str = "use 1 to 255 of the characters A-Z a-z 0-9 . _ - and start with a letter or digit";

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=255).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and wraps it.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] when the text is not 1 to 255 of `[A-Za-z0-9._-]`, alphanumeric first.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                if is_word(&text) { return Ok(Self(text)) }
                Err(InvalidName { kind: $kind, given: text.chars().take(80).collect(), rule: RULE_WORD })
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The unit of isolation: who owns a resource.
    TenantName = "tenant";
    /// A release, unique in its tenant.
    ReleaseName = "release";
    /// One application of a release.
    AppName = "application";
    /// A host of the fleet.
    NodeName = "node";
    /// A package in a repository.
    PackageName = "package";
    /// A repository of packages.
    RepositoryName = "repository";
    /// A sealed secret.
    SecretName = "secret";
    /// A named port of an application.
    PortName = "port";
}

/// A platform account: one that is configured, what a node of the fleet offers (`node:ID`), or an account there
/// (`node:ID/ACCOUNT`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlatformName(String);

/// Marks the platforms that are nodes of the fleet.
const NODE: &str = "node:";

impl PlatformName {
    /// Checks the text and wraps it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] when the text is neither 1 to 255 of `[A-Za-z0-9._-]`, alphanumeric first, nor `node:` with one or
    /// two such words, divided by a slash.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let words = text.strip_prefix(NODE).map_or((text.as_str(), None), |node| match node.split_once('/') {
            Some((node, account)) => (node, Some(account)),
            None => (node, None),
        });
        if is_word(words.0) && words.1.is_none_or(is_word) && text.len() <= 512 {
            return Ok(Self(text));
        }
        Err(InvalidName { kind: "platform", given: text.chars().take(80).collect(), rule: RULE_WORD })
    }

    /// What a node of the fleet offers: its compose projects, or an account that it has.
    #[must_use]
    pub fn of_node(node: &NodeName, account: Option<&Self>) -> Self {
        match account {
            None => Self(format!("{NODE}{node}")),
            Some(account) => Self(format!("{NODE}{node}/{account}")),
        }
    }

    /// The node whose platform it is, and the account there, where one is named.
    #[must_use]
    pub fn node(&self) -> Option<(NodeName, Option<Self>)> {
        let rest = self.0.strip_prefix(NODE)?;
        let (node, account) = match rest.split_once('/') {
            Some((node, account)) => (node, Some(Self(account.to_owned()))),
            None => (rest, None),
        };
        Some((NodeName(node.to_owned()), account))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for PlatformName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}
impl TryFrom<String> for PlatformName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}
impl From<PlatformName> for String {
    fn from(name: PlatformName) -> Self {
        name.0
    }
}
impl AsRef<str> for PlatformName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
impl Borrow<str> for PlatformName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TenantName {
    /// The tenant of everything that names none.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

/// Lower-case letters, digits and single hyphens of `text`, at most `max` bytes: fit for a host name label, a container
/// name, a folder. Not unique; callers append a hash.
#[must_use]
pub fn slug(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(max.min(text.len()));
    for c in text.chars() {
        if out.len() >= max {
            break;
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    if out.is_empty() { "x".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_may_be_a_nodes() {
        let name = PlatformName::new("node:host-1/docker").expect("valid");
        let (node, account) = name.node().expect("a node's");
        assert_eq!((node.as_str(), account.as_ref().map(PlatformName::as_str)), ("host-1", Some("docker")));
        assert_eq!(PlatformName::of_node(&node, account.as_ref()), name);
        assert_eq!(PlatformName::new("node:host-1").expect("valid").node().expect("a node's").1, None);
        assert_eq!(PlatformName::new("local").expect("valid").node(), None);
        for bad in ["node:", "node:/x", "node:a/", "node:a/b/c", "nodes:a", "a:b", "node:-a", "local/x"] {
            PlatformName::new(bad).expect_err(bad);
        }
    }

    #[test]
    fn names_start_with_a_letter_or_digit_and_are_bounded() {
        for good in ["a", "0", "web.v1_x-2", &"x".repeat(255)] {
            assert!(ReleaseName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", &"x".repeat(256)] {
            assert!(ReleaseName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_are_labels_whatever_goes_in() {
        assert_eq!(slug("My.Web__App", 20), "my-web-app");
        assert_eq!(slug("-.-", 20), "x");
        assert_eq!(slug("abc-def", 4), "abc");
    }
}
