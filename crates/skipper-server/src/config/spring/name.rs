//! Names of properties, as loosely as Spring reads them: `packageRepositories`, `package-repositories`,
//! `package_repositories` and, in the environment, `PACKAGEREPOSITORIES` or `PACKAGE_REPOSITORIES` are one word.

use std::fmt;

/// Longer names are nobody's; the rest of one is not looked at.
const MAX_WORDS: usize = 64;

/// One word of a name, or the number of an item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As it was written; names of accounts and repositories are taken from here.
    pub(super) text: String,
    /// Lower case, letters and digits only: what is compared.
    pub(super) uniform: String,
    /// The item's number, of `[0]` and of a word of digits alone.
    pub(super) index: Option<u32>,
}

impl Word {
    fn new(text: &str) -> Self {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let index = if digits { text.parse().ok() } else { None };
        Self { text: text.to_owned(), uniform: uniform(text), index }
    }
}

/// Lower case without hyphens, underscores and the like; a word of nothing else stays as it is.
pub(super) fn uniform(text: &str) -> String {
    let kept: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if kept.is_empty() { text.to_owned() } else { kept }
}

/// The name of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<Word>);

impl Name {
    /// Reads `a.b[0].c` and `a.b[any text].c`. Never fails: what makes no sense is a name that nobody knows.
    pub(super) fn parse(text: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && words.len() < MAX_WORDS {
            if let Some((inner, after)) = rest.strip_prefix('[').and_then(|open| open.split_once(']')) {
                words.push(Word::new(inner));
                rest = after.strip_prefix('.').unwrap_or(after);
                continue;
            }
            // The first character may be a bracket that does not close.
            let end =
                rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(rest.len(), |(at, _)| at);
            let end = if rest.starts_with('.') { 0 } else { end };
            words.push(Word::new(&rest[..end]));
            rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
        }
        Self(words.into_iter().filter(|word| !word.text.is_empty()).collect())
    }

    /// Its words.
    pub(super) fn words(&self) -> &[Word] {
        &self.0
    }

    /// From words.
    pub(super) fn of(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().map(|text| Word::new(&text)).collect())
    }

    /// Equal for names that mean the same.
    pub(super) fn uniform(&self) -> String {
        self.0.iter().map(|word| word.uniform.as_str()).collect::<Vec<_>>().join(".")
    }
}

/// As it is written in a properties file.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            match word.index {
                Some(index) => write!(f, "[{index}]")?,
                None if word.text.contains(['.', '[']) => write!(f, "[{}]", word.text)?,
                None if at == 0 => f.write_str(&word.text)?,
                None => write!(f, ".{}", word.text)?,
            }
        }
        Ok(())
    }
}

/// A word of a known name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// This word.
    Fixed(String),
    /// Any word: the name of an account.
    Any,
    /// An item's number.
    Item,
    /// An item's number or nothing: lists of plain values are also written with commas.
    MaybeItem,
    /// At least one more word.
    Rest,
}

/// A known name with its free places: `accounts.*.javaCmd`, `packageRepositories[].url`, `services[?]`, `ssl.**`.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Place>);

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Self {
        let mut places = Vec::new();
        for word in text.split('.') {
            let (word, item) = match (word.strip_suffix("[]"), word.strip_suffix("[?]")) {
                (Some(word), _) => (word, Some(Place::Item)),
                (_, Some(word)) => (word, Some(Place::MaybeItem)),
                _ => (word, None),
            };
            places.push(match word {
                "*" => Place::Any,
                "**" => Place::Rest,
                word => Place::Fixed(uniform(word)),
            });
            places.extend(item);
        }
        Self(places)
    }

    /// What stands in the free places of a name, as it was written; `None` for another name. A missing item is "".
    pub(super) fn free(&self, name: &Name) -> Option<Vec<String>> {
        let mut words = name.words().iter();
        let mut free = Vec::new();
        for place in &self.0 {
            match place {
                Place::Fixed(uniform) => _ = words.next().filter(|word| word.uniform == *uniform)?,
                Place::Any => free.push(words.next()?.text.clone()),
                Place::Item => free.push(words.next()?.index?.to_string()),
                Place::MaybeItem => free.push(match words.next() {
                    Some(word) => word.index?.to_string(),
                    None => String::new(),
                }),
                Place::Rest => {
                    let rest: Vec<&str> = words.by_ref().map(|word| word.text.as_str()).collect();
                    free.push(Some(rest.join(".")).filter(|rest| !rest.is_empty())?);
                }
            }
        }
        words.next().is_none().then_some(free)
    }

    /// The name that an environment variable of these parts (`SPRING`, `DATASOURCE`, `DRIVER`, `CLASS`, `NAME`) stands
    /// for, if it is one of this pattern. A free word takes as few parts as it can.
    pub(super) fn of_parts(&self, parts: &[&str]) -> Option<Name> {
        let mut words = Vec::new();
        walk(&self.0, parts, &mut words).then(|| Name::of(words))
    }
}

/// Patterns have at most a dozen places and variables about as many parts, so that trying is cheap.
fn walk(places: &[Place], parts: &[&str], words: &mut Vec<String>) -> bool {
    let Some((place, places)) = places.split_first() else { return parts.is_empty() };
    let known = words.len();
    let number = |part: &&str| part.len() <= 5 && part.bytes().all(|b| b.is_ascii_digit());
    match place {
        Place::Fixed(uniform) => {
            let mut joined = String::new();
            for (at, part) in parts.iter().enumerate() {
                joined.push_str(part);
                if !uniform.starts_with(&joined) {
                    return false;
                }
                if joined == *uniform {
                    words.push(joined);
                    if walk(places, &parts[at + 1..], words) {
                        return true;
                    }
                    words.truncate(known);
                    return false;
                }
            }
            false
        }
        Place::Any => (1..=parts.len()).any(|count| {
            words.truncate(known);
            words.push(parts[..count].join("-"));
            walk(places, &parts[count..], words)
        }),
        Place::Item | Place::MaybeItem => match parts.split_first().filter(|(part, _)| number(part)) {
            Some((part, rest)) => {
                words.push((*part).to_owned());
                walk(places, rest, words)
            }
            None => *place == Place::MaybeItem && parts.is_empty() && places.is_empty(),
        },
        Place::Rest => {
            words.extend(parts.iter().map(|part| (*part).to_owned()));
            !parts.is_empty() && places.is_empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_a_name_are_equal() {
        let uniform = |text: &str| Name::parse(text).uniform();
        for text in ["a.driverClassName", "a.driver-class-name", "A.DRIVER_CLASS_NAME", "a[driverClassName]"] {
            assert_eq!(uniform(text), "a.driverclassname", "{text}");
        }
        assert_eq!(uniform("a.b[3].c"), uniform("a.b.3.c"));
        assert_eq!(Name::parse("a.accounts[my.dev].b[0]").to_string(), "a.accounts[my.dev].b[0]");
    }

    #[test]
    fn free_places_are_filled_as_they_were_written() {
        let free = |pattern: &str, name: &str| Pattern::parse(pattern).free(&Name::parse(name));
        let some = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(free("p.accounts.*.javaCmd", "p.accounts.localDev.java-cmd"), some(&["localDev"]));
        assert_eq!(free("p.accounts.*.javaCmd", "p.accounts[a.b].javaCmd"), some(&["a.b"]));
        assert_eq!(free("p.packageRepositories[].url", "p.package-repositories[1].url"), some(&["1"]));
        assert_eq!(free("p.services[?]", "p.services"), some(&[""]));
        assert_eq!(free("p.services[?]", "p.services[2]"), some(&["2"]));
        assert_eq!(free("p.**", "p.a.B"), some(&["a.B"]));
        for (pattern, name) in
            [("p.x", "p"), ("p.x", "p.x.y"), ("p.x[]", "p.x.a"), ("p.**", "p"), ("p.x[?]", "p.x.y"), ("p.*", "p")]
        {
            assert_eq!(free(pattern, name), None, "{pattern} {name}");
        }
    }

    #[test]
    fn variables_are_found_in_every_form_that_spring_takes() {
        let name = |pattern: &str, variable: &str| {
            let lower = variable.to_lowercase();
            Pattern::parse(pattern).of_parts(&lower.split('_').collect::<Vec<_>>()).map(|name| name.to_string())
        };
        let account = "spring.cloud.skipper.server.platform.local.accounts.*.javaCmd";
        let prefix = "SPRING_CLOUD_SKIPPER_SERVER_PLATFORM_LOCAL_ACCOUNTS";
        let dev = Some("spring.cloud.skipper.server.platform.local.accounts.dev.javacmd".to_owned());
        assert_eq!(name(account, &format!("{prefix}_DEV_JAVACMD")), dev);
        assert_eq!(name(account, &format!("{prefix}_DEV_JAVA_CMD")), dev);
        assert!(name(account, &format!("{prefix}_MY_DEV_JAVA_CMD")).is_some_and(|name| name.contains(".my-dev.")));
        assert_eq!(name("a.b[].url", "A_B_0_URL").as_deref(), Some("a.b[0].url"));
        assert_eq!(name("a.bC[?]", "A_B_C_1").as_deref(), Some("a.bc[1]"));
        assert_eq!(name("a.bC[?]", "A_BC").as_deref(), Some("a.bc"));
        assert_eq!(name("a.b", "A_B_C"), None);
        assert_eq!(name("maven.offline", "MAVEN_OPTS"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_and_its_uniform_form_is_its_own(text in "\\PC{0,60}") {
            let name = Name::parse(&text);
            let uniform = name.uniform();
            prop_assert_eq!(Name::parse(&name.to_string()).uniform(), uniform.clone());
            prop_assert_eq!(uniform.clone(), uniform.split('.').map(super::uniform).collect::<Vec<_>>().join("."));
        }

        #[test]
        fn case_and_hyphens_do_not_matter(words in prop::collection::vec("[a-z]{1,8}", 1..5)) {
            let kebab = Name::parse(&words.join("-"));
            prop_assert_eq!(kebab.uniform(), Name::parse(&words.join("_").to_uppercase()).uniform());
        }

        #[test]
        fn any_variable_can_be_tried(parts in prop::collection::vec("[a-z0-9]{1,4}", 0..12)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            for pattern in ["a.*.b[].**", "**", "a[?]", "*.*.*"] {
                let pattern = Pattern::parse(pattern);
                if let Some(name) = pattern.of_parts(&parts) {
                    prop_assert!(pattern.free(&name).is_some(), "{name}");
                }
            }
        }
    }
}
