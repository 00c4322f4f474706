//! Profiles: which documents of a file count.

use std::collections::BTreeMap;

use super::{document::Document, name::Name};

/// Most profiles at a time.
const MAX_PROFILES: usize = 32;
/// Longest condition of a document, and its deepest nesting.
const MAX_CONDITION: usize = 1000;
const MAX_DEPTH: usize = 16;

/// The profile that is active where nobody names one.
const DEFAULT: &str = "default";

/// What conditions of documents are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    /// Active profiles; a later one is stronger. Empty while they are not known.
    pub(super) profiles: Vec<String>,
    /// `kubernetes` or `cloudfoundry`, as Spring recognises them.
    pub(super) cloud: Option<&'static str>,
}

impl Conditions {
    /// Before profiles are known: only the cloud, told from the environment as Spring tells it.
    pub(super) fn of(env: &BTreeMap<String, String>) -> Self {
        let has = |name: &str| env.contains_key(name);
        let cloud = if has("VCAP_APPLICATION") || has("VCAP_SERVICES") {
            Some("cloudfoundry")
        } else if has("KUBERNETES_SERVICE_HOST") && has("KUBERNETES_SERVICE_PORT") {
            Some("kubernetes")
        } else {
            None
        };
        Self { profiles: Vec::new(), cloud }
    }

    /// Whether a document counts.
    ///
    /// # Errors
    ///
    /// The line and what is wrong with its condition.
    pub(super) fn hold(&self, document: &Document) -> Result<bool, (usize, String)> {
        let mut any = None;
        for said in document {
            match key(&said.name).as_str() {
                "spring.profiles" | "spring.config.activate.onprofile" => {
                    let holds = self.one(&said.text).map_err(|message| (said.line, message))?;
                    *any.get_or_insert(false) |= holds;
                }
                "spring.config.activate.oncloudplatform" => {
                    let wanted = super::name::uniform(&said.text);
                    if wanted != self.cloud.unwrap_or("none") {
                        return Ok(false);
                    }
                }
                _ => {}
            }
        }
        Ok(any.unwrap_or(true))
    }

    /// Whether a condition holds: profiles and expressions of them, with commas for "or".
    fn one(&self, text: &str) -> Result<bool, String> {
        if text.len() > MAX_CONDITION {
            return Err(format!("a condition is longer than {MAX_CONDITION} characters"));
        }
        let mut holds = false;
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let mut parser = Parser { rest: part.trim(), profiles: &self.profiles };
            let value = parser.either(0).filter(|_| parser.rest.is_empty());
            holds |= value.ok_or_else(|| {
                format!(
                    "`{}` is not a condition on profiles; write it as `a`, `!a`, `a & b` or `(a | b) & !c`",
                    part.trim()
                )
            })?;
        }
        Ok(holds)
    }
}

/// The uniform name without the number of a list's item.
pub(super) fn key(name: &Name) -> String {
    let words = name.words();
    let words = match words.split_last() {
        Some((last, before)) if last.index.is_some() => before,
        _ => words,
    };
    words.iter().map(|word| word.uniform.as_str()).collect::<Vec<_>>().join(".")
}

/// `a | b`, `a & b`, `!a`, `(…)`; without brackets only one kind of operator, as in Spring.
struct Parser<'a> {
    rest: &'a str,
    profiles: &'a [String],
}

impl Parser<'_> {
    fn either(&mut self, depth: usize) -> Option<bool> {
        let mut value = self.single(depth)?;
        let mut operator = None;
        while let Some(found) = self.rest.chars().next().filter(|c| matches!(c, '|' | '&')) {
            if *operator.get_or_insert(found) != found {
                return None;
            }
            self.advance(1);
            let next = self.single(depth)?;
            value = if found == '|' { value | next } else { value & next };
        }
        Some(value)
    }

    fn single(&mut self, depth: usize) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            '!' => {
                self.advance(1);
                self.single(depth + 1).map(|value| !value)
            }
            '(' => {
                self.advance(1);
                let value = self.either(depth + 1)?;
                if !self.rest.starts_with(')') {
                    return None;
                }
                self.advance(1);
                Some(value)
            }
            _ => {
                let end = self.rest.find(['|', '&', '(', ')', '!']).unwrap_or(self.rest.len());
                let name = self.rest[..end].trim_end();
                let active = match name {
                    "" => return None,
                    DEFAULT => self.profiles.is_empty() || self.profiles.iter().any(|profile| profile == DEFAULT),
                    name => self.profiles.iter().any(|profile| profile == name),
                };
                self.advance(end);
                Some(active)
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }
}

/// The active profiles: those named, those they include, with groups unfolded; each once.
///
/// # Errors
///
/// A name that cannot be part of a file's name, or too many of them.
pub(super) fn active(named: &[String], groups: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    let mut open: Vec<&String> = named.iter().rev().collect();
    while let Some(profile) = open.pop() {
        if profile.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '\0')) {
            return Err(format!("`{}` is not the name of a profile", profile.escape_debug()));
        }
        if all.contains(profile) {
            continue;
        }
        if all.len() == MAX_PROFILES {
            return Err(format!("more than {MAX_PROFILES} profiles are active"));
        }
        all.push(profile.clone());
        open.extend(groups.get(profile).into_iter().flatten().rev());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_spring() {
        let holds = |profiles: &[&str], text: &str| {
            let profiles = profiles.iter().map(|name| (*name).to_owned()).collect();
            Conditions { profiles, cloud: None }.one(text)
        };
        for (profiles, text, expected) in [
            (&["a"][..], "a", true),
            (&["a"], "b", false),
            (&["a"], "b,a", true),
            (&["a"], "!b", true),
            (&["a"], "a & !b", true),
            (&["a"], "(a | c) & b", false),
            (&["a", "b"], "(a|c)&b", true),
            (&[], "default", true),
            (&["a"], "default", false),
            (&["my profile"], "my profile", true),
        ] {
            assert_eq!(holds(profiles, text), Ok(expected), "{profiles:?} {text}");
        }
        for bad in ["a & b | c", "(a", "a)", "!", "a &", "a b & (", &"(".repeat(900), &"!".repeat(900)] {
            assert!(holds(&[], bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_are_unfolded_once_and_names_are_checked() {
        let groups = [("prod".to_owned(), vec!["db".to_owned(), "prod".to_owned()])].into();
        let names = |named: &[&str]| {
            active(&named.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &groups).map(|all| all.join(" "))
        };
        assert_eq!(names(&["prod", "eu", "db"]).as_deref(), Ok("prod db eu"));
        assert!(names(&["../x"]).is_err());
    }
}
