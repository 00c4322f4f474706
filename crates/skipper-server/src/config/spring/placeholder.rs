//! `${key:default}` in values: nested, with other properties and the environment behind the keys.

use std::{collections::HashSet, fmt};

/// Deepest nesting, of braces and of values that refer to values.
const MAX_DEPTH: usize = 32;
/// Longest text that a value may unfold to.
const MAX_BYTES: usize = 64 << 10;
/// Most placeholders behind one value: a few that each name two others would never end.
const MAX_STEPS: usize = 1000;

/// Why a value has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// Nobody says what this key is, and there is no default.
    Unknown(String),
    /// The value of this key refers to itself.
    Circle(String),
    /// It is another one at every start.
    Random(String),
    /// It unfolds too far.
    TooMuch,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(key) => write!(
                f,
                "`${{{key}}}` is set nowhere; set it as a property or an environment variable, or give a default as \
                 ${{{key}:value}}"
            ),
            Self::Circle(key) => write!(f, "the value of `{key}` refers to itself"),
            Self::Random(key) => {
                write!(f, "`${{{key}}}` would be another one at every start; write down the value that is meant")
            }
            Self::TooMuch => f.write_str("its placeholders are nested too deeply or unfold to more than 64 KiB"),
        }
    }
}

/// Replaces every placeholder. `find` says what a key is; what it finds may hold placeholders again.
///
/// # Errors
///
/// The first placeholder that has no value.
pub(super) fn resolve(text: &str, find: &mut dyn FnMut(&str) -> Option<String>) -> Result<String, Unresolved> {
    Resolver { find, open: HashSet::new(), steps: 0 }.text(text, 0)
}

struct Resolver<'a> {
    find: &'a mut dyn FnMut(&str) -> Option<String>,
    /// Placeholders that are being resolved.
    open: HashSet<String>,
    steps: usize,
}

impl Resolver<'_> {
    fn text(&mut self, text: &str, depth: usize) -> Result<String, Unresolved> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let inner = &rest[at + 2..];
            // As Spring has it, braces that do not close are text.
            let Some(end) = closing(inner) else { break };
            out.push_str(&rest[..at]);
            out.push_str(&self.placeholder(&inner[..end], depth + 1)?);
            rest = &inner[end + 1..];
            self.bounded(&out)?;
        }
        out.push_str(rest);
        self.bounded(&out)?;
        Ok(out)
    }

    fn bounded(&self, out: &str) -> Result<(), Unresolved> {
        if out.len() > MAX_BYTES { Err(Unresolved::TooMuch) } else { Ok(()) }
    }

    fn placeholder(&mut self, inner: &str, depth: usize) -> Result<String, Unresolved> {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            return Err(Unresolved::TooMuch);
        }
        if !self.open.insert(inner.to_owned()) {
            return Err(Unresolved::Circle(inner.to_owned()));
        }
        let key = self.text(inner, depth)?;
        let (name, default) = key.split_once(':').map_or((key.as_str(), None), |(name, rest)| (name, Some(rest)));
        let found = (self.find)(&key).or_else(|| default.and_then(|_| (self.find)(name)));
        let value = match (found, default) {
            (Some(found), _) => self.text(&found, depth)?,
            (None, Some(default)) => default.to_owned(),
            (None, None) if name.starts_with("random.") => return Err(Unresolved::Random(name.to_owned())),
            (None, None) => return Err(Unresolved::Unknown(name.to_owned())),
        };
        self.open.remove(inner);
        Ok(value)
    }
}

/// Where the brace closes that is open at the start.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(pairs: &[(&str, &str)], text: &str) -> Result<String, Unresolved> {
        resolve(text, &mut |key| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn keys_defaults_and_nesting_are_resolved_as_spring_does() {
        let pairs = [("a", "x"), ("b", "${a}-${a}"), ("which", "a"), ("x", "deep"), ("empty", ""), ("u:v", "whole")];
        for (text, expected) in [
            ("plain $ text }", "plain $ text }"),
            ("${a}", "x"),
            ("1${b}2", "1x-x2"),
            ("${${which}}", "x"),
            ("${no:${a}}", "x"),
            ("${no:${nor:last}}", "last"),
            ("${no:}", ""),
            ("${no:http://h:1}", "http://h:1"),
            ("${empty:default}", ""),
            ("${u:v}", "whole"),
            ("${no:{a}}", "{a}"),
            ("${open", "${open"),
            ("${}", ""),
        ] {
            let found = if text == "${}" { with(&[("", "")], text) } else { with(&pairs, text) };
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_named() {
        assert_eq!(with(&[], "${no.such}"), Err(Unresolved::Unknown("no.such".into())));
        assert_eq!(with(&[("a", "${b}"), ("b", "${a}")], "${a}"), Err(Unresolved::Circle("a".into())));
        assert_eq!(with(&[], "${random.int}"), Err(Unresolved::Random("random.int".into())));
        assert_eq!(with(&[], &"${a:".repeat(100_000)), Err(Unresolved::TooMuch));
        let deep = format!("{}x{}", "${a:".repeat(40), "}".repeat(40));
        assert_eq!(with(&[], &deep), Err(Unresolved::TooMuch));
        // Each names the next one twice.
        let mut doubling = |key: &str| {
            let number: u32 = key.parse().ok()?;
            Some(if number == 0 { "x".repeat(1000) } else { format!("${{{0}}}${{{0}}}", number - 1) })
        };
        assert_eq!(resolve("${20}", &mut doubling), Err(Unresolved::TooMuch));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[${}:ab.]{0,60}") {
            let pairs = [("a", "${b:}"), ("b", "a"), ("ab", "${ab}"), ("a.b", "${a}${b}")];
            let _ = with(&pairs, &text);
        }

        #[test]
        fn what_is_resolved_stays_as_it_is(text in "[${}:ab.]{0,60}") {
            let pairs = [("a", "x"), ("b", "y"), ("", "z")];
            if let Ok(once) = with(&pairs, &text) && !once.contains("${") {
                prop_assert_eq!(with(&pairs, &once), Ok(once.clone()));
            }
        }
    }
}
